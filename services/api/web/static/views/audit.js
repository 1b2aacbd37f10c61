// The audit log: what was done with the user's databases, and who decided.

import { el } from "../dom.js";
import { onFeedEvent } from "../feed_events.js";
import { visible } from "../visible.js";
import { changesNav } from "./changes.js";
import { LivePanel, PagedList } from "./live_panel.js";
import { moment } from "./operation_words.js";

const ACTIONS = {
  __proto__: null,
  "data_source.added": "Database connected",
  "data_source.changed": "Database changed",
  "data_source.deleted": "Database deleted",
  "query.run": "Query run",
  "preview.run": "Preview made",
  "operation.proposed": "Change proposed",
  "operation.approved": "Change approved",
  "operation.refused": "Change refused",
  "operation.expired": "Change expired",
  "operation.committed": "Change done",
  "operation.called": "Tool called",
  "operation.stale": "Change out of date",
  "operation.failed": "Change failed",
};

export class Audit extends LivePanel {
  /** The items that are shown, by their numbers. An entry never changes: its item stays, open or not. */
  #items = new Map();
  #list = new PagedList(this, { list: el("ol", { class: "audit" }), itemOf: (entry) => this.#itemOf(entry), empty: "Nothing was done yet." });

  constructor() {
    super();
    onFeedEvent((event) => { if (["operation.changed", "data_source.changed", "resync"].includes(event.type)) void this.readAll(); }, this.signal);
    this.element.append(changesNav("#/changes/audit"), el("p", { class: "lead" }, "Entries are only ever added. Each one's hash covers the entry before, so that a change of an old entry is found."), this.#list.element);
  }

  readAll() {
    return this.#list.load("/api/audit?limit=50");
  }

  #itemOf(entry) {
    if (!this.#items.has(entry.number)) this.#items.set(entry.number, entryItem(entry));
    return this.#items.get(entry.number);
  }
}

function entryItem({ number, at, action, subject, details, hash }) {
  return el(
    "li",
    { value: String(number) },
    el("p", {}, el("strong", {}, ACTIONS[action] ?? visible(action)), " ", el("span", { class: "hint" }, `${moment(at)} · ${visible(subject)}`)),
    el("details", { class: "disclosure" }, el("summary", {}, "Details"), el("div", { class: "tool-content" }, el("pre", { tabindex: "0", role: "group", "aria-label": `Details of entry ${number}` }, visible(JSON.stringify(details, null, 2))), el("p", { class: "hint hash" }, `Hash: ${hash}`))),
  );
}
