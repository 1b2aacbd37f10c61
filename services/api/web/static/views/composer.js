// Where a message is written. Enter sends, Shift+Enter begins a new line.

import { button, el, icon, iconButton, setIcon } from "../dom.js";

/** Pixels. A longer message scrolls. */
const HIGHEST = 240;

export class Composer {
  #isAnswering = false;
  #input;
  #button;

  /** What is said above the box while the answer waits for a decision. */
  note;

  /** Calls `onSend` with a text, and `onStop`. */
  constructor({ onSend, onStop }) {
    this.#input = el("textarea", {
      id: "composer-input",
      rows: "1",
      placeholder: "Write a message",
      "aria-label": "Message",
      enterkeyhint: "send",
      oninput: () => this.#changed(),
      onkeydown: (event) => {
        // Enter that ends the composition of a Japanese word sends nothing.
        if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
        event.preventDefault();
        this.#send();
      },
    });
    this.#button = iconButton("send", "Send", () => (this.#stops ? onStop() : this.#send()), { class: "round-button" });
    this.onSend = onSend;
    this.note = el("div", { class: "composer-note", hidden: true }, icon("warning"), el("p", {}, "The answer waits for your decision. What you write now waits behind it."), button("Stop the answer", onStop, { kind: "quiet", symbol: "stop" }));
    this.element = el("form", { class: "composer", onsubmit: (event) => { event.preventDefault(); this.#send(); } }, this.#input, this.#button);
    this.#changed();
  }

  /** Whether an answer is being written: then the button stops it, unless there is a text to send. */
  set isAnswering(value) {
    this.#isAnswering = value;
    this.#changed();
  }

  /** Whether the answer goes on only after a person's decision. */
  set awaitsDecision(value) {
    this.note.hidden = !value;
  }

  /** Whether the button stops now. */
  get #stops() {
    return this.#isAnswering && this.#input.value.trim() === "";
  }

  focus() {
    this.#input.focus();
  }

  /** The draft; setting it puts a text back that could not be sent. */
  get text() {
    return this.#input.value;
  }

  set text(value) {
    this.#input.value = value;
    this.#changed();
  }

  #send() {
    const text = this.#input.value;
    if (text.trim() === "") return;
    this.onSend(text);
    this.text = "";
  }

  #changed() {
    const input = this.#input;
    input.style.height = "auto";
    input.style.height = `${Math.min(HIGHEST, input.scrollHeight)}px`;
    const label = this.#stops ? "Stop" : "Send";
    if (this.#button.title !== label) {
      this.#button.title = label;
      this.#button.setAttribute("aria-label", label);
      setIcon(this.#button, label.toLowerCase());
    }
    this.#button.disabled = !this.#stops && input.value.trim() === "";
  }
}
