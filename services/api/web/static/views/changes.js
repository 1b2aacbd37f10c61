// Operations: those that wait for a decision, in full, and all that were decided, a line each.

import { call } from "../api.js";
import { el } from "../dom.js";
import { onFeedEvent } from "../feed_events.js";
import { brief } from "../visible.js";
import { LivePanel, PagedList } from "./live_panel.js";
import { OperationCard } from "./operation_card.js";
import { kindWords, moment, statusWords } from "./operation_words.js";

const DECIDED = ["committed", "refused", "stale", "expired", "failed", "approved"];

/** The links to the two views of what was done. */
export function changesNav(place) {
  const link = (href, words) => el("a", { href, "aria-current": href === place ? "page" : null }, words);
  return el("nav", { class: "tabs", "aria-label": "Changes" }, link("#/changes", "Changes"), link("#/changes/audit", "Audit log"));
}

export class Changes extends LivePanel {
  #waiting = el("div", { class: "stack" });
  #none = el("p", { class: "hint", role: "status" });
  #ids = new Set();
  #lines = new Map();
  #filter = el("select", { id: "changes-filter", onchange: () => void this.#loadDecided() }, el("option", { value: "" }, "All"), ...DECIDED.map((status) => el("option", { value: status }, statusWords(status))));
  #decided = new PagedList(this, { list: el("ul", { class: "operation-lines" }), itemOf: (operation) => this.#line(operation), empty: "Nothing yet." });

  constructor() {
    super();
    onFeedEvent((event) => void this.#happened(event), this.signal);
    this.element.append(
      changesNav("#/changes"),
      el("h2", {}, "Waiting for your decision"),
      this.#none,
      this.#waiting,
      el("div", { class: "list-head" }, el("h2", {}, "Decided"), el("div", { class: "field" }, el("label", { for: "changes-filter" }, "Status"), this.#filter)),
      this.#decided.element,
    );
  }

  async load() {
    await Promise.all([this.#loadWaiting(), this.#loadDecided()]);
    return this.element;
  }

  async #loadWaiting() {
    const found = await this.attempt(() => call("GET", "/api/operations?status=proposed&limit=100", { signal: this.signal }));
    if (!found) return;
    for (const operation of found.toReversed()) this.#addWaiting(operation);
    this.#none.textContent = this.#ids.size === 0 ? "Nothing waits." : "";
  }

  /** What has been decided here stays in its place, with its outcome. */
  #addWaiting(operation) {
    if (this.#ids.has(operation.id)) return;
    this.#ids.add(operation.id);
    this.#waiting.prepend(new OperationCard(operation.id, this.signal, operation).element);
    this.#none.textContent = "";
  }

  #loadDecided() {
    this.#lines.clear();
    return this.#decided.load(`/api/operations?limit=30${this.#filter.value ? `&status=${this.#filter.value}` : ""}`);
  }

  async #happened(event) {
    if (event.type === "resync") return this.load();
    if (event.type !== "operation.changed") return undefined;
    const line = this.#lines.get(event.operation_id);
    if (line) line.status.textContent = statusWords(event.status);
    else if (this.#ids.has(event.operation_id)) return undefined;
    else {
      const operation = await this.attempt(() => call("GET", `/api/operations/${event.operation_id}`, { signal: this.signal }), () => {});
      if (operation?.status === "proposed") this.#addWaiting(operation);
      else if (operation && !this.#lines.has(operation.id) && ["", operation.status].includes(this.#filter.value)) this.#decided.prepend(this.#line(operation));
    }
    return undefined;
  }

  /** A line; its card is made when it is unfolded. */
  #line(operation) {
    if (operation.status === "proposed") return null;
    const status = el("span", { class: "tag" }, statusWords(operation.status));
    const fold = el("details", { class: "fold", ontoggle: () => { if (fold.open && fold.childElementCount === 1) fold.append(new OperationCard(operation.id, this.signal, operation).element); } }, el("summary", {}, el("span", { class: "tool-name" }, kindWords(operation.kind)), el("bdi", { class: "tool-input" }, brief(operation.summary, 200)), el("span", { class: "hint" }, moment(operation.created_at)), status));
    this.#lines.set(operation.id, { status });
    return el("li", {}, fold);
  }
}
