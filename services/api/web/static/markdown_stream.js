// Markdown that is still being written. A block that is complete is rendered once and never touched again; only the last
// one is rendered anew when there is more of it. So a frame's work does not grow with the answer.

import { CodeBlock } from "./code_blocks.js";
import { el } from "./dom.js";
import { blocksOf, render, renderPlain } from "./markdown.js";

/** Characters. What is looked at in one step. A longer block is cut at the end of a line. */
const WINDOW = 8_000;
/** Lists and tables would be others after a cut, so they get this many. */
const WIDEST = 64_000;
/** Characters. What is rendered in one step, unless a single block is longer. */
const PIECE = 1_500;
/** Blocks of one chunk. The browser lays out each chunk by itself, and in a long text none that is out of sight. */
const CHUNK = 60;
const FENCE = /^ {0,3}(`{3,}(?=[^`\n]*\n)|~{3,})([^\n]*)\n/;
/** Text that nests deeper than people read takes parsers for ever, and is shown as it is. */
const TOO_DEEP = /^(?:[ \t]*(?:>|[-*+][ \t]|\d{1,9}[.)][ \t])){24}|^[ \t]{200}|(?:!?\[){60}/m;

export class MarkdownStream {
  #waiting = ""; // not in a block that is complete
  #carriage = "";
  #ended = false;
  #dirty = false;
  #tail;
  #complete = []; // blocks that are to be shown next
  #chunk = el("div", { class: "chunk" });
  #shown = 0;
  #window = WINDOW;
  #code = null;
  #links = {};
  #sources;

  /** Renders into `root`. `sources` gives the sources of now. */
  constructor(root, sources) {
    this.root = root;
    this.#sources = sources;
    this.#tail = el("div", { class: "tail" });
    root.append(this.#chunk, this.#tail);
  }

  /** More text has come. */
  append(text) {
    // A \r may be half of a line's end.
    text = this.#carriage + text;
    this.#carriage = text.endsWith("\r") ? "\r" : "";
    this.#waiting += text.slice(0, text.length - this.#carriage.length).replace(/\r\n?/g, "\n");
    this.#dirty = true;
  }

  /** No more text comes. */
  end() {
    if (this.#ended) return;
    if (this.#carriage) this.#waiting += "\n";
    this.#carriage = "";
    this.#ended = true;
    this.#dirty = true;
  }

  /** Renders one piece. Returns whether there is more to do now. */
  step() {
    if (this.#complete.length > 0) return this.#showComplete();
    if (!this.#dirty) return false;
    if (this.#code) return this.#stepInCode();
    const fence = FENCE.exec(this.#waiting);
    if (fence) {
      this.#openCode(fence);
      return true;
    }
    const window = this.#waiting.slice(0, this.#window);
    const isAll = window.length === this.#waiting.length;
    const blocks = this.#read(isAll ? window : wholeLines(window));
    if (!isAll && this.#window < WIDEST && ["list", "table"].includes(blocks[0].type) && blocks.slice(1).every(isSpace)) {
      this.#window *= 2;
      return true;
    }
    const complete = this.#ended && isAll ? blocks : completeOf(blocks, isAll);
    if (complete.length > 0) {
      this.#window = WINDOW;
      this.#complete = complete;
      this.#waiting = this.#waiting.slice(complete.reduce((sum, block) => sum + block.raw.length, 0));
      return true; // what follows them may be code, and is looked at when they are shown
    }
    this.#tail.replaceChildren(this.#show(blocks));
    this.#dirty = false;
    if (this.#ended) this.#tail.remove();
    return false;
  }

  #showComplete() {
    let size = 0;
    let end = 0;
    while (end < this.#complete.length && size < PIECE) size += this.#complete[end++].raw.length;
    this.#tail.replaceChildren();
    this.#chunk.append(this.#show(this.#complete.splice(0, end)));
    this.#shown += end;
    if (this.#shown > CHUNK) this.#newChunk();
    return true;
  }

  #newChunk() {
    this.#shown = 0;
    this.root.classList.add("is-long");
    this.#chunk = el("div", { class: "chunk" });
    this.#tail.before(this.#chunk);
  }

  #read(text) {
    try {
      if (TOO_DEEP.test(text)) return [plain(text)];
      const blocks = blocksOf(text, this.#links);
      // The next step begins where these blocks end, so they have to be exactly the text.
      return blocks.map((block) => block.raw).join("") === text ? blocks : [plain(text)];
    } catch (error) {
      if (error instanceof RangeError) return [plain(text)]; // too deep for the parser's stack
      throw error;
    }
  }

  #show(blocks) {
    const fragment = document.createDocumentFragment();
    for (const block of blocks) fragment.append(block.type === "plain" ? renderPlain(block.raw) : render([block], this.#sources()));
    return fragment;
  }

  #openCode(fence) {
    const [line, mark, words] = fence;
    this.#tail.replaceChildren();
    this.#code = { block: new CodeBlock(words.trim().split(/\s/)[0].slice(0, 40)), closes: new RegExp(`^ {0,3}${mark[0]}{${mark.length},}[ \\t]*$`) };
    this.#chunk.append(this.#code.block.element);
    this.#waiting = this.#waiting.slice(line.length);
  }

  #stepInCode() {
    // The last line may become the fence that closes the code, so it waits until it is whole.
    const window = this.#waiting.slice(0, WINDOW);
    const isAll = window.length === this.#waiting.length;
    let at = 0;
    while (at < window.length) {
      const end = window.indexOf("\n", at);
      const isWhole = end >= 0 || (this.#ended && isAll);
      const line = window.slice(at, end < 0 ? undefined : end);
      if (isWhole && this.#code.closes.test(line)) {
        this.#take(at);
        this.#waiting = this.#waiting.slice(end < 0 ? line.length : line.length + 1);
        this.#code.block.end();
        this.#code = null;
        return true;
      }
      if (!isWhole) break;
      at = end < 0 ? window.length : end + 1;
    }
    if (at === 0 && !isAll) at = window.length; // one very long line
    else if (at < window.length && !couldClose(window.slice(at))) at = window.length;
    this.#take(at);
    if (this.#waiting !== "" && !isAll) return true;
    this.#dirty = false;
    if (this.#ended) {
      this.#code.block.end();
      this.#tail.remove();
    }
    return false;
  }

  #take(length) {
    if (length > 0) this.#code.block.append(this.#waiting.slice(0, length));
    this.#waiting = this.#waiting.slice(length);
  }
}

function plain(text) {
  return { type: "plain", raw: text };
}

function isSpace(block) {
  return block.type === "space";
}

function couldClose(line) {
  return /^ {0,3}[`~]*[ \t]*$/.test(line);
}

/** A window up to its last line's end; a window without one, up to its last space. */
function wholeLines(window) {
  const end = window.lastIndexOf("\n") + 1 || window.lastIndexOf(" ") + 1;
  return end > 0 ? window.slice(0, end) : window;
}

/** The blocks that no more text can change: all before the last one. Of a window that is full, a single one too. */
function completeOf(blocks, isAll) {
  const last = blocks.findLastIndex((block) => !isSpace(block));
  if (last <= 0) return isAll ? [] : blocks;
  return blocks.slice(0, last);
}
