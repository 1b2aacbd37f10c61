// One chat: its messages, and the answers that are being written in it.

import { untilItWorks } from "./again.js";
import { Refused, Unreachable, call, newKey, nextPage, readJson, send } from "./api.js";
import { announce } from "./announcer.js";
import { Backoff, pause } from "./backoff.js";
import { placeChildren } from "./dom.js";
import { follow } from "./follow.js";
import { OlderMessages } from "./older.js";
import { OwnChanges } from "./own_changes.js";
import { exceptionWords } from "./words.js";
import { MessageView } from "./views/message_view.js";

/** A message that can't be sent is tried again for so long, under the same key, so that it is never sent twice. */
const TRY_FOR_MS = 60_000;

export class Chat {
  #views = [];
  #closed = new AbortController();
  #changes = new OwnChanges(() => { if (this.#staleFrom < Infinity) void this.refresh(this.#staleFrom); });
  /** The least position of which others may have changed the messages; Infinity when all is read. */
  #staleFrom = Infinity;
  #reading = false;
  #loaded = false;
  #older = new OlderMessages();
  #make;
  #left;
  #listeners;

  /**
   * `id` is null for a chat that its first message makes, with `make()`. `list` gets the messages' elements. What is said
   * is sent also after the chat was closed, until `left` is aborted. Listeners: `made(chat)`, `read(chat)`, `changed()`
   * after any change of the messages, `titled(title)`, `gone()` without such a chat, `failed(words)`, `unfocused()`.
   */
  constructor(id, list, { make, left, listeners }) {
    this.id = id;
    this.list = list;
    this.#make = make;
    this.#left = left;
    this.#listeners = listeners;
  }

  get path() {
    return `/api/chats/${this.id}`;
  }

  get isEmpty() {
    return this.#views.length === 0;
  }

  /** Whether there are messages before those that are shown. */
  get hasOlder() {
    return this.#older.exist;
  }

  get isAnswering() {
    return this.#views.some((view) => view.isPending);
  }

  /** Whether the answer goes on only after a person's decision. */
  get awaitsDecision() {
    return this.#views.some((view) => view.awaitsDecision);
  }

  /** The chat is not shown any more. What it is answering goes on without a reader. */
  close() {
    this.#closed.abort();
  }

  /** Says something. It is shown at once. Returns whether it was accepted. */
  async say(content) {
    const question = this.#show({ id: null, role: "user", content, status: "completed" });
    const answer = this.#show({ id: null, role: "assistant", content: "", status: "pending", parts: null });
    this.#followLive();
    this.#listeners.changed();
    const accepted = await this.#post("POST", "", { content, on_conflict: "enqueue" });
    if (accepted === null) {
      this.#views = this.#views.filter((view) => view !== question && view !== answer);
      question.close();
      answer.close();
      this.#listeners.changed();
      return false;
    }
    const { message, generation } = accepted;
    question.update({ id: message.id, position: message.position, created_at: message.created_at });
    answer.update({ id: generation.assistant_message_id, position: message.position + 1, stream_url: accepted.stream_url });
    this.#followLive();
    return true;
  }

