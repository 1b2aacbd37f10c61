// One chat: its messages, and the answers that are being written in it.

import { Refused, Unreachable, call, newKey, nextPage, send } from "./api.js";
import { announce } from "./announcer.js";
import { Backoff, pause } from "./backoff.js";
import { back, lost } from "./connection.js";
import { follow } from "./follow.js";
import { exceptionWords } from "./words.js";
import { MessageView } from "./views/message_view.js";

/** A message that can't be sent is tried again for so long, under the same key, so that it is never sent twice. */
const TRY_FOR_MS = 60_000;

export class Chat {
  #views = [];
  #closed = new AbortController();
  #sending = 0;
  #stale = false;
  #reading = false;
  #loaded;
  #listeners;

  /**
   * `list` gets the messages' elements. Listeners: `changed()` after any change of the messages, `titled(title)`,
   * `gone()` when the chat does not exist, `failed(words)`.
   */
  constructor(id, list, listeners, { isNew = false } = {}) {
    this.id = id;
    this.#loaded = isNew; // a chat that was just made has nothing to be read
    this.list = list;
    this.#listeners = listeners;
  }

  get path() {
    return `/api/chats/${this.id}`;
  }

  get isEmpty() {
    return this.#views.length === 0;
  }

  get isAnswering() {
    return this.#views.some((view) => view.isPending);
  }

  /** Reads the chat and shows it. Throws what `call` throws. */
  async load() {
    const chat = await call("GET", this.path, { signal: this.#closed.signal });
    this.#reconcile(chat.messages);
    this.#loaded = true;
    if (this.#stale) await this.refresh();
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
    const accepted = await this.#post("POST", `${this.path}/messages`, { content, on_conflict: "enqueue", time_zone: timeZone() });
    if (accepted === null) {
      this.#views = this.#views.filter((view) => view !== question && view !== answer);
      question.element.remove();
      answer.element.remove();
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
    if (await this.#post("POST", `${this.path}/messages/${view.message.id}/regenerate`, { time_zone: timeZone() })) await this.refresh();
  }

  /** Says another text instead of a message, and goes on from there. */
  async edit(view, content) {
    if (await this.#post("PATCH", `${this.path}/messages/${view.message.id}`, { content, time_zone: timeZone() })) await this.refresh();
  }

  /** Goes back to another version of a message, and of what came after it. */
  async choose(messageId) {
    await this.#try(async () => {
      await call("POST", `${this.path}/messages/${messageId}/choose`);
      await this.refresh();
    });
  }

  /** Stops what is being written. The stream tells the end. */
  async stop() {
    await this.#try(() => call("POST", `${this.path}/stop`));
  }

  /** Reads the messages again, for what another tab has done. Messages that are shown already stay as they are. */
  async refresh() {
    // A message of ours that is on its way would be shown twice; of two answers, the older one may come last.
    if (this.#sending > 0 || this.#reading || !this.#loaded) {
      this.#stale = true;
      return;
    }
    this.#reading = true;
    this.#stale = false;
    await this.#try(async () => {
      const messages = [];
      for (let path = `${this.path}/messages?limit=100`; path !== null; ) {
        const response = await send("GET", path, { signal: this.#closed.signal });
        messages.push(...(await response.json()));
        path = nextPage(response);
      }
      if (this.#sending === 0) this.#reconcile(messages);
      else this.#stale = true;
    });
    this.#reading = false;
    if (this.#stale && this.#sending === 0 && !this.#closed.signal.aborted) await this.refresh();
  }

  #show(message) {
    const view = new MessageView(message, { edit: this.edit.bind(this), regenerate: this.regenerate.bind(this), choose: this.choose.bind(this) });
    this.#views.push(view);
    this.list.append(view.element);
    return view;
  }

  #reconcile(messages) {
    const known = new Map(this.#views.map((view) => [view.message.id, view]));
    this.#views = [];
    const shown = [];
    // From the newest: what a reader looks at is rendered first.
    for (const message of messages.toReversed()) {
      const before = known.get(message.id);
      before?.update(message);
      const view = before ?? new MessageView(message, { edit: this.edit.bind(this), regenerate: this.regenerate.bind(this), choose: this.choose.bind(this) });
      shown.unshift(view);
    }
    this.#views = shown;
    for (const [id, view] of known) {
      if (!shown.includes(view)) {
        view.controller?.abort();
        view.element.remove();
        known.delete(id);
      }
    }
    let next = null;
    for (const view of shown.toReversed()) {
      // An element that stays in its place keeps its focus and its selection.
      if (view.element.parentNode !== this.list || view.element.nextSibling !== next) this.list.insertBefore(view.element, next);
      next = view.element;
    }
    this.#followLive();
    this.#listeners.changed();
  }

  /** Follows the answer that is being written. Those behind it have no connection until their turn comes. */
  #followLive() {
    const [live, ...waiting] = this.#views.filter((view) => view.isPending);
    for (const view of waiting) view.waits = true;
    if (!live || live.isFollowed || live.message.id === null) return;
    live.waits = false;
    void this.#follow(live, live.message.stream_url ?? live.message.generation?.stream_url ?? `${this.path}/stream`);
  }

  async #follow(view, path) {
    view.isFollowed = true;
    view.controller = new AbortController();
    const signal = AbortSignal.any([view.controller.signal, this.#closed.signal]);
    this.#listeners.changed();
    try {
      await follow(path, { signal, take: (frame) => this.#take(view, frame) });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.status === 404) this.#listeners.gone();
      else if (error.status !== 401) this.#listeners.failed(exceptionWords(error));
    } finally {
      view.isFollowed = false;
    }
    if (!signal.aborted) await this.refresh(); // versions, and an end that the stream did not tell
  }

  #take(view, frame) {
    if (frame.type === "data-title") this.#listeners.titled(frame.data.title);
    if (!view.take(frame)) {
      if (frame.type === "data-reset" || frame.type === "start") this.#listeners.changed();
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
      if (this.#closed.signal.aborted) return;
      if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
      if (error.code === "chat_not_found") this.#listeners.gone();
      else if (error.status !== 401) this.#listeners.failed(exceptionWords(error));
    }
  }

  /** Sends what makes an answer, again and again under one key. Returns the 202's body; null when it was refused. */
  async #post(method, path, body) {
    const headers = { Prefer: "respond-async", "Idempotency-Key": newKey() };
    const until = performance.now() + TRY_FOR_MS;
    const backoff = new Backoff();
    const me = {};
    let accepted = null;
    this.#sending += 1;
    await this.#try(async () => {
      for (;;) {
        try {
          accepted = await call(method, path, { body, headers });
          return;
        } catch (error) {
          const passes = error instanceof Unreachable || (error instanceof Refused && error.status >= 500);
          if (!passes || performance.now() > until) throw error;
          lost(me);
          await pause(backoff.next(error.retryAfter), this.#closed.signal);
        }
      }
    });
    back(me);
    this.#sending -= 1;
    // After the caller has noted what was accepted.
    if (this.#sending === 0 && this.#stale) setTimeout(() => void this.refresh());
    return accepted;
  }
}

function timeZone() {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || undefined;
}
