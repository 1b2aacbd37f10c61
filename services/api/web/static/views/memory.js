// What the user's chats may tell each other, and what the model is told of one chat's beginning. Both can be corrected.

import { Refused, Unreachable, call } from "../api.js";
import { button, el } from "../dom.js";
import { toast } from "../toast.js";
import { exceptionWords } from "../words.js";
import { deleteButton, factForm, factList } from "./facts.js";

const SHARED_KINDS = ["preference", "identity", "instruction", "health"];
const CHAT_KINDS = ["other", "preference", "identity", "instruction", "health", "decision", "relation", "date", "number", "place"];

/** A panel of which all is read again after each change. */
class Panel {
  constructor(path) {
    this.path = path;
    this.element = el("div", { class: "panel" });
  }

  /** Reads the memory. Returns its element. */
  async load() {
    this.#show(await call("GET", this.path));
    return this.element;
  }

  /** Shows a memory. What is being written stays written: a change elsewhere may come while somebody types. */
  #show(memory) {
    const written = this.#written().map(({ id, value }) => [id, value]);
    this.render(memory);
    for (const [id, value] of written) {
      const field = id && this.element.querySelector(`#${CSS.escape(id)}`);
      if (!field || field.value === value) continue;
      field.value = value;
      field.dispatchEvent(new Event("input"));
    }
  }

  /** The fields in which there is something that is not saved. */
  #written() {
    return [...this.element.querySelectorAll("textarea, input[type=text]")].filter((field) => field.value !== field.defaultValue);
  }

  /** Something has changed elsewhere. Nobody loses what they are writing over it. */
  async refresh() {
    if (this.#written().length === 0) await this.#try(() => this.load());
  }

  /** Changes the memory. Returns whether that was done. */
  change(body) {
    return this.#try(async () => this.#show(await call("PATCH", this.path, { body })));
  }

  clear() {
    return this.#try(async () => {
      await call("DELETE", this.path);
      await this.load();
    });
  }

  async #try(action) {
    try {
      await action();
      return true;
    } catch (error) {
      if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
      if (error.status !== 401) toast(exceptionWords(error));
      if (error.code === "memory_changed") await this.#try(() => this.load());
      return false;
    }
  }
}

/** The memory that chats share. */
export class SharedMemory extends Panel {
  #edit = (change) => this.change({ facts: [change] });
  #form = factForm(SHARED_KINDS, this.#edit); // stays while all around it is shown anew

  constructor() {
    super("/api/memory");
  }

  render({ enabled, facts }) {
    const toggle = el("input", { type: "checkbox", id: "sharing", role: "switch", onchange: () => this.change({ enabled: toggle.checked }) });
    toggle.checked = enabled;
    const edit = this.#edit;
    this.element.replaceChildren(
      el("p", { class: "lead" }, "What you said about yourself in one chat can be told in your other chats: who you are, what you like, and how you want to be answered."),
      el("label", { class: "switch", for: "sharing" }, toggle, el("span", {}, "Share between my chats")),
      this.#form,
      el("h2", {}, "What is remembered"),
      factList(facts, { edit, where: (fact) => fact.chat_id !== null && el("span", {}, " · ", el("a", { href: `#/chats/${fact.chat_id}` }, fact.chat_title ?? "a chat")) }),
      facts.length > 0 ? deleteButton("Forget everything", "All these facts will be forgotten, in all chats.", () => this.clear()) : "",
    );
  }
}

/** The memory of one chat. */
export class ChatMemory extends Panel {
  #version = 0;
  #edit = (change) => this.change({ facts: [change], version: this.#version });
  #form = factForm(CHAT_KINDS, this.#edit);

  constructor(chatId, title) {
    super(`/api/chats/${chatId}/memory`);
    this.chatId = chatId;
    this.title = title;
  }

  render({ segments, facts, watermark, pending, version }) {
    this.#version = version;
    const edit = this.#edit;
    const covered = watermark === 0 ? "The model reads all messages of this chat in full, so there is no summary yet." : `The model is told these texts for the first ${watermark} messages, and reads the ${pending} newer ones in full.`;
    this.element.replaceChildren(
      el("p", { class: "breadcrumb" }, el("a", { href: `#/chats/${this.chatId}` }, "← Back to the chat")),
      el("p", { class: "lead" }, this.title ?? ""),
      el("p", {}, covered),
      ...segments.map((segment) => this.#segment(segment)),
      el("h2", {}, "Facts"),
      this.#form,
      factList(facts, { edit, where: (fact) => fact.position !== null && ` · message ${fact.position}` }),
      segments.length > 0 || facts.length > 0 ? deleteButton("Delete this memory", "The memory will be made again from the messages. Facts that are pinned, or that you wrote, stay.", () => this.clear()) : "",
    );
  }

  #segment(segment) {
    const id = `segment-${segment.id}`;
    const text = el("textarea", { id, rows: "4" });
    text.defaultValue = segment.text;
    const save = button("Save", () => this.change({ segments: [{ id: segment.id, text: text.value }], version: this.#version }), { kind: "plain", disabled: true });
    text.addEventListener("input", () => { save.disabled = text.value === segment.text; });
    return el("div", { class: "field segment" }, el("label", { for: id }, segment.last === 0 ? "Your own words" : `Messages ${segment.first} to ${segment.last}`), text, save);
  }
}
