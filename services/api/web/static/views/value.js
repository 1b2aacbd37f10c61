// A value of a database. It may be a stranger's, and long.

import { el } from "../dom.js";
import { visible } from "../visible.js";
import { count } from "../words.js";

/** Characters that are shown at first. */
const MOST = 300;
/** Characters that are shown before the place where two long values begin to differ. */
const BEFORE = 60;

/** The value's element. Of a long text `from` is where the part begins that is shown at first. */
export function valueElement(value, from = 0) {
  if (value === null || value === undefined) return el("span", { class: "no-value" }, "null");
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  if (text === "") return el("span", { class: "no-value" }, "empty text");
  // Isolated: its direction changes nothing around it.
  const shown = el("bdi", { class: "value" });
  if (text.length <= MOST) {
    shown.append(visible(text));
    return shown;
  }
  shown.append(`${from > 0 ? "… " : ""}${visible(text.slice(from, from + MOST))}${from + MOST < text.length ? " …" : ""}`);
  const all = el("button", { type: "button", class: "link small", onclick: () => { shown.textContent = visible(text); all.remove(); } }, `Show all ${count(text.length)} characters`);
  return el("span", { class: "long-value" }, shown, all);
}

/** Where the shown part of two values begins, so that their first difference is in it. */
export function differenceFrom(one, other) {
  if (typeof one !== "string" || typeof other !== "string" || Math.max(one.length, other.length) <= MOST) return 0;
  let same = 0;
  while (same < one.length && one[same] === other[same]) same += 1;
  return Math.max(0, same - BEFORE);
}
