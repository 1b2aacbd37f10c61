// What is shown once: a key, a secret, recovery codes. It can be selected, copied, and saved as a file.

import { copyText } from "../code_blocks.js";
import { button, el } from "../dom.js";

/** How long a browser may take to begin to save a file. */
const SAVING_MS = 60_000;

/** The box of `text`, which is shown as `shown`. `label` names it for a screen reader. With `fileName`, a button saves the text. */
export function secretBox(text, label, { shown = text, fileName = null } = {}) {
  const copy = button("Copy", () => void copyText(text, copy), { symbol: "copy" });
  const buttons = [copy];
  if (fileName) buttons.push(button("Save as a file", () => save(text, fileName), { symbol: "down" }));
  return el("div", { class: "secret-box" }, el("pre", { tabindex: "0", role: "group", "aria-label": label }, shown), el("div", { class: "button-row" }, ...buttons));
}

function save(text, fileName) {
  const url = URL.createObjectURL(new Blob([`${text}\n`], { type: "text/plain" }));
  el("a", { href: url, download: fileName }).click();
  setTimeout(() => URL.revokeObjectURL(url), SAVING_MS);
}
