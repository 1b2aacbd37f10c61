// Rows of a query as a table.

import { button, el } from "../dom.js";
import { brief, visible } from "../visible.js";
import { count } from "../words.js";
import { valueElement } from "./value.js";

/** Rows that are shown at first, and that a click adds. */
const STEP = 20;
const NUMBERS = /^(smallint|integer|bigint|numeric|real|double precision|int[248]|float[48]|money|oid)\b/;

/** A table. `columns` are `{name, type}`, `rows` lists of values. `isCut`: there is more than these rows have. */
export function rowsTable({ caption, columns, rows, isCut }) {
  const classes = columns.map((column) => (NUMBERS.test(column.type) ? "number" : null));
  const body = el("tbody");
  const more = button("", () => show(), { kind: "quiet" });
  const note = el("p", { class: "hint" });

  function show() {
    const from = body.childElementCount;
    body.append(...rows.slice(from, from + STEP).map((row) => el("tr", {}, ...columns.map((_, at) => el("td", { class: classes[at] }, valueElement(row[at]))))));
    const left = rows.length - body.childElementCount;
    more.hidden = left === 0;
    more.textContent = `Show ${Math.min(STEP, left)} more rows`;
    note.textContent = `${body.childElementCount} of ${isCut ? "more than " : ""}${count(rows.length)} rows${isCut ? ". The query has more rows, or longer values, than were sent." : ""}`;
  }

  show();
  if (rows.length === 0) return el("p", { class: "hint" }, "No rows.");
  const heads = columns.map((column, at) => el("th", { scope: "col", class: classes[at] }, el("bdi", {}, brief(column.name)), el("small", {}, visible(column.type))));
  return el(
    "div",
    { class: "rows" },
    el("div", { class: "table-frame", tabindex: "0", role: "group", "aria-label": caption }, el("table", { class: "rows-table" }, el("caption", { class: "visually-hidden" }, caption), el("thead", {}, el("tr", {}, ...heads)), body)),
    el("div", { class: "rows-foot" }, note, more),
  );
}
