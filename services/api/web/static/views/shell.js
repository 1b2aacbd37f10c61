// The frame of everything: the list at the side, which is a drawer on a phone, and what is open beside it.

import { onChange } from "../connection.js";
import { el, iconButton } from "../dom.js";

/** A connection that is back so soon was not worth a word, in ms. */
const PATIENCE_MS = 1_000;

export class Shell {
  #title = el("h1", { class: "place-title" });
  #tools = el("div", { class: "place-tools" });
  #content = el("div", { class: "content" });
  #hint = el("div", { class: "hint-place" });
  #banner = el("p", { class: "banner", role: "status", hidden: true }, "Connection lost. Trying again …");
  #timer = 0;
  #menu;
  #narrow = matchMedia("(max-width: 760px)");

  constructor(root, sidebar, signal) {
    this.sidebar = sidebar;
    this.#menu = iconButton("menu", "Open the list of chats", () => this.openDrawer(), { class: "icon-button drawer-only", "aria-controls": "sidebar", "aria-expanded": "false" });
    const main = el("main", { id: "main" }, el("header", { class: "place" }, this.#menu, this.#title, this.#tools), this.#hint, this.#banner, this.#content);
    this.element = el("div", { class: "shell" }, el("a", { class: "skip", href: "#main", onclick: (event) => this.#skip(event) }, "Skip to the message box"), sidebar.element, el("div", { class: "scrim", onclick: () => this.closeDrawer() }), main);
    root.replaceChildren(this.element);
    onChange((isLost) => this.#connection(isLost), signal);
    this.#narrow.addEventListener("change", () => this.closeDrawer(), { signal });
    this.closeDrawer();
  }

  /** Shows something beside the list. `tools` are buttons for the head. */
  show(element, title, tools = []) {
    if (this.#content.firstChild !== element) this.#content.replaceChildren(element);
    this.title = title;
    this.#tools.replaceChildren(...tools);
  }

  /** Shows a line above whatever is open; null for none. */
  setHint(element) {
    this.#hint.replaceChildren(...(element ? [element] : []));
  }

  set title(title) {
    this.#title.textContent = title;
    this.#title.title = title;
    document.title = title ? `${title} · CortexAI` : "CortexAI";
  }

  openDrawer() {
    this.element.classList.add("is-open");
    this.#menu.setAttribute("aria-expanded", "true");
    this.sidebar.element.inert = false;
    this.sidebar.element.querySelector("a, button").focus();
  }

  /** Closes the drawer. Returns whether it was open. On a wide page there is none, and the list stays. */
  closeDrawer() {
    const wasOpen = this.element.classList.contains("is-open");
    this.element.classList.remove("is-open");
    this.#menu.setAttribute("aria-expanded", "false");
    this.sidebar.element.inert = this.#narrow.matches;
    if (wasOpen && this.#narrow.matches) this.#menu.focus();
    return wasOpen;
  }

  #skip(event) {
    event.preventDefault();
    (document.getElementById("composer-input") ?? this.#content.querySelector("a, button, input"))?.focus();
  }

  #connection(isLost) {
    clearTimeout(this.#timer);
    if (isLost) this.#timer = setTimeout(() => { this.#banner.hidden = false; }, PATIENCE_MS);
    else this.#banner.hidden = true;
  }
}
