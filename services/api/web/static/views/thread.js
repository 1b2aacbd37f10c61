// The chat that is open: its head, its messages, and where the next one is written.

import { Chat } from "../chat.js";
import { el, icon, iconButton } from "../dom.js";
import { onRendered } from "../scheduler.js";
import { toast } from "../toast.js";
import { exceptionWords } from "../words.js";
import { Composer } from "./composer.js";

/** Pixels. A reader who is so near to the end follows the answer. */
const NEAR = 80;

export class Thread {
  #chat = null;
  #pinned = true;
  #list = el("div", { class: "messages" });
  #empty = el("div", { class: "empty" }, el("div", { class: "empty-mark" }, icon("brand")), el("h2", {}, "What is on your mind?"), el("p", {}, "Your question is kept, and its answer is written even if you close this page."));
  #scroller = el("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": "Messages" }, this.#empty, this.#list);
  #latest = iconButton("down", "To the newest message", () => this.#toEnd(), { class: "latest", hidden: true });
  #temporary = el("input", { type: "checkbox", id: "temporary", role: "switch" });
  #temporaryField;
  #makeChat;
  #listeners;

  /** `makeChat(isTemporary)` makes a chat and returns it. Listeners: `titled(id, title)`, `gone(id)`, `changed()`. */
  constructor({ makeChat, listeners, signal }) {
    this.#makeChat = makeChat;
    this.#listeners = listeners;
    this.composer = new Composer({ onSend: (text) => this.#send(text), onStop: () => this.stop() });
    this.#temporaryField = el("label", { class: "switch", for: "temporary" }, this.#temporary, el("span", {}, "Temporary chat"), el("span", { class: "hint" }, "It shares no memory and deletes itself."));
    this.element = el("div", { class: "thread" }, this.#scroller, el("div", { class: "dock" }, this.#latest, this.composer.element, this.#temporaryField, el("p", { class: "hint fine-print" }, "Answers can be wrong. Check what matters.")));
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    onRendered(() => { if (this.#pinned) this.#toEnd(); }, signal);
  }

  get chatId() {
    return this.#chat?.id ?? null;
  }

  get isAnswering() {
    return this.#chat?.isAnswering ?? false;
  }

  /** Shows a chat; null for one that is yet to be begun. */
  async open(id) {
    if (id !== null && this.#chat?.id === id) return;
    this.#chat?.close();
    this.#list.replaceChildren();
    this.#chat = null;
    this.#pinned = true;
    this.#temporary.checked = false;
    if (id !== null) {
      const chat = this.#chatOf(id);
      this.element.classList.add("is-loading");
      try {
        await chat.load();
      } catch (error) {
        if (this.#chat === chat && error.name !== "AbortError") this.#failed(error);
      } finally {
        if (this.#chat === chat || this.#chat === null) this.element.classList.remove("is-loading");
      }
    }
    this.#changed();
    // On a phone, the focus would open the keyboard over what is to be read.
    if (matchMedia("(hover: hover)").matches) this.composer.focus();
  }

  /** Reads the messages again. */
  refresh() {
    return this.#chat?.refresh();
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

  #chatOf(id, options) {
    this.#chat = new Chat(id, this.#list, {
      changed: () => this.#changed(),
      titled: (title) => this.#listeners.titled(id, title),
      gone: () => this.#listeners.gone(id),
      failed: toast,
    }, options);
    return this.#chat;
  }

  #send(text) {
    this.#pinned = true;
    void this.#say(text);
    return true;
  }

  async #say(text) {
    try {
      if (this.#chat === null) {
        const made = await this.#makeChat(this.#temporary.checked);
        this.#chatOf(made.id, { isNew: true });
      }
      if (!(await this.#chat.say(text))) this.composer.text ||= text;
    } catch (error) {
      this.composer.text ||= text;
      toast(exceptionWords(error));
    }
  }

  #failed(error) {
    if (error.status === 404) this.#listeners.gone(this.#chat.id);
    else if (error.status !== 401) toast(exceptionWords(error));
  }

  #changed() {
    const isEmpty = this.#chat === null || this.#chat.isEmpty;
    this.#empty.hidden = !isEmpty;
    this.#temporaryField.hidden = this.#chat !== null;
    this.element.classList.toggle("is-empty", isEmpty);
    this.composer.isAnswering = this.isAnswering;
    if (this.#pinned) this.#toEnd();
    this.#listeners.changed();
  }

  #toEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  #scrolled() {
    const { scrollTop, clientHeight, scrollHeight } = this.#scroller;
    this.#pinned = scrollHeight - scrollTop - clientHeight < NEAR;
    this.#latest.hidden = this.#pinned;
  }
}
