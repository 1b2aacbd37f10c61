// Markdown to elements. What a model writes is a stranger's text: nothing of it may run, load or pretend anything. So no
// text becomes HTML here, and the page's policy forbids that everywhere (Trusted Types). The parser's tokens become
// elements, one by one, and HTML that a model writes is shown as the text that it is.

import { Lexer, Marked } from "./vendor/marked.js";
import { codeBlock } from "./code_blocks.js";
import { el } from "./dom.js";
import { decodeEntities } from "./entities.js";

/** Other schemes, javascript: above all, and addresses on this very server are no links. */
const LINKS = /^(?:https?:\/\/|mailto:)/i;
const CITATION = /^\[(\d{1,3})\](?![[(:])/;
/** HTML without attributes that people and models use in a line of Markdown. */
const INLINE_TAG = /^<(\/?)(b|del|em|i|kbd|mark|q|s|strong|sub|sup|u)>$/i;
const BREAK = /^<br\s*\/?>$/i;
/** Elements. What nests deeper is shown as text: nobody reads that, and browsers fail over it. */
const DEEPEST = 40;

const marked = new Marked({ gfm: true });
marked.use({
  extensions: [
    {
      name: "citation",
      level: "inline",
      start: (text) => text.match(/\[\d/)?.index,
      tokenizer: (text) => {
        const found = CITATION.exec(text);
        return found ? { type: "citation", raw: found[0], number: Number(found[1]) } : undefined;
      },
    },
  ],
});

/** Whether an address may be a link: to a page or a mailbox, elsewhere. */
export function isLink(address) {
  return LINKS.test(address.trim());
}

/** The top-level blocks of a text. `links` has the link definitions that were seen, and gets new ones. */
export function blocksOf(text, links) {
  const lexer = new Lexer(marked.defaults);
  Object.assign(lexer.tokens.links, links);
  const blocks = lexer.lex(text);
  Object.assign(links, blocks.links);
  return blocks;
}

/** A fragment that shows these blocks. `sources` are the pages that citations mean. */
export function render(blocks, sources) {
  const fragment = document.createDocumentFragment();
  appendAll(fragment, blocks, { sources, depth: 0 });
  return fragment;
}

/** A text as it is: what is shown when Markdown can't be read. */
export function renderPlain(text) {
  return el("p", { class: "plain-text" }, text);
}

/** A link to another page, which learns nothing of this one. */
export function outsideLink(address, attributes, ...children) {
  return el("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow", ...attributes }, ...children);
}

function appendAll(parent, tokens, context) {
  if (context.depth > DEEPEST) {
    parent.append(tokens.map((token) => token.raw).join(""));
    return;
  }
  const open = [parent]; // the elements that inline HTML has opened
  for (const token of tokens) {
    const tag = token.type === "html" ? INLINE_TAG.exec(token.raw) : null;
    const depth = context.depth + open.length;
    if (tag === null) open.at(-1).append(elementOf(token, { ...context, depth }));
    else if (tag[1] === "" && depth <= DEEPEST) open.push(el(tag[2].toLowerCase()));
    else if (tag[1] === "/" && open.length > 1 && open.at(-1).localName === tag[2].toLowerCase()) {
      const closed = open.pop();
      open.at(-1).append(closed);
    } else open.at(-1).append(token.raw);
  }
  while (open.length > 1) {
    const closed = open.pop();
    open.at(-1).append(closed);
  }
}

function wrap(name, token, context, attributes = {}) {
  const element = el(name, attributes);
  appendAll(element, token.tokens ?? [], context);
  return element;
}

function elementOf(token, context) {
  switch (token.type) {
    case "paragraph":
      return wrap("p", token, context);
    case "heading":
      // The page has headings of its own above these.
      return wrap(`h${Math.min(6, token.depth + 2)}`, token, context, { class: `level-${token.depth}` });
    case "code":
      return codeBlock(token.text, (token.lang ?? "").split(/\s/)[0]);
    case "blockquote":
      return wrap("blockquote", token, context);
    case "hr":
      return el("hr");
    case "list":
      return list(token, context);
    case "table":
      return table(token, context);
    case "strong":
    case "em":
    case "del":
      return wrap(token.type, token, context);
    case "codespan":
      return el("code", {}, token.text);
    case "br":
      return el("br");
    case "link":
      return isLink(token.href) ? outsideLink(token.href, { title: token.href }, inline(token, context)) : wrap("span", token, context);
    case "image":
      return image(token);
    case "citation":
      return citation(token.number, context.sources);
    case "checkbox":
      return el("input", { type: "checkbox", checked: token.checked, disabled: true, "aria-label": token.checked ? "done" : "to do" });
    case "space":
    case "def":
      return "";
    case "html":
      return html(token);
    case "escape":
      return token.text;
    default:
      return token.tokens ? inline(token, context) : decodeEntities(token.text ?? token.raw);
  }
}

/** A text with more in it, which has no element of its own. */
function inline(token, context) {
  const fragment = document.createDocumentFragment();
  appendAll(fragment, token.tokens, context);
  return fragment;
}

function list(token, context) {
  const start = token.ordered && token.start !== 1 ? String(token.start) : null;
  return el(token.ordered ? "ol" : "ul", { start }, ...token.items.map((item) => wrap("li", item, context, { class: item.task ? "task" : null })));
}

function table(token, context) {
  const row = (cells, name) => el("tr", {}, ...cells.map((cell, at) => wrap(name, cell, context, { class: token.align[at] ? `to-${token.align[at]}` : null, scope: name === "th" ? "col" : null })));
  return el(
    "div",
    { class: "table-frame", tabindex: "0", role: "group", "aria-label": "Table" },
    el("table", {}, el("thead", {}, row(token.header, "th")), el("tbody", {}, ...token.rows.map((cells) => row(cells, "td")))),
  );
}

/** An image tells its server who reads what and when, so it is a link. */
function image(token) {
  const words = token.text || token.href;
  return isLink(token.href) ? outsideLink(token.href, { class: "image-link", title: token.href }, `Image: ${words}`) : words;
}

function citation(number, sources) {
  const source = sources[number - 1];
  if (!source || !isLink(source.url)) return `[${number}]`;
  const title = source.title || source.url;
  return el("sup", { class: "citation" }, outsideLink(source.url, { title, "aria-label": `Source ${number}: ${title}` }, String(number)));
}

function html(token) {
  if (BREAK.test(token.raw.trim())) return el("br");
  return token.block ? renderPlain(token.raw.trimEnd()) : token.raw;
}
