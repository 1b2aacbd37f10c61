// One database: its roles and tables, a box that asks it, and a box that proposes a change.

import { oneAtATime } from "../again.js";
import { call } from "../api.js";
import { confirm } from "../dialogs.js";
import { button, el, icon } from "../dom.js";
import { onFeedEvent } from "../feed_events.js";
import { goTo } from "../navigation.js";
import { visible } from "../visible.js";
import { exceptionWords } from "../words.js";
import { changeBox, queryBox } from "./database_boxes.js";
import { testResult } from "./database_test.js";
import { tableDetails } from "./database_tables.js";
import { whereWords } from "./databases.js";
import { LivePanel } from "./live_panel.js";
import { moment } from "./operation_words.js";

export class Database extends LivePanel {
  #id;
  #source = null;
  #head = el("header", { class: "database-head" });
  #test = el("div", { role: "status" });
  #tables = el("div", { class: "table-list" });
  #tablesNote = el("p", { class: "hint" });
  #buttons;
  #openTables = new Set();
  /** Why the database could not be read again. */
  #problem = el("p", { class: "notice", role: "status", hidden: true });

  constructor(id) {
    super();
    this.#id = id;
    this.#buttons = [
      button("Test", () => void this.#work((path) => call("POST", `${path}/test`), (result) => this.#test.replaceChildren(testResult(result))), { symbol: "tool" }),
      button("Refresh", () => void this.#work((path) => call("POST", `${path}/refresh`), (schema) => this.#showTables(schema)), { symbol: "again" }),
      button("Delete", () => void this.#remove(), { kind: "danger-quiet", symbol: "trash" }),
    ];
    this.element.append(breadcrumb(), el("p", { class: "hint" }, "Loading …"));
    onFeedEvent((event) => {
      const isThis = event.type === "data_source.changed" && event.data_source_id === id;
      if (isThis || event.type === "resync") void this.readAll();
    }, this.signal);
  }

  get #path() {
    return `/api/data-sources/${this.#id}`;
  }

  #showPanel() {
    this.element.replaceChildren(
      breadcrumb(),
      this.#problem,
      this.#head,
      el("div", { class: "button-row" }, ...this.#buttons),
      this.#test,
      queryBox(this, this.#id),
      this.#source.can_write ? changeBox(this, this.#id) : el("p", { class: "hint" }, "There is no address for changes, so nothing can be changed here."),
      el("h2", {}, "Tables"),
      this.#tablesNote,
      this.#tables,
    );
  }

  readAll = oneAtATime(async () => {
    const source = await this.read(() => call("GET", this.#path, { signal: this.signal }), (error) => {
      this.#problem.replaceChildren(icon("warning"), exceptionWords(error));
      this.#problem.hidden = false;
      // What was typed, and what is shown of rows and changes, stays.
      if (this.#source === null) this.element.replaceChildren(breadcrumb(), this.#problem);
    });
    if (!source) return;
    this.#problem.hidden = true;
    const isReadAnew = this.#source !== null && source.schema_read_at !== this.#source.schema_read_at && source.schema_read_at !== null;
    const isFirst = this.#source === null;
    this.#source = source;
    this.#head.replaceChildren(
      el("h2", {}, el("bdi", {}, visible(source.name))),
      el("p", { class: "hint" }, whereWords(source), source.writer && source.kind !== "sandbox" && visible(`; changes as ${source.writer.user}`)),
      el("p", { class: "hint" }, connectionWords(source)),
    );
    if (isFirst) this.#showPanel();
    if (isFirst || isReadAnew) void this.#readTables();
  });

  /** An old list of tables is shown at once; the database is asked where there is none, and may not answer. */
  #readTables() {
    return this.attempt(async () => this.#showTables(await call("GET", `${this.#path}/schema`, { signal: this.signal })), (error) => { this.#tablesNote.textContent = exceptionWords(error); });
  }

  #showTables({ tables, is_cut, read_at }) {
    this.#tablesNote.textContent = `${tables.length === 0 ? "The reader sees no tables. " : ""}As of ${moment(read_at)}.${is_cut ? " There are more tables than these." : ""}`;
    this.#tables.replaceChildren(...tables.map((table) => tableDetails(table, this.#openTables)));
  }

  async #work(action, show) {
    for (const one of this.#buttons) one.disabled = true;
    this.#test.replaceChildren(el("p", { class: "hint" }, "Connecting …"));
    const result = await this.attempt(() => action(this.#path), (error) => this.#test.replaceChildren(el("p", { class: "form-error" }, exceptionWords(error))));
    for (const one of this.#buttons) one.disabled = false;
    if (result === undefined) return;
    this.#test.replaceChildren();
    show(result);
  }

  async #remove() {
    const isSandbox = this.#source.kind === "sandbox";
    const text = `“${visible(this.#source.name)}” and its changes will be forgotten here. ${isSandbox ? "The sandbox is deleted with all of its rows." : "Nothing changes in the database itself."}`;
    if (!(await confirm({ title: "Delete this database?", text, yes: "Delete" }))) return;
    const done = await this.attempt(async () => { await call("DELETE", this.#path); return true; });
    if (done && !this.signal.aborted) goTo("#/databases");
  }
}

function breadcrumb() {
  return el("p", { class: "breadcrumb" }, el("a", { href: "#/databases" }, "← All databases"));
}

function connectionWords({ status, checked_at }) {
  if (status === null || checked_at === null) return "Nobody has tried to connect yet.";
  return status === "ok" ? `It answered at the last try, ${moment(checked_at)}.` : `The last try failed, ${moment(checked_at)}: ${exceptionWords({ code: status, message: status })}`;
}
