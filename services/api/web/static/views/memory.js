// What the user's chats may tell each other, and what the model is told of one chat's beginning. Both can be corrected.

import { oneAtATime } from "../again.js";
import { call } from "../api.js";
import { button, el, icon, placeChildren } from "../dom.js";
import { onFeedEvent } from "../feed_events.js";
import { toast } from "../toast.js";
import { exceptionWords } from "../words.js";
import { FactList, deleteButton, factForm } from "./facts.js";
import { LivePanel } from "./live_panel.js";

const SHARED_KINDS = ["preference", "identity", "instruction", "health"];
const CHAT_KINDS = ["other", "preference", "identity", "instruction", "health", "decision", "relation", "date", "number", "place"];

/**
 * A panel that shows all of a memory after each change. What can be used stays the same element: a change elsewhere may come
 * while somebody types, or presses a button. `show(memory)` of each kind shows what was read.
 */
class MemoryPanel extends LivePanel {
  #path;
  /** Requests are made one after another: of two answers, the older one may come last. */
  #line = Promise.resolve();
  #isShown = false;

  constructor(path) {
    super();
    this.#path = path;
    onFeedEvent((event) => {
      // What somebody is writing is compared with what they saw, so that stays.
      if ((event.type === "memory.changed" || event.type === "resync") && !this.isWriting) void this.readAll();
    }, this.signal);
  }

  /** Whether there is a text that is not saved, and that was written over what is shown. */
  get isWriting() {
    return false;
  }

  readAll = oneAtATime(() => this.read(() => this.#request("GET"), (error) => {
    if (this.#isShown) toast(exceptionWords(error));
    else this.element.replaceChildren(el("p", { class: "notice", role: "status" }, icon("warning"), exceptionWords(error)));
  }));

  /** Changes the memory by what `body()` returns when its turn has come. Returns whether that was done. */
  change(body) {
    return this.#do(() => this.#request("PATCH", body));
  }

  clear() {
    return this.#do(async () => {
      await this.#inTurn(() => call("DELETE", this.#path));
      await this.readAll();
    });
  }

  async #do(action) {
    let isDone = true;
    await this.attempt(action, (error) => {
      isDone = false;
      toast(exceptionWords(error));
      if (error.code === "memory_changed") void this.readAll();
    });
    return isDone;
  }

  #request(method, body = () => undefined) {
    return this.#inTurn(async () => {
      const memory = await call(method, this.#path, { body: body() });
      this.#isShown = true;
      this.show(memory);
    });
  }

  #inTurn(action) {
    const turn = this.#line.then(action);
    this.#line = turn.catch(() => {});
    return turn;
  }
}

/** The memory that chats share. */
export class SharedMemory extends MemoryPanel {
  #toggle = el("input", { type: "checkbox", id: "sharing", role: "switch", onchange: () => void this.#share() });
  #edit = (change) => this.change(() => ({ facts: [change] }));
  #facts = new FactList("What is remembered", { edit: this.#edit, where: (fact) => fact.chat_id !== null && el("span", {}, " · ", el("a", { href: `#/chats/${fact.chat_id}` }, fact.chat_title ?? "a chat")) });
  #clear = deleteButton("Forget everything", "All these facts will be forgotten, in all chats.", () => this.clear());

  constructor() {
    super("/api/memory");
    this.element.append(
      el("p", { class: "lead" }, "What you said about yourself in one chat can be told in your other chats: who you are, what you like, and how you want to be answered."),
      el("label", { class: "switch", for: "sharing" }, this.#toggle, el("span", {}, "Share between my chats")),
      factForm(SHARED_KINDS, this.#edit),
      ...this.#facts.elements,
      this.#clear,
    );
  }

  show({ enabled, facts }) {
    this.#toggle.checked = enabled;
    this.#facts.show(facts);
    this.#clear.hidden = facts.length === 0;
  }

  async #share() {
    const enabled = this.#toggle.checked;
    if (!(await this.change(() => ({ enabled })))) this.#toggle.checked = !enabled;
  }
}

/** The memory of one chat. */
export class ChatMemory extends MemoryPanel {
  #version = 0;
  #edit = (change) => this.change(() => ({ facts: [change], version: this.#version }));
  #covered = el("p");
  /** SegmentFields by the ids of their segments. */
  #fields = new Map();
  #segments = el("div");
  #facts = new FactList("Facts", { edit: this.#edit, where: (fact) => fact.position !== null && ` · message ${fact.position}` });
  #clear = deleteButton("Delete this memory", "The memory will be made again from the messages. Facts that are pinned, or that you wrote, stay.", () => this.clear());

  constructor(chatId, title) {
    super(`/api/chats/${chatId}/memory`);
    const [head, ...list] = this.#facts.elements;
    this.element.append(
      el("p", { class: "breadcrumb" }, el("a", { href: `#/chats/${chatId}` }, "← Back to the chat")),
      el("p", { class: "lead" }, title ?? ""),
      this.#covered,
      this.#segments,
      head,
      factForm(CHAT_KINDS, this.#edit),
      ...list,
      this.#clear,
    );
  }

  get isWriting() {
    return [...this.#fields.values()].some((field) => field.isWritten);
  }

  show({ segments, facts, watermark, pending, version }) {
    this.#version = version;
    this.#covered.textContent = watermark === 0 ? "The model reads all messages of this chat in full, so there is no summary yet." : `The model is told these texts for the first ${watermark} messages, and reads the ${pending} newer ones in full.`;
    const before = this.#fields;
    this.#fields = new Map(segments.map((segment) => [segment.id, before.get(segment.id) ?? this.#fieldOf(segment.id)]));
    for (const segment of segments) this.#fields.get(segment.id).show(segment);
    placeChildren(this.#segments, [...this.#fields.values()].map((field) => field.element));
    this.#facts.show(facts);
    this.#clear.hidden = segments.length === 0 && facts.length === 0;
  }

  #fieldOf(id) {
    return new SegmentField(id, (text) => this.change(() => ({ segments: [{ id, text }], version: this.#version })));
  }
}

/** The text of a segment, to be corrected. `save(text)` saves what was written. */
class SegmentField {
  #label;
  #text;
  #save;

  constructor(id, save) {
    const name = `segment-${id}`;
    this.#label = el("label", { for: name });
    this.#text = el("textarea", { id: name, rows: "4", oninput: () => this.#changed() });
    this.#save = button("Save", () => void save(this.#text.value), { kind: "plain", disabled: true });
    this.element = el("div", { class: "field segment" }, this.#label, this.#text, this.#save);
  }

  /** Whether there is a text that is not saved. */
  get isWritten() {
    return this.#text.value !== this.#text.defaultValue;
  }

  /** Shows the segment. What is being written stays. */
  show({ first, last, text }) {
    this.#label.textContent = last === 0 ? "Your own words" : `Messages ${first} to ${last}`;
    const written = this.isWritten ? this.#text.value : text;
    this.#text.defaultValue = text;
    if (this.#text.value !== written) this.#text.value = written;
    this.#changed();
  }

  #changed() {
    this.#save.disabled = !this.isWritten;
  }
}
