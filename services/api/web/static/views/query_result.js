// What a query gave: what it finds out, its rows, a chart where there is one, and the SQL.

import { Refused, Unreachable, call } from "../api.js";
import { button, el, icon } from "../dom.js";
import { visible } from "../visible.js";
import { exceptionWords } from "../words.js";
import { chart } from "./chart.js";
import { watchRows } from "./row_changes.js";
import { rowsTable } from "./rows_table.js";
import { sqlDetails } from "./sql_details.js";

/** Whether this is what the tool `db_query` gives. A very large output may have lost its members. */
export function isQueryResult(output) {
  return typeof output === "object" && output !== null && Array.isArray(output.columns) && Array.isArray(output.rows) && output.rows.every(Array.isArray) && typeof output.sql === "string";
}

/**
 * The element of a result `{source, sql, purpose?, columns, rows, cut, chart?}`. When rows of one of its tables change, it
 * says so, and can be run again, until `signal` is aborted. `changes`: those since the rows were asked for, from `watchRows`.
 */
export function queryResult(result, signal, changes = watchRows(result, signal)) {
  const purpose = visible(result.purpose ?? "");
  const body = el("div", { class: "query-body" });
  const words = el("span");
  const again = button("Run again", () => void run(), { kind: "quiet", symbol: "again" });
  const note = el("div", { class: "notice out-of-date", role: "status", hidden: true }, icon("warning"), words, again);

  function show({ columns, rows, cut }) {
    const picture = chart(result.chart, columns, rows);
    body.replaceChildren(...[picture, rowsTable({ caption: purpose || "Rows of the query", columns, rows, isCut: cut })].filter(Boolean));
  }

  async function run() {
    const before = changes.words;
    changes.words = null;
    again.disabled = true;
    words.textContent = "Running …";
    try {
      const { columns, rows, is_cut } = await call("POST", `/api/data-sources/${result.source}/query`, { body: { sql: result.sql }, signal });
      show({ columns, rows, cut: is_cut });
      tell("These are the rows of now.");
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
      changes.words ??= before;
      words.textContent = exceptionWords(error);
    } finally {
      again.disabled = false;
    }
  }

  /** Says that the rows are out of date; `otherwise` where they are not. */
  function tell(otherwise) {
    words.textContent = changes.words ?? otherwise;
    note.classList.toggle("out-of-date", changes.words !== null);
    note.hidden = words.textContent === "";
  }

  changes.listener = () => { if (!again.disabled) tell(""); };
  tell("");
  show(result);
  return el("section", { class: "query-result" }, purpose && el("p", { class: "purpose" }, el("bdi", {}, purpose)), note, body, sqlDetails(result.sql));
}
