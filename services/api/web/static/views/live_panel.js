// What the views of databases, changes and the trash have in common: they are kept up to date until something else is opened.

import { untilItWorks } from "../again.js";
import { Refused, Unreachable, nextPage, readJson, send } from "../api.js";
import { button, el, placeChildren } from "../dom.js";
import { toast } from "../toast.js";
import { exceptionWords } from "../words.js";

/** A panel. `readAll()` of each kind reads what it shows. */
export class LivePanel {
  #left = new AbortController();
  #failed;
  #hasFailed = new Promise((resolve) => { this.#failed = resolve; });
  element = el("div", { class: "panel" });

  /** Is aborted when something else is opened. */
  get signal() {
    return this.#left.signal;
  }

  close() {
    this.#left.abort();
  }

  /** The element, once all is read or something has failed: what failed is tried again while the panel is shown. */
  async load() {
    await Promise.race([this.readAll(), this.#hasFailed]);
    return this.element;
  }

  /** Reads with `action`, until that works. What another try does not mend is given to `told`. Returns as `attempt` does. */
  read(action, told, signal = this.signal) {
    const once = async () => {
      try {
        return await action();
      } catch (error) {
        this.#failed();
        throw error;
      }
    };
    return this.attempt(() => untilItWorks(once, signal), told);
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
  #path = null;
  #next = null;
  /** How many rows were read. A row may have no item. */
  #rows = 0;
  /** How many rows are to be read, at least; 0 for one page. */
  #wanted = 0;
  #isLoading = false;
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

  /**
   * Reads `path` in place of all that is shown, until that works: its first page, or as many rows as are shown of it now,
   * with more where somebody has just asked for more. A read that is not over yet is given up.
   */
  async load(path) {
    this.#reading.abort();
    const reading = new AbortController();
    this.#reading = reading;
    const signal = AbortSignal.any([reading.signal, this.#panel.signal]);
    if (path !== this.#path) {
      this.#path = path;
      this.#rows = 0;
      this.#wanted = 0;
    }
    this.#wanted = Math.max(this.#wanted, this.#rows);
    this.#isLoading = true;
    try {
      const rows = await this.#panel.read(() => this.#read(path, signal), undefined, signal);
      if (!rows) return;
      this.#rows = rows.length;
      placeChildren(this.#list, rows.map(this.#itemOf).filter(Boolean));
      this.#changed();
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      if (this.#reading === reading) this.#end();
    }
  }

  /** Shows an item before all others. */
  prepend(item) {
    this.#rows += 1;
    this.#list.prepend(item);
    this.#changed();
    this.#loadAgain();
  }

  /** Takes an item away; undefined for one that is not shown yet. */
  remove(item) {
    item?.remove();
    this.#changed();
    this.#loadAgain();
  }

  /** What is being read may be older than a change. */
  #loadAgain() {
    if (this.#isLoading) void this.load(this.#path);
  }

  #changed() {
    this.#empty.hidden = this.#list.childElementCount > 0 || this.#next !== null;
    this.#more.hidden = this.#next === null;
  }

  async #readMore() {
    this.#more.disabled = true; // a second click would show the page twice
    this.#wanted = this.#rows + 1;
    if (this.#isLoading) return; // the load that runs reads the rows that are wanted
    const signal = AbortSignal.any([this.#reading.signal, this.#panel.signal]);
    const rows = await this.#panel.attempt(() => this.#read(this.#next, signal, this.#rows).catch((error) => { if (!signal.aborted) throw error; }));
    if (signal.aborted) return; // a new load reads these rows too
    this.#end();
    if (!rows) return;
    this.#rows += rows.length;
    this.#list.append(...rows.map(this.#itemOf).filter(Boolean));
    this.#changed();
  }

  #end() {
    this.#isLoading = false;
    this.#wanted = 0;
    this.#more.disabled = false;
  }

  /** Reads pages from `path` on, until the rows that are wanted were read. `before` were read earlier. */
  async #read(path, signal, before = 0) {
    const rows = [];
    let next = path;
    do {
      const response = await send("GET", next, { signal });
      rows.push(...(await readJson(response, signal)));
      next = nextPage(response);
    } while (next !== null && before + rows.length < this.#wanted);
    signal.throwIfAborted();
    this.#next = next;
    return rows;
  }
}
