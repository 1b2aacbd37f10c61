// The user's chats, as the list shows them.

import { call, nextPage, send } from "./api.js";

export class Chats {
  #chats = new Map();
  #next = null;
  #listener;

  /** Calls `listener` after each change. */
  constructor(listener) {
    this.#listener = listener;
  }

  /** All that are known, newest activity first. */
  get list() {
    return [...this.#chats.values()].sort((one, other) => Date.parse(other.last_message_at) - Date.parse(one.last_message_at) || other.id - one.id);
  }

  get hasMore() {
    return this.#next !== null;
  }

  get(id) {
    return this.#chats.get(id) ?? null;
  }

  /** Reads the newest chats, and the temporary ones. */
  async load() {
    const [response, temporary] = await Promise.all([send("GET", "/api/chats"), call("GET", "/api/chats?temporary=true&limit=100")]);
    this.#chats.clear();
    this.#take([...temporary, ...(await response.json())], response);
  }

  /** Reads the next page. */
  async more() {
    const response = await send("GET", this.#next);
    this.#take(await response.json(), response);
  }

  async make(temporary) {
    const chat = await call("POST", "/api/chats", { body: temporary ? { temporary } : {} });
    this.set(chat);
    return chat;
  }

  async rename(id, title) {
    this.set(await call("PATCH", `/api/chats/${id}`, { body: { title } }));
  }

  async remove(id) {
    await call("DELETE", `/api/chats/${id}`);
    this.forget(id);
  }

  /** A chat is new, or has changed. */
  set(chat) {
    this.#chats.set(chat.id, { ...this.#chats.get(chat.id), ...chat });
    this.#listener();
  }

  /** A chat has changed that may not be in the list yet; then nothing happens. Returns whether it is there. */
  change(id, change) {
    const chat = this.#chats.get(id);
    if (chat) this.set({ ...chat, ...change });
    return chat !== undefined;
  }

  /** A chat is gone. */
  forget(id) {
    if (this.#chats.delete(id)) this.#listener();
  }

  #take(chats, response) {
    for (const chat of chats) this.#chats.set(chat.id, chat);
    this.#next = nextPage(response);
    this.#listener();
  }
}
