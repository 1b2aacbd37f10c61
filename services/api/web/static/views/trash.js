// Chats in the trash. They can be restored for a while.

import { call } from "../api.js";
import { button, el } from "../dom.js";
import { onFeedEvent } from "../feed_events.js";
import { visible } from "../visible.js";
import { day } from "../words.js";
import { LivePanel, PagedList } from "./live_panel.js";

export class Trash extends LivePanel {
  /** By the chats' ids. */
  #items = new Map();
  #list = new PagedList(this, { list: el("ul", { class: "trash-list" }), itemOf: (chat) => this.#item(chat), empty: "The trash is empty." });

  constructor() {
    super();
    this.element.append(el("p", { class: "lead" }, "Chats that you have deleted are here for a while. Nobody is told anything of them meanwhile."), this.#list.element);
    onFeedEvent((event) => {
      if (event.type === "chat.deleted" || event.type === "resync") void this.readAll();
      else if (event.type === "chat.created") this.#forget(event.chat_id);
    }, this.signal);
  }

  readAll() {
    return this.#list.load("/api/trash?limit=50");
  }

  #item(chat) {
    const title = visible(chat.title ?? "New chat");
    const restore = button("Restore", () => void this.#restore(chat, restore), { symbol: "undo", "aria-label": `Restore “${title}”` });
    const item = el("li", {}, el("div", {}, el("p", {}, el("bdi", {}, title)), el("p", { class: "hint" }, `Deleted on ${day(chat.deleted_at)}; gone for good after ${day(chat.expires_at)}`)), restore);
    this.#items.set(chat.id, item);
    return item;
  }

  async #restore(chat, clicked) {
    clicked.disabled = true;
    const restored = await this.attempt(() => call("POST", `/api/chats/${chat.id}/restore`));
    clicked.disabled = false;
    if (restored) this.#forget(chat.id);
  }

  #forget(id) {
    this.#list.remove(this.#items.get(id));
    this.#items.delete(id);
  }
}
