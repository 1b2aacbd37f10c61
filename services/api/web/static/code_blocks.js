// Code: with its language, a button that copies it, and colours.

import { button, el } from "./dom.js";

/** Characters. Longer code has no colours: they would take longer than a frame. */
const COLOURED_MOST = 20_000;
const COPIED_MS = 2_000;
/** Characters of one child. The browser lays out each child by itself, and those out of sight not at all. */
const CHUNK = 8_000;

let highlighter = null;

/** A block of code that can grow. */
export class CodeBlock {
  #text = [];
  #code = el("code");
  #filling = 0;

  constructor(language) {
    this.language = language;
    const copy = button("Copy", () => copyText(this.text, copy), { kind: "quiet", symbol: "copy" });
    this.element = el(
      "figure",
      { class: "code" },
      el("figcaption", {}, el("span", {}, language || "code"), copy),
      el("pre", { tabindex: "0", role: "group", "aria-label": language ? `Code, ${language}` : "Code" }, this.#code),
    );
  }

  /** The code, without the end of its last line. */
  get text() {
    return this.#text.join("").replace(/\n$/, "");
  }

  /** Adds text to the end. It costs the same however long the code is. */
  append(text) {
    this.#text.push(text);
    let last = this.#code.lastElementChild;
    for (let rest = text; rest !== ""; ) {
      if (!last || this.#filling >= CHUNK) {
        last = el("span", { class: "lines" });
        this.#filling = 0;
        this.#code.append(last);
      }
      // A child ends at the end of a line, so that a line is never cut in two.
      const end = this.#filling + rest.length > CHUNK ? rest.indexOf("\n", Math.max(0, CHUNK - this.#filling)) + 1 : 0;
      const piece = end > 0 ? rest.slice(0, end) : rest;
      last.append(piece);
      this.#filling += end > 0 ? CHUNK : Math.min(piece.length, CHUNK - this.#filling - 1);
      rest = rest.slice(piece.length);
    }
  }

  /** No more text comes. */
  end() {
    this.#code.normalize();
    void colour(this.#code, this.text, this.language);
  }
}

/** A block of code that is complete. */
export function codeBlock(text, language) {
  const block = new CodeBlock(language);
  block.append(text);
  block.end();
  return block.element;
}

/** Copies a text, and says so on the button for a moment. Where there is no clipboard (plain http), the browser's old command copies. */
export async function copyText(text, copy) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = el("textarea", { class: "visually-hidden", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  const label = copy.lastChild;
  if (label.nodeType === Node.TEXT_NODE) label.textContent = "Copied";
  copy.classList.add("is-done");
  setTimeout(() => {
    if (label.nodeType === Node.TEXT_NODE) label.textContent = "Copy";
    copy.classList.remove("is-done");
  }, COPIED_MS);
}

async function colour(code, text, language) {
  if (!language || text.length > COLOURED_MOST) return;
  highlighter ??= import("./vendor/highlight.js").then((module) => module.default);
  const hljs = await highlighter;
  if (!hljs.getLanguage(language)) return;
  // Its tree, not its HTML: no text becomes HTML on this page.
  const tree = hljs.highlight(text, { language, ignoreIllegals: true })._emitter.rootNode;
  code.replaceChildren(...tree.children.map(coloured));
}

function coloured(node) {
  if (typeof node === "string") return node;
  const [kind] = (node.scope ?? "").split(".");
  return el("span", { class: kind && `hljs-${kind}` }, ...node.children.map(coloured));
}
