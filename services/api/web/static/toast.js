// A short word on what has just failed, or worked, at the edge of the page.

import { el, iconButton } from "./dom.js";

const SHOWN_MS = 8_000;

const region = el("div", { class: "toasts", role: "alert" });
document.body.append(region);

/** Shows a text for some seconds. */
export function toast(text) {
  const shown = el("div", { class: "toast" }, el("p", {}, text), iconButton("close", "Close", () => shown.remove()));
  region.append(shown);
  setTimeout(() => shown.remove(), SHOWN_MS);
}
