// The chat that is open: its head, its messages, and where the next one is written.

import { Chat } from "../chat.js";
import { button, el, icon, iconButton } from "../dom.js";
import { onRendered } from "../scheduler.js";
import { toast } from "../toast.js";
import { Composer } from "./composer.js";

/** Pixels. A reader who is so near to the end follows the answer. */
const NEAR = 80;
/** Pixels. Who reads on so near to the beginning gets older messages. */
const NEAR_OLDER = 400;

export class Thread {
  #chat = null;
  /** By the chat's id; null is for a new one. */
  #drafts = new Map();
  #pinned = true;
  /** Where the messages were scrolled to. */
  #top = 0;
  #list = el("div", { class: "messages" });
  #empty = el("div", { class: "empty" }, el("div", { class: "empty-mark" }, icon("brand")), el("h2", {}, "What is on your mind?"), el("p", {}, "Your question is kept, and its answer is written even if you close this page."));
  #older = button("Show older messages", () => void this.#showOlder(), { class: "button plain older", hidden: true });
  #scroller = el("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": "Messages" }, this.#empty, this.#older, this.#list);
  #latest = iconButton("down", "To the newest message", () => this.#toEnd(), { class: "latest", hidden: true });
  #temporary = el("input", { type: "checkbox", id: "temporary", role: "switch" });
  #temporaryField;
  #makeChat;
  #listeners;
  #signal;

  /**
   * `makeChat(isTemporary)` makes a chat and returns it. Listeners: `made(id)` when the chat that is open was made,
   * `read(chat)`, `titled(id, title)`, `gone(id)`.
   */
  constructor({ makeChat, listeners, signal }) {
    this.#makeChat = makeChat;
    this.#listeners = listeners;
    this.#signal = signal;
    this.composer = new Composer({ onSend: (text) => this.#send(text), onStop: () => this.stop() });
    this.#temporaryField = el("label", { class: "switch", for: "temporary" }, this.#temporary, el("span", {}, "Temporary chat"), el("span", { class: "hint" }, "It shares no memory and deletes itself."));
    this.element = el("div", { class: "thread" }, this.#scroller, el("div", { class: "dock" }, this.#latest, this.composer.note, this.composer.element, this.#temporaryField, el("p", { class: "hint fine-print" }, "Answers can be wrong. Check what matters.")));
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    onRendered(() => { if (this.#pinned) this.#toEnd(); }, signal);
  }

  get chatId() {
    return this.#chat?.id ?? null;
  }

  get isAnswering() {
    return this.#chat?.isAnswering ?? false;
  }

  /** Whether the answer goes on only after a person's decision. */
  get awaitsDecision() {
    return this.#chat?.awaitsDecision ?? false;
  }

  /** Shows a chat; null for one that is yet to be begun. */
  async open(id) {
    if (id !== null && this.#chat?.id === id) return;
    this.#drafts.set(this.chatId, this.composer.text);
    this.#chat?.close();
    this.#list.replaceChildren();
    this.#chat = null;
    this.#pinned = true;
    this.#top = 0;
    this.#temporary.checked = false;
    this.composer.text = this.#drafts.get(id) ?? "";
    this.#drafts.delete(id);
    this.element.classList.toggle("is-loading", id !== null);
    if (id !== null) {
      const chat = this.#chatOf(id);
      this.#changed();
      await chat.refresh();
      if (this.#chat !== chat) return; // another one was opened meanwhile
      this.element.classList.remove("is-loading");
    }
    this.#changed();
    this.#focusComposer();
  }

  #focusComposer() {
    // On a phone, the focus would open the keyboard over what is to be read.
    if (matchMedia("(hover: hover)").matches) this.composer.focus();
  }

  /** Reads the messages again, from a position on. */
  refresh(from) {
    return this.#chat?.refresh(from);
  }

  /** Stops what is being written. */
  stop() {
    return this.#chat?.stop();
  }

  /** Nothing is shown any more. */
  close() {
    this.#chat?.close();
    this.#chat = null;
  }

  #chatOf(id) {
    const isTemporary = this.#temporary.checked;
    const chat = new Chat(id, this.#list, {
      make: () => this.#makeChat(isTemporary),
      left: this.#signal,
      listeners: {
        made: () => { if (this.#chat === chat) this.#listeners.made(chat.id); },
        read: (read) => this.#listeners.read(read),
        changed: () => this.#changed(),
        titled: (title) => this.#listeners.titled(chat.id, title),
        gone: () => this.#listeners.gone(chat.id),
        failed: toast,
        unfocused: () => this.#focusComposer(),
      },
    });
    this.#chat = chat;
    return chat;
  }

  #send(text) {
    this.#pinned = true;
    void this.#say(this.#chat ?? this.#chatOf(null), text);
  }

  async #say(chat, text) {
    if (await chat.say(text)) return;
    // It comes back into the box of its own chat, before what was written there meanwhile.
    if (chat.id === this.chatId) this.composer.text = before(text, this.composer.text);
    else this.#drafts.set(chat.id, before(text, this.#drafts.get(chat.id)));
    if (this.#chat === chat && chat.id === null && chat.isEmpty) this.#chat = null;
    this.#changed();
  }

  #changed() {
    const isLoading = this.element.classList.contains("is-loading");
    const isEmpty = !isLoading && (this.#chat === null || this.#chat.isEmpty);
    this.#empty.hidden = !isEmpty;
    this.#older.hidden = !this.#chat?.hasOlder;
    this.#temporaryField.hidden = this.#chat !== null;
    this.element.classList.toggle("is-empty", isEmpty);
    this.composer.isAnswering = this.isAnswering;
    this.composer.awaitsDecision = this.awaitsDecision;
    if (this.#pinned) this.#toEnd();
  }

  #toEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  /** What is read stays where it is while older messages come before it. */
  #showOlder() {
    return this.#chat?.showOlder((show) => {
      const { scrollTop, scrollHeight } = this.#scroller;
      show();
      if (!this.#pinned) this.#scroller.scrollTop = scrollTop + this.#scroller.scrollHeight - scrollHeight;
    });
  }

  #scrolled() {
    const { scrollTop, clientHeight, scrollHeight } = this.#scroller;
    // What grows below the end, as a card that is loaded, is no reader who has gone up.
    if (scrollHeight - scrollTop - clientHeight < NEAR) this.#pinned = true;
    else if (scrollTop < this.#top) {
      this.#pinned = false;
      if (scrollTop < NEAR_OLDER && this.#chat?.hasOlder) void this.#showOlder();
    }
    this.#top = scrollTop;
    this.#latest.hidden = this.#pinned;
  }
}

function before(text, draft) {
  return draft ? `${text}\n\n${draft}` : text;
}
