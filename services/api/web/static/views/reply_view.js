// An answer: its parts in their order, what is being done, what went wrong, and its sources.

import { el, icon } from "../dom.js";
import { isLink, outsideLink } from "../markdown.js";
import { MarkdownStream } from "../markdown_stream.js";
import { plan } from "../scheduler.js";
import { errorWords, progressWords, toolWords } from "../words.js";

export class ReplyView {
  #reply;
  #views = new Map();
  #body = el("div", { class: "reply-body" });
  #progress = el("p", { class: "progress" });
  #notes = el("div", { class: "reply-notes" });

  constructor(reply) {
    this.element = el("div", { class: "reply" }, this.#body, this.#progress, this.#notes);
    this.show(reply);
  }

  /** Shows another answer instead, or the same one anew. */
  show(reply) {
    this.#reply = reply;
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
    if (part.type === "tool") return toolView();
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
  }

  #showProgress() {
    const { status, parts, progress } = this.#reply;
    const isQuiet = status === "pending" && (progress !== null || !parts.some((part) => part.open));
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
  const element = el("details", { class: "fold reasoning" }, el("summary", {}, icon("thought"), label), body);
  const update = (part) => { label.textContent = part.open ? "Reasoning …" : "Reasoning"; };
  return { element, stream: new MarkdownStream(body, () => []), update };
}

function toolView() {
  const name = el("span", { class: "tool-name" });
  const words = el("span", { class: "tool-input" });
  const state = el("span", { class: "tool-state" });
  const content = el("div", { class: "tool-content" });
  const element = el("details", { class: "fold tool" }, el("summary", {}, icon("tool"), name, words, state), content);
  const update = (part, reply) => {
    // Whoever ended the answer from outside may not have told of its tools.
    const now = part.state === "running" && reply.status !== "pending" ? "failed" : part.state;
    name.textContent = toolWords(part.name);
    words.textContent = part.input?.query ?? "";
    state.textContent = now;
    element.dataset.state = now;
    content.replaceChildren(
      section("Input", JSON.stringify(part.input, null, 2)),
      now === "running" ? "" : section(now === "failed" ? "Error" : "Result", typeof part.output === "string" ? part.output : JSON.stringify(part.output ?? "It was broken off.", null, 2)),
    );
  };
  return { element, update };
}

function section(title, text) {
  return el("section", {}, el("h3", {}, title), el("pre", { tabindex: "0", role: "region", "aria-label": title }, text));
}

function sourceList(sources) {
  const items = sources.map((source, index) => {
    const address = URL.canParse(source.url) ? new URL(source.url) : null;
    const words = [el("span", { class: "source-number" }, String(index + 1)), el("span", { class: "source-title" }, source.title || source.url), el("span", { class: "source-host" }, address?.host ?? "")];
    return el("li", {}, isLink(source.url) ? outsideLink(source.url, {}, ...words) : el("span", {}, ...words));
  });
  return el("section", { class: "sources", "aria-label": "Sources" }, el("h3", {}, "Sources"), el("ol", {}, ...items));
}
