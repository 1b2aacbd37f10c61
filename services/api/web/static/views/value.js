// A value of a database. It may be a stranger's, and long.

import { el } from "../dom.js";
import { visible } from "../visible.js";
import { count } from "../words.js";

/** Characters that are shown at first. */
const MOST = 300;
/** Characters that are shown around the stretch in which two long values differ. */
const AROUND = 60;

/** The value's element. Of a long text, `stretch` (`{from, to}`) is shown at first; null for the beginning. */
export function valueElement(value, stretch = null) {
  if (value === null || value === undefined) return el("span", { class: "no-value" }, "null");
  const text = textOf(value);
  if (text === "") return el("span", { class: "no-value" }, "empty text");
  // Isolated: its direction changes nothing around it.
  const shown = el("bdi", { class: "value" });
  if (text.length <= MOST) {
    shown.append(visible(text));
    return shown;
  }
  shown.append(...excerpt(text, stretch ?? { from: 0, to: 0 }));
  const all = el("button", { type: "button", class: "link small", onclick: () => { shown.textContent = visible(text); all.remove(); } }, `Show all ${count(text.length)} characters`);
  return el("span", { class: "long-value" }, shown, all);
}

/**
 * The stretches of two values, `[{from, to}, {from, to}]`, from their first difference to their last one; nulls where
 * one has no text.
 */
export function differingStretches(one, other) {
  if ([one, other].some((value) => value === null || value === undefined)) return [null, null];
  const [old, now] = [textOf(one), textOf(other)];
  const shorter = Math.min(old.length, now.length);
  let before = 0;
  while (before < shorter && old[before] === now[before]) before += 1;
  let after = 0;
  while (after < shorter - before && old.at(-1 - after) === now.at(-1 - after)) after += 1;
  return [old, now].map((text) => ({ from: before, to: text.length - after }));
}

/** A stretch of a long text, and some of what is around it. Of a long stretch: both ends, and how much is between. */
function excerpt(text, { from, to }) {
  const begin = boundary(text, Math.max(0, from - AROUND));
  const end = boundary(text, Math.min(text.length, Math.max(to + AROUND, begin + MOST)));
  const part = (first, last) => `${first > 0 && first === begin ? "… " : ""}${visible(text.slice(first, last))}${last < text.length && last === end ? " …" : ""}`;
  if (end - begin <= MOST + AROUND) return [part(begin, end)];
  const [left, right] = [boundary(text, begin + MOST / 2), boundary(text, end - MOST / 2)];
  return [part(begin, left), el("em", { class: "left-out" }, ` … ${count(right - left)} characters between, which may differ too … `), part(right, end)];
}

/** The place, or the one before where it is in the middle of a character. */
function boundary(text, at) {
  const unit = text.charCodeAt(at);
  return at > 0 && unit >= 0xdc00 && unit <= 0xdfff ? at - 1 : at;
}

function textOf(value) {
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
