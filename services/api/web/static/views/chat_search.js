// Search over all chats: a box above the list, whose results take the list's place.

import { Refused, Unreachable, call } from "../api.js";
import { el, icon } from "../dom.js";
import { visible } from "../visible.js";
import { exceptionWords } from "../words.js";

/** ms after the last key. */
const PATIENCE_MS = 200;
/** What the API takes. */
const MOST_CHARS = 200;

export class ChatSearch {
  #input = el("input", { type: "search", id: "chat-search", placeholder: "Search chats", "aria-label": "Search chats", maxlength: MOST_CHARS, autocomplete: "off", oninput: () => this.#typed(), onkeydown: (event) => this.#key(event) });
  #found = el("ul", { class: "search-results" });
  #note = el("p", { class: "hint", role: "status" });
  #asking = new AbortController();
  #timer = 0;
  #onChange;
  results = el("div", { class: "chat-list", hidden: true }, this.#note, this.#found);

  /** `onChange(isSearching)` is called when the results are shown, and when they go. */
  constructor(onChange) {
    this.#onChange = onChange;
    this.element = el("form", { class: "chat-search", role: "search", onsubmit: (event) => event.preventDefault() }, icon("tool"), this.#input);
  }

  #key(event) {
    if (event.key !== "Escape" || this.#input.value === "") return;
    event.stopPropagation(); // it stops no answer
    event.preventDefault();
    this.#input.value = "";
    this.#typed();
  }

  #typed() {
    clearTimeout(this.#timer);
    this.#asking.abort();
    const words = this.#input.value.trim();
    this.results.hidden = words === "";
    this.#onChange(words !== "");
    if (words !== "") this.#timer = setTimeout(() => void this.#ask(words), PATIENCE_MS);
  }

  async #ask(words) {
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    try {
      const chats = await call("GET", `/api/search?q=${encodeURIComponent(words)}&limit=30`, { signal });
      if (signal.aborted) return;
      this.#found.replaceChildren(...chats.map(item));
      this.#note.textContent = chats.length === 0 ? "Nothing was found." : `${chats.length} ${chats.length === 1 ? "chat" : "chats"} found`;
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
      this.#found.replaceChildren();
      this.#note.textContent = exceptionWords(error);
    }
  }
}

function item({ id, title, message }) {
  const name = visible(title ?? "New chat");
  return el("li", {}, el("a", { href: `#/chats/${id}`, title: name }, el("bdi", { class: "found-title" }, name), message && el("bdi", { class: "found-words" }, visible(message.excerpt))));
}
