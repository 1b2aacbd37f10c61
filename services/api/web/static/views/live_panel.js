// What the views of databases, changes and the trash have in common: they are kept up to date until something else is opened.

import { Refused, Unreachable, nextPage, readJson, send } from "../api.js";
import { button, el } from "../dom.js";
import { toast } from "../toast.js";
import { exceptionWords } from "../words.js";

export class LivePanel {
  #left = new AbortController();
  element = el("div", { class: "panel" });

  /** Is aborted when something else is opened. */
  get signal() {
    return this.#left.signal;
  }

  close() {
    this.#left.abort();
  }

  /** Does `action`. What is refused is given to `told`. Returns what `action` returns; undefined where that failed. */
  async attempt(action, told = (error) => toast(exceptionWords(error))) {
    try {
      return await action();
    } catch (error) {
      if (this.signal.aborted) return undefined;
      if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
      if (error.status !== 401) told(error);
      return undefined;
    }
  }
}

/**
 * A list that is read page by page, in `list`, an element. `itemOf(row)` makes the element of a row, or null. `empty` is
 * said where there is nothing.
 */
export class PagedList {
  #next = null;
  #panel;
  #itemOf;
  #list;
  #empty;
  #more = button("Show more", () => void this.#readMore(), { kind: "quiet" });
  #reading = new AbortController();

  constructor(panel, { list, itemOf, empty }) {
    this.#panel = panel;
    this.#itemOf = itemOf;
    this.#list = list;
    this.#empty = el("p", { class: "hint", hidden: true }, empty);
    this.element = el("div", { class: "paged" }, list, this.#empty, this.#more);
    this.#more.hidden = true;
  }

  /** Reads the first page of `path` in place of all that is shown. A read that is not over yet is given up. */
  async load(path) {
    this.#reading.abort();
    const reading = new AbortController();
    this.#reading = reading;
    await this.#panel.attempt(() => this.#read(path, true, AbortSignal.any([reading.signal, this.#panel.signal])), (error) => {
      if (!reading.signal.aborted) toast(exceptionWords(error));
    });
  }

  /** Shows an item before all others. */
  prepend(item) {
    this.#list.prepend(item);
    this.#empty.hidden = true;
  }

  /** An item was taken away. */
  changed() {
    this.#empty.hidden = this.#list.childElementCount > 0 || this.#next !== null;
  }

  async #readMore() {
    this.#more.disabled = true; // a second click would show the page twice
    await this.#panel.attempt(() => this.#read(this.#next, false, AbortSignal.any([this.#reading.signal, this.#panel.signal])));
    this.#more.disabled = false;
  }

  async #read(path, isFirst, signal) {
    let rows;
    try {
      const response = await send("GET", path, { signal });
      rows = await readJson(response, signal);
      if (signal.aborted) return;
      this.#next = nextPage(response);
    } catch (error) {
      if (signal.aborted) return; // another read has begun
      throw error;
    }
    const items = rows.map(this.#itemOf).filter(Boolean);
    if (isFirst) this.#list.replaceChildren(...items);
    else this.#list.append(...items);
    this.#more.hidden = this.#next === null;
    this.changed();
  }
}
