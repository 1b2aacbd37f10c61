// A table of a database, whose columns are shown when it is opened.

import { el, icon } from "../dom.js";
import { visible } from "../visible.js";
import { count } from "../words.js";

/** The `<details>` of a table. `opened` keeps the names of the open ones, so that they stay so when the tables are shown anew. */
export function tableDetails(table, opened) {
  const name = `${table.schema}.${table.name}`;
  const notes = [table.kind !== "table" && table.kind, table.rows !== null && `about ${count(table.rows)} rows`].filter(Boolean).join(", ");
  const disclosure = el(
    "details",
    { class: "disclosure", open: opened.has(name), ontoggle: () => (disclosure.open ? opened.add(name) : opened.delete(name)) },
    el("summary", {}, el("bdi", { class: "tool-name" }, visible(table.name)), el("span", { class: "hint" }, visible(notes))),
    el("div", { class: "tool-content" }, table.comment && el("p", { class: "hint" }, visible(table.comment)), columnTable(table)),
  );
  return disclosure;
}

function columnTable(table) {
  const caption = `Columns of ${visible(table.name)}`;
  const refersTo = new Map(table.foreign_keys.flatMap((key) => key.columns.map((column, at) => [column, `${key.to_table}.${key.to_columns[at]}`])));
  const row = (column) => {
    const notes = [
      table.primary_key.includes(column.name) && "key",
      refersTo.has(column.name) && `refers to ${refersTo.get(column.name)}`,
      !column.is_nullable && "not null",
      column.generated !== "no" ? "made by the database" : column.default !== null && `default ${column.default}`,
      column.comment,
    ].filter(Boolean);
    return el("tr", {}, el("th", { scope: "row" }, el("bdi", {}, visible(column.name))), el("td", {}, visible(column.type)), el("td", {}, visible(notes.join(", "))));
  };
  return el(
    "div",
    { class: "table-frame", tabindex: "0", role: "group", "aria-label": caption },
    el("table", {}, el("caption", { class: "visually-hidden" }, caption), el("thead", {}, el("tr", {}, ...["Column", "Type", "Notes"].map((head) => el("th", { scope: "col" }, head)))), el("tbody", {}, ...table.columns.map(row))),
  );
}
