// An operation that somebody decides: what it does, the two answers, what became of it, and its undo.

import { oneAtATime, untilItWorks } from "../again.js";
import { Refused, Unreachable, call } from "../api.js";
import { announce } from "../announcer.js";
import { button, el, icon } from "../dom.js";
import { onFeedEvent } from "../feed_events.js";
import { rendered } from "../scheduler.js";
import { brief, visible } from "../visible.js";
import { exceptionWords } from "../words.js";
import { operationBody } from "./operation_body.js";
import { isBefore, kindWords, moment, outcomeWords, statusWords } from "./operation_words.js";

const SYMBOLS = { __proto__: null, write: "database", undo: "undo", delete_chats: "trash", restore_chats: "undo", tool_call: "tool" };

export class OperationCard {
  #id;
  #signal;
  #operation = null;
  /** What an event has told last, for an operation that is gone when it is read. */
  #toldStatus = null;
  /** What the buttons are for. */
  #offered = "";
  #isBusy = false;
  #hadFocus = false;
  #symbol = el("span", { class: "operation-symbol" });
  #title = el("h3", {}, "Operation");
  #status = el("span", { class: "tag" });
  #summary = el("p", { class: "operation-summary" });
  #body = el("div", { class: "operation-body" }, el("p", { class: "hint" }, "Loading …"));
  #outcome = el("p", { class: "operation-outcome", tabindex: "-1" });
  #problem = el("p", { class: "form-error", role: "alert" });
  #actions = el("div", { class: "actions" });
  /** The undo of this operation, or the same operation with the rows of now. */
  #next = el("div", { class: "operation-undo" });
  /** Is aborted when another one is shown below. */
  #nextReplaced = new AbortController();

  /** Shows the operation of this id, and what becomes of it until `signal` is aborted. `operation`: as it is known already. */
  constructor(id, signal, operation = null) {
    this.#id = id;
    this.#signal = signal;
    this.element = el("section", { class: "operation card", role: "group", "aria-label": "Operation" }, el("header", {}, this.#symbol, this.#title, this.#status), this.#summary, this.#body, this.#outcome, this.#problem, this.#actions, this.#next);
    onFeedEvent((event) => {
      const isThis = event.type === "operation.changed" && event.operation_id === id && event.status !== this.#operation?.status;
      // The undo of this operation is another one, which the event does not tell.
      const mayBeUndone = event.type === "operation.changed" && event.status === "committed" && this.#operation?.is_undoable;
      if (isThis) this.#toldStatus = event.status;
      if (isThis || mayBeUndone || event.type === "resync") void this.read();
    }, signal);
    if (operation) this.#show(operation);
    else void this.read();
  }

  /** The stream of the answer has told what became of it; null when the answer is over, which may have refused it. */
  told(status) {
    const now = this.#operation?.status;
    if (now === "proposed" || now === "approved" ? now !== status : now === undefined && status === null) void this.read();
  }

  /** Reads the operation, until that works. */
  read = oneAtATime(async () => {
    try {
      this.#show(await untilItWorks(() => call("GET", this.#path, { signal: this.#signal }), this.#signal));
    } catch (error) {
      if (this.#signal.aborted) return;
      if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
      this.#gone(error);
    }
  });

  get #path() {
    return `/api/operations/${encodeURIComponent(this.#id)}`;
  }

  #show(operation) {
    const before = this.#operation;
    if (before !== null && isBefore(operation.status, before.status)) return; // it was read before the decision, and came late
    this.#operation = operation;
    const { kind, status } = operation;
    this.element.dataset.status = status;
    this.element.setAttribute("aria-label", `${kindWords(kind)}: ${brief(operation.summary, 120)}`);
    this.#status.textContent = statusWords(status);
    const isDone = status === "committed";
    // What is open, or selected, stays so while only the status changes.
    if (before === null || before.digest !== operation.digest || isDone !== (before.status === "committed")) {
      this.#symbol.replaceChildren(icon(SYMBOLS[kind] ?? "tool"));
      this.#title.textContent = kindWords(kind);
      this.#summary.replaceChildren(el("bdi", {}, visible(operation.summary)));
      this.#body.replaceChildren(...operationBody(operation));
      rendered(); // a reader at the end of the chat sees the end of the card
    }
    const why = operation.error?.message;
    this.#outcome.textContent = status === "proposed" ? `Decide until ${moment(operation.expires_at)}. Nothing is changed before.` : `${outcomeWords(operation)}${why && status === "failed" ? ` ${visible(why)}` : ""}`;
    this.#showActions();
    if (before !== null && before.status !== status && status !== "approved") announce(`${kindWords(kind)}: ${this.#outcome.textContent}`);
  }

  #showActions() {
    const { status, is_undoable, kind, generation_id, data_source_id, statement, summary } = this.#operation;
    const offered = `${status} ${is_undoable}`;
    if (offered === this.#offered) return;
    this.#offered = offered;
    const had = this.#isBusy ? this.#hadFocus : this.#actions.contains(document.activeElement);
    const buttons = [];
    if (status === "proposed") buttons.push(button("Refuse", () => this.#decide("refuse")), button("Approve", () => this.#decide("approve"), { kind: "primary" }));
    else if (status === "committed" && is_undoable) buttons.push(button("Undo", () => this.#propose(`${this.#path}/undo`), { symbol: "undo" }));
    // An answer's model is told, and proposes anew by itself.
    else if (status === "stale" && kind === "write" && generation_id === null) buttons.push(button("Preview again", () => this.#propose(`/api/data-sources/${data_source_id}/operations`, { sql: statement, summary })));
    this.#actions.replaceChildren(...buttons);
    this.#actions.hidden = buttons.length === 0;
    if (had) this.#outcome.focus();
  }

  /** Approves what is shown, and nothing else: the digest names it. */
  async #decide(decision) {
    const body = decision === "approve" ? { digest: this.#operation.digest } : undefined;
    await this.#try(async () => this.#show(await call("POST", `${this.#path}/${decision}`, { body })));
  }

  /** Proposes the undo, or the same again, and shows it below. */
  async #propose(path, body) {
    await this.#try(async () => {
      const next = await call("POST", path, { body });
      this.#nextReplaced.abort();
      this.#nextReplaced = new AbortController();
      const card = new OperationCard(next.id, AbortSignal.any([this.#signal, this.#nextReplaced.signal]), next);
      this.#next.replaceChildren(card.element);
      card.element.setAttribute("tabindex", "-1");
      card.element.focus();
    });
  }

  async #try(action) {
    this.#problem.textContent = "";
    this.#busy(true);
    try {
      await action();
    } catch (error) {
      if (this.#signal.aborted) return;
      if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
      this.#problem.textContent = exceptionWords(error);
      void this.read(); // it may have been decided elsewhere
    } finally {
      this.#busy(false);
    }
  }

  #busy(value) {
    // A button that is disabled loses the focus.
    if (value) this.#hadFocus = this.#actions.contains(document.activeElement);
    this.#isBusy = value;
    this.element.setAttribute("aria-busy", String(value));
    for (const one of this.#actions.querySelectorAll("button")) one.disabled = value;
  }

  #gone(error) {
    this.#body.replaceChildren(el("p", { class: "hint" }, error.code === "operation_not_found" ? "This operation is not there any more. It went with its database." : exceptionWords(error)));
    this.#actions.replaceChildren();
    this.#offered = "";
    this.#outcome.textContent = "";
    this.element.dataset.status = this.#toldStatus ?? "";
    this.#status.textContent = this.#toldStatus === null ? "" : statusWords(this.#toldStatus);
  }
}
