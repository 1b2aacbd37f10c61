// An answer: its parts in their order, what is being done, what went wrong, and its sources.

import { el, icon } from "../dom.js";
import { isLink, outsideLink } from "../markdown.js";
import { MarkdownStream } from "../markdown_stream.js";
import { awaitsDecision } from "../reply.js";
import { plan } from "../scheduler.js";
import { errorWords, progressWords } from "../words.js";
import { OperationCard } from "./operation_card.js";
import { toolView } from "./tool_view.js";

export class ReplyView {
  #reply;
  #views = new Map();
  #body = el("div", { class: "reply-body" });
  #progress = el("p", { class: "progress" });
  #notes = el("div", { class: "reply-notes" });

  #signal;
  /** Is aborted when another answer is shown. */
  #replaced = new AbortController();

  /** What is shown of databases and operations is kept up to date until `signal` is aborted. */
  constructor(reply, signal) {
    this.#signal = signal;
    this.element = el("div", { class: "reply" }, this.#body, this.#progress, this.#notes);
    this.show(reply);
  }

  /** Shows another answer instead, or the same one anew. */
  show(reply) {
    this.#reply = reply;
    this.#replaced.abort();
    this.#replaced = new AbortController();
    this.#views.clear();
    this.#body.replaceChildren();
    for (const part of reply.parts) this.#add(part);
    this.#showProgress();
    this.#showNotes();
  }

  /** Shows what `take` of reply.js says has changed. */
  apply(change) {
    if (change.kind === "reset") this.show(this.#reply);
    else if (change.kind === "add") this.#add(change.part);
    else if (change.kind === "grow") this.#grow(change.part, change.text);
    else if (change.kind === "change") this.#change(change.part);
    if (change.kind === "end") {
      for (const part of this.#reply.parts) this.#change(part);
    }
    if (change.kind !== "grow") this.#showProgress();
    if (["sources", "notes", "end"].includes(change.kind)) this.#showNotes();
  }

  #add(part) {
    const view = this.#viewOf(part);
    this.#views.set(part, view);
    this.#body.append(view.element);
    if (part.text) this.#grow(part, part.text);
    this.#change(part);
  }

  #viewOf(part) {
    if (part.type === "text") return textView(() => this.#reply.sources);
    if (part.type === "reasoning") return reasoningView();
    const signal = AbortSignal.any([this.#signal, this.#replaced.signal]);
    if (part.type === "tool") return toolView(signal);
    if (part.type === "approval") return approvalView(part, this.#reply, signal);
    return { element: el("p", { class: "notice" }, icon("again"), "The answer broke off here. It goes on from another try.") };
  }

  #grow(part, text) {
    const view = this.#views.get(part);
    view.stream.append(text);
    plan(view.stream);
    this.#progress.hidden = true;
  }

  #change(part) {
    const view = this.#views.get(part);
    if (view.stream && !part.open) {
      view.stream.end();
      plan(view.stream);
    }
    view.update?.(part, this.#reply);
    // A tool call says whether it waits.
    const call = part.type === "approval" && this.#reply.parts.find((one) => one.type === "tool" && one.callId === part.callId);
    if (call) this.#views.get(call)?.update(call, this.#reply);
  }

  #showProgress() {
    const { status, parts, progress } = this.#reply;
    const isQuiet = status === "pending" && !awaitsDecision(this.#reply) && (progress !== null || !parts.some((part) => part.open));
    this.#progress.hidden = !isQuiet;
    if (isQuiet) this.#progress.replaceChildren(el("span", { class: "dots", "aria-hidden": "true" }, el("i"), el("i"), el("i")), progressWords(progress));
    else this.#progress.replaceChildren();
  }

  #showNotes() {
    const { status, error, finishReason, withoutSource, sources } = this.#reply;
    const isOver = status !== "pending";
    this.#notes.replaceChildren(
      ...[
        sources.length > 0 && sourceList(sources),
        withoutSource.length > 0 && el("p", { class: "notice" }, icon("warning"), `Cited without a source: ${withoutSource.map((number) => `[${number}]`).join(", ")}`),
        isOver && finishReason === "length" && el("p", { class: "notice" }, icon("warning"), "The answer reached its greatest length."),
        isOver && finishReason === "content-filter" && el("p", { class: "notice" }, icon("warning"), "The model's filter ended the answer."),
        status === "cancelled" && el("p", { class: "notice" }, icon("stop"), "Stopped."),
        status === "failed" && errorBox(error ?? { code: "", text: "" }),
      ].filter(Boolean),
    );
  }
}

function errorBox(error) {
  return el("div", { class: "error-box", role: "alert" }, icon("warning"), el("div", {}, el("p", {}, errorWords(error.code, error.text)), error.code && el("code", {}, error.code)));
}

function textView(sources) {
  const element = el("div", { class: "markdown" });
  return { element, stream: new MarkdownStream(element, sources) };
}

function reasoningView() {
  const body = el("div", { class: "markdown small" });
  const label = el("span");
  const element = el("details", { class: "disclosure reasoning" }, el("summary", {}, icon("thought"), label), body);
  const update = (part) => { label.textContent = part.open ? "Reasoning …" : "Reasoning"; };
  return { element, stream: new MarkdownStream(body, () => []), update };
}

function approvalView(part, reply, signal) {
  const toldBy = ({ status }, { status: answer }) => (answer === "pending" ? status : null);
  let told = toldBy(part, reply); // the card reads itself when it is made
  const card = new OperationCard(part.id, signal);
  const update = (now, answer) => {
    if (toldBy(now, answer) === told) return;
    told = toldBy(now, answer);
    card.told(told);
  };
  return { element: card.element, update };
}

function sourceList(sources) {
  const items = sources.map((source, index) => {
    const address = URL.canParse(source.url) ? new URL(source.url) : null;
    const words = [el("span", { class: "source-number" }, String(index + 1)), el("span", { class: "source-title" }, source.title || source.url), el("span", { class: "source-host" }, address?.host ?? "")];
    return el("li", {}, isLink(source.url) ? outsideLink(source.url, {}, ...words) : el("span", {}, ...words));
  });
  return el("section", { class: "sources", "aria-label": "Sources" }, el("h3", {}, "Sources"), el("ol", {}, ...items));
}
