// The user's chats, as the list shows them.

import { untilItWorks } from "./again.js";
import { call, nextPage, readJson, send } from "./api.js";

export class Chats {
  #chats = new Map();
  #next = null;
  #listener;
  #signal;
  #stale = false;
  #reading = false;
  #isRead = false;
  /** What has changed since a read began that is not over: it may not be in what comes. */
  #since = [];

  /** Calls `listener` after each change. Reads nothing more after `signal` is aborted. */
  constructor(listener, signal) {
    this.#listener = listener;
    this.#signal = signal;
  }

  /** All that are known, newest activity first. */
  get list() {
    return [...this.#chats.values()].sort((one, other) => active(other) - active(one) || other.id - one.id);
  }

  get hasMore() {
    return this.#next !== null;
  }

  get(id) {
    return this.#chats.get(id) ?? null;
  }

  /** Reads the newest chats, and the temporary ones, until that works. Throws what another try does not mend. */
  async refresh() {
    this.#stale = true;
    if (this.#reading) return;
    this.#reading = true;
    try {
      while (this.#stale) {
        this.#stale = false;
        await untilItWorks(() => this.#read(), this.#signal);
      }
    } finally {
      this.#reading = false;
    }
  }

  /** Reads the next page. */
  async more() {
    const response = await send("GET", this.#next);
    const chats = await readJson(response);
    this.#next = nextPage(response);
    for (const chat of chats) this.#chats.set(chat.id, chat);
    this.#listener();
  }

  async make(temporary) {
    const chat = await call("POST", "/api/chats", { body: temporary ? { temporary } : {} });
    this.set(chat);
    return chat;
  }

  async rename(id, title) {
    this.set(await call("PATCH", `/api/chats/${id}`, { body: { title } }));
  }

  /** Moves a chat to the trash; a temporary one is deleted for good. The list has the chat until `forget`. */
  async remove({ id, temporary }) {
    await (temporary ? call("DELETE", `/api/chats/${id}`) : call("POST", `/api/chats/${id}/trash`));
  }

  /** A chat is new, or has changed. */
  set(chat) {
    this.#do((chats) => chats.set(chat.id, { ...chats.get(chat.id), ...chat }));
  }

  /** A chat is new. One that is known already is known better. */
  add(chat) {
    this.#do((chats) => chats.has(chat.id) || chats.set(chat.id, chat));
  }

  /** A chat has changed that may not be in the list yet; then nothing happens. Returns whether it is there. */
  change(id, change) {
    this.#do((chats) => chats.has(id) && chats.set(id, { ...chats.get(id), ...change }));
    return this.#chats.has(id);
  }

  /** A chat is gone. */
  forget(id) {
    this.#do((chats) => chats.delete(id));
  }

  #do(change) {
    if (this.#reading) this.#since.push(change);
    if (change(this.#chats)) this.#listener();
  }

  async #read() {
    this.#since = [];
    const signal = this.#signal;
    const [response, temporary] = await Promise.all([send("GET", "/api/chats", { signal }), call("GET", "/api/chats?temporary=true&limit=100", { signal })]);
    const newest = await readJson(response, signal);
    this.#merge(newest, temporary, nextPage(response));
    for (const change of this.#since) change(this.#chats);
    this.#listener();
  }

  /** What is older than the newest page stays as it was read. What is not, and has not come, is gone. */
  #merge(newest, temporary, next) {
    const oldest = newest.at(-1);
    // Older pages that were read go on from the same place, unless there may be a gap before them.
    if (!(this.#isRead && next !== null && this.#chats.has(oldest.id))) this.#next = next;
    this.#isRead = true;
    const came = new Map([...temporary, ...newest].map((chat) => [chat.id, chat]));
    for (const [id, chat] of this.#chats) {
      const isOlder = next !== null && !chat.temporary && active(chat) <= active(oldest);
      if (!came.has(id) && !isOlder) this.#chats.delete(id);
    }
    for (const [id, chat] of came) this.#chats.set(id, chat);
  }
}

/** When a chat was last used, in ms. */
function active(chat) {
  return Date.parse(chat.last_message_at);
}