  /** Answers a message anew. */
  async regenerate(view) {
    if (await this.#post("POST", `/${view.message.id}/regenerate`)) await this.refresh();
  }

  /** Says another text instead of a message, and goes on from there. */
  async edit(view, content) {
    if (await this.#post("PATCH", `/${view.message.id}`, { content })) await this.refresh();
  }

  /** Goes back to another version of a message, and of what came after it. */
  async choose(messageId) {
    await this.#try(() => this.#changes.make(() => call("POST", `${this.path}/messages/${messageId}/choose`)));
    await this.refresh();
  }

  /** Stops what is being written. The stream tells the end. */
  async stop() {
    if (this.id === null) await this.#changes.allDone; // its first message is on the way
    if (this.id === null) return;
    await this.#try(() => call("POST", `${this.path}/stop`));
  }

  /**
   * Reads the messages, until that works: at first the newest, and for what another tab has done, those from a position on.
   * Messages that are shown already stay as they are.
   */
  async refresh(from = 1) {
    this.#staleFrom = Math.min(this.#staleFrom, from);
    if (this.#reading) return; // of two answers, the older one may come last
    this.#reading = true;
    await this.#try(async () => {
      const { signal } = this.#closed;
      while (this.#staleFrom < Infinity && !this.#changes.areUnderWay && this.id !== null && !signal.aborted) {
        const begin = this.hasOlder ? this.#older.first : 1; // what is not shown needs no reading
        const first = this.#loaded ? Math.max(this.#staleFrom, begin) : 1;
        this.#staleFrom = Infinity;
        const { begun } = this.#changes;
        const messages = await untilItWorks(() => this.#read(first, signal), signal);
        if (this.#changes.begun > begun) this.#staleFrom = Math.min(this.#staleFrom, first);
        else if (!signal.aborted) this.#reconcile(messages, first);
      }
    });
    this.#reading = false;
  }

  /** Shows the page of messages before those that are shown. `around` is called with what changes the list. */
  async showOlder(around) {
    await this.#try(async () => {
      const messages = await this.#older.read(this.#closed.signal);
      if (messages === null || this.#closed.signal.aborted) return;
      const views = messages.map((message) => this.#viewOf(message));
      around(() => {
        this.#views.unshift(...views);
        this.list.prepend(...views.map((view) => view.element));
        this.#listeners.changed();
      });
    });
  }

  async #read(first, signal) {
    const messages = [];
    if (!this.#loaded) {
      const { messages: newest, older_url, ...chat } = await call("GET", this.path, { signal });
      this.#loaded = true;
      this.#older.begin(older_url ?? null, newest[0]?.position ?? 1); // an API of the release before shows all
      this.#listeners.read(chat);
      return newest;
    }
    for (let path = `${this.path}/messages?after=${first - 1}&limit=100`; path !== null; ) {
      const response = await send("GET", path, { signal });
      messages.push(...(await readJson(response, signal)));
      path = nextPage(response);
    }
    return messages;
  }

  #show(message) {
    const view = this.#viewOf(message);
    this.#views.push(view);
    this.list.append(view.element);
    return view;
  }

  #viewOf(message) {
    return new MessageView(message, { edit: this.edit.bind(this), regenerate: this.regenerate.bind(this), choose: this.choose.bind(this) }, this.#closed.signal);
  }

  /** Shows these messages in place of all from the position `first` on. */
  #reconcile(messages, first) {
    const kept = this.#views.filter((view) => view.message.position < first);
    const known = new Map(this.#views.slice(kept.length).map((view) => [view.message.id, view]));
    const shown = [];
    // From the newest: what a reader looks at is rendered first.
    for (const message of messages.toReversed()) {
      const before = known.get(message.id);
      before?.update(message);
      shown.unshift(before ?? this.#viewOf(message));
    }
    this.#views = [...kept, ...shown];
    const focused = document.activeElement;
    const gone = [...known.values()].filter((view) => !shown.includes(view));
    const left = gone.find((view) => view.element.contains(focused));
    for (const view of gone) view.close();
    placeChildren(this.list, this.#views.map((view) => view.element));
    this.#followLive();
    this.#listeners.changed();
    // Who uses a keyboard goes on at the version that stands there now.
    const successor = left && this.#views.find((view) => view.message.versions?.includes(left.message.id));
    if (left && !successor?.takeFocus(focused.ariaLabel)) this.#listeners.unfocused();
  }

  /** Follows the answer that is being written. Those behind it have no connection until their turn comes. */
  #followLive() {
    const [live, ...waiting] = this.#views.filter((view) => view.isPending);
    for (const view of waiting) view.waits = true;
    if (!live || live.following || live.message.id === null) return;
    live.waits = false;
    void this.#follow(live, live.message.stream_url ?? live.message.generation?.stream_url ?? `${this.path}/stream`);
  }

  async #follow(view, path) {
    view.following = new AbortController();
    const signal = AbortSignal.any([view.following.signal, this.#closed.signal]);
    this.#listeners.changed();
    try {
      await follow(path, { signal, take: (frame) => this.#take(view, frame) });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      // Without its generation, the answer is another one now, or none.
      if (!view.backoff && error.code !== "generation_not_found") this.#tell(error);
    }
    if (view.isPending && !signal.aborted) {
      view.backoff ??= new Backoff(); // it is followed again, later each time
      await pause(view.backoff.next(), signal);
    }
    view.following = null;
    if (!signal.aborted) await this.refresh(view.message.position); // versions, and an end that the stream did not tell
  }

  #take(view, frame) {
    if (frame.type === "data-title") this.#listeners.titled(frame.data.title);
    if (!view.take(frame)) {
      if (["data-reset", "start", "data-approval"].includes(frame.type)) this.#listeners.changed();
      if (view.awaitsDecision && frame.type === "data-approval") announce("The answer waits for your decision.");
      return;
    }
    this.#followLive();
    this.#listeners.changed();
    const { status } = view.reply;
    announce(status === "completed" ? `The assistant said: ${view.text}` : status === "cancelled" ? "The answer was stopped." : "The answer failed.");
  }

  async #try(action) {
    try {
      await action();
    } catch (error) {
      if (!this.#closed.signal.aborted) this.#tell(error);
    }
  }

  #tell(error) {
    if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
    if (error.code === "chat_not_found") this.#listeners.gone();
    else if (error.status !== 401) this.#listeners.failed(exceptionWords(error));
  }

  /** Sends what makes an answer, again and again under one key. Returns the 202's body; null when it was refused. */
  async #post(method, path, content = {}) {
    const body = { ...content, time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone || undefined };
    const headers = { Prefer: "respond-async", "Idempotency-Key": newKey() };
    const once = async () => {
      if (this.id === null) await this.#begin();
      return call(method, `${this.path}/messages${path}`, { body, headers });
    };
    const passes = (refused) => refused.status >= 500;
    try {
      return await this.#changes.makeInTurn(() => untilItWorks(once, this.#left, { forMs: TRY_FOR_MS, passes }));
    } catch (error) {
      if (!this.#left.aborted) this.#tell(error);
      return null;
    }
  }

  async #begin() {
    const chat = await this.#make();
    this.id = chat.id;
    this.#loaded = true; // there is nothing to be read yet
    this.#listeners.made(chat);
  }
}
