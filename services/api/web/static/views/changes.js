// Operations: those that wait for a decision, in full, and all that were decided, a line each.

import { call, nextPage, readJson, send } from "../api.js";
import { el } from "../dom.js";
import { onFeedEvent } from "../feed_events.js";
import { brief } from "../visible.js";
import { LivePanel, PagedList } from "./live_panel.js";
import { OperationCard } from "./operation_card.js";
import { isBefore, kindWords, moment, statusWords } from "./operation_words.js";

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
  /** Those that are shown, by their ids: `{item, tell(status)}`. */
  #lines = new Map();
  /** Is aborted when other lines are shown. */
  #replaced = new AbortController();
  #filter = el("select", { id: "changes-filter", onchange: () => void this.#choose() }, el("option", { value: "" }, "All"), ...DECIDED.map((status) => el("option", { value: status }, statusWords(status))));
  #decided = new PagedList(this, { list: el("ul", { class: "operation-lines" }), itemOf: (operation) => this.#lineOf(operation), empty: "Nothing yet." });

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

  readAll() {
    return Promise.all([this.#loadWaiting(), this.#loadDecided()]);
  }

  async #loadWaiting() {
    const found = await this.read(() => this.#readWaiting());
    if (!found) return;
    for (const { id } of found.toReversed()) this.#addWaiting(id);
    this.#none.textContent = this.#ids.size === 0 ? "Nothing waits." : "";
  }

  /** All that wait, page by page. There are few: the operator sets how many (OPERATIONS_MAX_PENDING). */
  async #readWaiting() {
    const found = [];
    for (let path = "/api/operations?status=proposed&limit=100"; path !== null; ) {
      const response = await send("GET", path, { signal: this.signal });
      found.push(...(await readJson(response, this.signal)));
      path = nextPage(response);
    }
    return found;
  }

  /** What has been decided here stays in its place, with its outcome. A list has no previews: the card reads its own. */
  #addWaiting(id) {
    if (this.#ids.has(id)) return;
    this.#ids.add(id);
    this.#waiting.prepend(new OperationCard(id, this.signal).element);
    this.#none.textContent = "";
  }

  /** Shows those with the status that is chosen, instead of those with another one. */
  #choose() {
    this.#lines.clear();
    this.#replaced.abort();
    this.#replaced = new AbortController();
    return this.#loadDecided();
  }

  #loadDecided() {
    return this.#decided.load(`/api/operations?limit=30${this.#filter.value ? `&status=${this.#filter.value}` : ""}`);
  }

  async #happened(event) {
    if (event.type === "resync") return this.readAll();
    if (event.type !== "operation.changed") return undefined;
    const line = this.#lines.get(event.operation_id);
    if (line) line.tell(event.status);
    else if (this.#ids.has(event.operation_id)) return undefined;
    else if (event.status === "proposed") this.#addWaiting(event.operation_id);
    else {
      const operation = await this.read(() => call("GET", `/api/operations/${event.operation_id}`, { signal: this.signal }), () => {});
      if (operation && !this.#lines.has(operation.id) && ["", operation.status].includes(this.#filter.value)) this.#decided.prepend(this.#lineOf(operation));
    }
    return undefined;
  }

  /** The item of an operation. One that is shown already stays as it is, open or not, with the status of now. */
  #lineOf(operation) {
    if (operation.status === "proposed") return null;
    const known = this.#lines.get(operation.id);
    if (known) known.tell(operation.status);
    else this.#lines.set(operation.id, operationLine(operation, AbortSignal.any([this.signal, this.#replaced.signal])));
    return this.#lines.get(operation.id).item;
  }
}

/** A line, and `tell`, which shows another status. Its card is made when it is opened, and is kept up to date until `signal` is aborted. */
function operationLine(operation, signal) {
  let { status } = operation;
  const tag = el("span", { class: "tag" }, statusWords(status));
  const showCard = () => { if (disclosure.open && disclosure.childElementCount === 1) disclosure.append(new OperationCard(operation.id, signal).element); };
  const disclosure = el(
    "details",
    { class: "disclosure", ontoggle: showCard },
    el("summary", {}, el("span", { class: "tool-name" }, kindWords(operation.kind)), el("bdi", { class: "tool-input" }, brief(operation.summary, 200)), el("span", { class: "hint" }, moment(operation.created_at)), tag),
  );
  const tell = (now) => {
    if (isBefore(now, status)) return;
    status = now;
    tag.textContent = statusWords(status);
  };
  return { item: el("li", {}, disclosure), tell };
}
