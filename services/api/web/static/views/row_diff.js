// Rows before and after a change, side by side. Marks and words say what changes, not colours alone.

import { button, el } from "../dom.js";
import { brief, visible } from "../visible.js";
import { conflictWords } from "./operation_words.js";
import { differingStretches, valueElement } from "./value.js";

/** Rows that are shown at first, and that a click adds. */
const STEP = 20;

/** The diff. `preview` has `table`, `key`, `columns`, `rows` and `set_at_commit`, as in docs/protocol.md. */
export function rowDiff(preview) {
  const table = el("table", { class: "diff-table" });
  const more = button("", () => show(), { kind: "quiet" });
  const toggle = el("input", { type: "checkbox", role: "switch", onchange: () => table.classList.toggle("has-all", toggle.checked) });
  const caption = `Rows of ${visible(preview.table)} before and after`;
  let shown = 0;

  function show() {
    const next = preview.rows.slice(shown, shown + STEP);
    table.append(...next.map((row) => rowBody(row, preview)));
    shown += next.length;
    more.hidden = shown >= preview.rows.length;
    more.textContent = `Show ${Math.min(STEP, preview.rows.length - shown)} more of ${preview.rows.length} rows`;
  }

  table.append(el("caption", { class: "visually-hidden" }, caption), el("thead", {}, el("tr", {}, ...["Column", "Before", "After"].map((head) => el("th", { scope: "col" }, head)))));
  show();
  const hasMore = preview.rows.some((row) => row.before && row.after);
  return el(
    "div",
    { class: "diff" },
    hasMore && el("label", { class: "switch small" }, toggle, el("span", {}, "Show unchanged columns")),
    el("div", { class: "table-frame", tabindex: "0", role: "group", "aria-label": caption }, table),
    more,
  );
}

function rowBody(row, preview) {
  const kind = row.conflict ? `Stays as it is: ${conflictWords(row.conflict)}` : row.before === null ? "Added" : row.after === null ? "Deleted" : "Changed";
  const of = row.before ?? row.after ?? {};
  const name = preview.key.map((column) => `${brief(column)} ${brief(String(of[column] ?? "…"))}`).join(", ");
  const head = el("tr", { class: "diff-row" }, el("th", { colspan: "3", scope: "rowgroup" }, el("span", { class: "tag" }, kind), " ", el("bdi", {}, name)));
  const body = el("tbody", { class: row.conflict ? "has-conflict" : null }, head);
  body.append(...preview.columns.map((column) => columnRow(column, row, preview)));
  return body;
}

function columnRow({ name, type }, { before, after }, preview) {
  const isSet = after !== null && (preview.set_at_commit ?? []).includes(name);
  const isChanged = before === null || after === null || isSet || !isSame(before[name], after[name]);
  const [from, to] = isChanged && before && after ? differingStretches(before[name], after[name]) : [null, null];
  const old = before === null ? none() : isChanged ? marked("del", "−", before[name], from) : valueElement(before[name]);
  const now = after === null ? none() : isSet ? el("ins", {}, mark("+"), el("em", {}, "set when it is done")) : isChanged ? marked("ins", "+", after[name], to) : valueElement(after[name]);
  return el("tr", { class: isChanged ? null : "is-same" }, el("th", { scope: "row" }, el("bdi", {}, brief(name)), el("small", {}, visible(type))), el("td", {}, old), el("td", {}, now));
}

function marked(name, sign, value, stretch) {
  return el(name, {}, mark(sign), valueElement(value, stretch));
}

function mark(sign) {
  return el("span", { class: "diff-mark", "aria-hidden": "true" }, sign);
}

function none() {
  return el("span", { class: "no-value" }, "no row");
}

function isSame(one, other) {
  return one === other || JSON.stringify(one) === JSON.stringify(other);
}
