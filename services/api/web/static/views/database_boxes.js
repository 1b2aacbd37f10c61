// Two boxes for SQL: one asks a database, one proposes a change of it.

import { call } from "../api.js";
import { el } from "../dom.js";
import { exceptionWords } from "../words.js";
import { OperationCard } from "./operation_card.js";
import { queryResult } from "./query_result.js";
import { watchRows } from "./row_changes.js";

/** A box that runs a SELECT and shows the rows. `panel` is the LivePanel that it is in, `source` the database's id. */
export function queryBox(panel, source) {
  const run = async ({ sql }, signal) => {
    const changes = watchRows({ source, sql }, signal);
    const { columns, rows, is_cut } = await call("POST", `/api/data-sources/${source}/query`, { body: { sql }, signal });
    return queryResult({ source, sql, columns, rows, cut: is_cut }, signal, changes);
  };
  return box(panel, { title: "Ask", id: "query", label: "A SELECT statement", placeholder: "SELECT * FROM orders LIMIT 20", submit: "Run", run });
}

/** A box that proposes a change, and shows its card. */
export function changeBox(panel, source) {
  const run = async ({ sql, summary }, signal) => {
    const operation = await call("POST", `/api/data-sources/${source}/operations`, { body: summary ? { sql, summary } : { sql }, signal });
    return new OperationCard(operation.id, signal, operation).element;
  };
  const summary = el("input", { type: "text", id: "change-summary", maxlength: "500", autocomplete: "off" });
  const field = el("div", { class: "field" }, el("label", { for: "change-summary" }, "What it is for (optional)"), summary);
  return box(panel, { title: "Change", id: "change", label: "An INSERT, UPDATE or DELETE statement", placeholder: "UPDATE orders SET status = 'paid' WHERE id = 7", submit: "Show what it would do", run, field, summary });
}

function box(panel, { title, id, label, placeholder, submit, run, field = null, summary = null }) {
  const sql = el("textarea", { id: `${id}-sql`, class: "sql-input", rows: "3", spellcheck: "false", autocapitalize: "off", placeholder, "aria-describedby": `${id}-problem` });
  const problem = el("p", { class: "form-error", id: `${id}-problem`, role: "alert" });
  const send = el("button", { type: "submit", class: "button primary" }, submit);
  const result = el("div", { class: "box-result" });
  let replaced = new AbortController();
  const go = async () => {
    problem.textContent = "";
    sql.removeAttribute("aria-invalid");
    if (sql.value.trim() === "") return sql.focus();
    send.disabled = true;
    const next = new AbortController();
    const shown = await panel.attempt(() => run({ sql: sql.value, summary: summary?.value.trim() }, AbortSignal.any([panel.signal, next.signal])), (error) => {
      next.abort();
      problem.textContent = exceptionWords(error).replace(/^sql: /, "");
      sql.setAttribute("aria-invalid", "true");
      sql.focus();
    });
    send.disabled = false;
    if (!shown) return undefined; // what was shown before stays
    replaced.abort();
    replaced = next;
    result.replaceChildren(shown);
    return undefined;
  };
  const form = el("form", { class: "stack", onsubmit: (event) => { event.preventDefault(); void go(); } }, el("div", { class: "field" }, el("label", { for: `${id}-sql` }, label), sql), field, problem, el("div", { class: "actions" }, send));
  return el("section", { class: "stack", "aria-label": title }, el("h2", {}, title), form, result);
}
