// One message of a chat, with what can be done with it: copy, edit or answer anew, choose a version.

import { copyText } from "../code_blocks.js";
import { button, el, iconButton } from "../dom.js";
import { awaitsDecision, newReply, savedReply, take, textOf } from "../reply.js";
import { ReplyView } from "./reply_view.js";

/**
 * A message and its element. `actions` has what the reader may ask for: `edit`, `regenerate`, `choose`. What is shown of
 * databases is kept up to date until `signal` is aborted.
 */
export class MessageView {
  /** Ends the reading of the answer's stream (an AbortController); null while nobody reads the stream. */
  following = null;
  /** How long to wait before the stream is read once more; null before the first time. */
  backoff = null;
  #actions;
  /** The buttons stay the same elements: one of them may have the focus when the message is known better. */
  #copy = iconButton("copy", "Copy message", () => copyText(this.text, this.#copy));
  #change;
  #versions = null;
  #footer = el("footer", { class: "message-actions" });
  #content;
  #closed = new AbortController();

  constructor(message, actions, signal) {
    this.message = message;
    this.#actions = actions;
    const isUser = message.role === "user";
    if (!isUser) {
      this.reply = isOpen(message) ? newReply() : savedReply(message);
      this.replyView = new ReplyView(this.reply, AbortSignal.any([signal, this.#closed.signal]));
    }
    this.#change = isUser ? iconButton("edit", "Edit message", () => this.#edit()) : iconButton("again", "Answer again", () => this.#actions.regenerate(this));
    this.#footer.append(this.#copy, this.#change);
    this.#content = isUser ? el("div", { class: "bubble" }, message.content) : this.replyView.element;
    this.element = el("article", { class: `message ${message.role}`, "aria-label": isUser ? "You" : "Assistant" }, el("h2", { class: "visually-hidden" }, isUser ? "You said" : "The assistant said"), this.#content, this.#footer);
    this.#showActions();
  }

  /** The message is not shown any more. */
  close() {
    this.following?.abort();
    this.#closed.abort();
    this.element.remove();
  }

  get isPending() {
    return this.reply?.status === "pending";
  }

  /** Whether the answer waits for a person's decision. */
  get awaitsDecision() {
    return this.reply !== undefined && awaitsDecision(this.reply);
  }

  /** Whether the answer waits for the one before it. Its own stream tells more, once it is followed. */
  set waits(value) {
    if (value !== (this.reply.progress?.status === "waiting")) this.take({ type: "data-status", data: value ? { status: "waiting" } : null });
  }

  /** The message is known better now: it was accepted, or has another version beside it, or has ended. */
  update(message) {
    const wasPending = this.isPending;
    this.message = { ...this.message, ...message };
    if (wasPending && !isOpen(this.message) && this.following === null) {
      this.reply = savedReply(this.message);
      this.replyView.show(this.reply);
    }
    this.#showActions();
  }

  /** Takes a frame of the answer. Returns whether the answer is over now. */
  take(frame) {
    const change = take(this.reply, frame);
    if (change === null) return false;
    this.replyView.apply(change);
    this.element.setAttribute("aria-busy", String(this.isPending));
    if (change.kind === "end") this.#showActions();
    return change.kind === "end";
  }

  /** What was said. */
  get text() {
    return this.reply ? textOf(this.reply) : this.message.content;
  }

  #showActions() {
    const isEdited = this.#content.parentNode === null; // a form stands in its place
    this.#footer.hidden = this.isPending || this.message.id === null || isEdited;
    const versions = this.#versionsOf(this.message);
    if (versions !== null && this.#versions?.isEqualNode(versions)) return;
    const focused = this.#versions?.contains(document.activeElement) ? document.activeElement.ariaLabel : null;
    this.#versions?.remove();
    this.#versions = versions;
    if (versions !== null) this.#footer.prepend(versions);
    if (focused !== null) this.takeFocus(focused);
  }

  #versionsOf({ id, versions = [] }) {
    if (versions.length < 2) return null;
    const at = versions.indexOf(id);
    const step = (by, name, label) => iconButton(name, label, () => this.#choose(by), { disabled: versions[at + by] === undefined });
    return el(
      "span",
      { class: "versions", role: "group", "aria-label": "Versions" },
      step(-1, "left", "Version before"),
      el("span", { "aria-label": `Version ${at + 1} of ${versions.length}` }, `${at + 1} / ${versions.length}`),
      step(1, "right", "Next version"),
    );
  }

  /** Looked up at the click: the buttons stay while the message is known better. */
  #choose(by) {
    const { id, versions } = this.message;
    this.#actions.choose(versions[versions.indexOf(id) + by]);
  }

  /** Puts the focus on the button of this name, or on the first one. Returns whether there is one. */
  takeFocus(name) {
    if (this.#footer.hidden) return false;
    const buttons = [...this.#footer.querySelectorAll("button:enabled")];
    const button = buttons.find((one) => one.ariaLabel === name) ?? buttons[0];
    button.focus();
    return true;
  }

  #edit() {
    const input = el("textarea", { "aria-label": "Edit message", rows: "3" });
    input.value = this.message.content;
    const close = () => {
      form.replaceWith(this.#content);
      this.#footer.hidden = false;
      this.#footer.querySelector("button:last-child").focus();
    };
    const save = () => {
      const text = input.value;
      if (text.trim() === "") return;
      close();
      if (text !== this.message.content) this.#actions.edit(this, text);
    };
    const form = el(
      "form",
      {
        class: "edit-form",
        onsubmit: (event) => { event.preventDefault(); save(); },
        onkeydown: (event) => {
          if (event.key === "Escape") {
            event.stopPropagation();
            close();
          } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
            event.preventDefault();
            save();
          }
        },
      },
      input,
      el("p", { class: "hint" }, "The chat goes on from here with a new answer. The messages of now stay as another version."),
      el("div", { class: "actions" }, button("Cancel", close), el("button", { type: "submit", class: "button primary" }, "Send")),
    );
    this.#content.replaceWith(form);
    this.#footer.hidden = true;
    input.style.height = `${Math.min(320, Math.max(80, input.scrollHeight))}px`;
    input.focus();
  }
}

/** Whether an answer has more to come: its stream tells it from the beginning. */
function isOpen(message) {
  return message.status === "pending" || message.generation?.is_final === false;
}
