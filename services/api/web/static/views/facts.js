// Facts of a memory, each with what can be done with it: correct, pin, forget.

import { confirm, askText } from "../dialogs.js";
import { button, el, icon, iconButton, placeChildren } from "../dom.js";
import { day, factKindWords, sourceWords } from "../words.js";

/** What the API allows. */
const FACT_CHARS = 200;

/**
 * A list of facts below a heading. `edit(change)` sends one edit, as PATCH of the memory takes it. `where(fact)` says where a
 * fact comes from: an element or a text, or null or false.
 */
export class FactList {
  #head;
  #list = el("ul", { class: "facts" });
  #none = el("p", { class: "hint", hidden: true }, "Nothing yet.");
  /** By the id of the fact: what is shown of it, as text, and its element. */
  #shown = new Map();
  #edit;
  #where;

  constructor(title, { edit, where }) {
    this.#head = el("h2", { tabindex: "-1" }, title);
    this.#edit = edit;
    this.#where = where;
  }

  /** The heading first. */
  get elements() {
    return [this.#head, this.#none, this.#list];
  }

  /** Shows these facts. A fact that has not changed keeps its element. The focus stays at the same button, or near it. */
  show(facts) {
    const focused = this.#list.contains(document.activeElement) ? document.activeElement : null;
    const before = this.#shown;
    this.#shown = new Map(facts.map((fact) => [fact.id, this.#itemOf(fact, before.get(fact.id))]));
    const next = focused && this.#successorOf(focused, before);
    placeChildren(this.#list, [...this.#shown.values()].map(({ element }) => element));
    this.#none.hidden = facts.length > 0;
    if (focused && !this.#list.contains(document.activeElement)) (next ?? this.#head).focus();
  }

  #itemOf(fact, before) {
    const text = JSON.stringify(fact);
    return before?.text === text ? before : { text, element: factItem(fact, this.#edit, this.#where) };
  }

  /** The button that takes the place of a button of an item that is shown anew; undefined where there is none. */
  #successorOf(focused, before) {
    for (const [id, { element }] of before) {
      if (!element.contains(focused)) continue;
      const at = [...element.querySelectorAll("a, button")].indexOf(focused);
      return this.#shown.get(id)?.element.querySelectorAll("a, button")[at];
    }
    return undefined;
  }
}

function factItem(fact, edit, where) {
  const isCurrent = (fact.state ?? "current") === "current";
  const name = fact.text || "forgotten";
  return el(
    "li",
    { class: `fact ${isCurrent ? "" : "is-past"}` },
    el(
      "div",
      { class: "fact-words" },
      el("p", {}, fact.pinned && icon("pin"), fact.text || "Forgotten"),
      el("p", { class: "fact-notes" }, el("span", { class: "tag" }, factKindWords(fact.kind)), sourceWords(fact.source), " · ", day(fact.date), fact.state === "replaced" && " · does not hold any more", where(fact)),
      fact.quote && fact.quote !== fact.text && el("blockquote", {}, fact.quote),
    ),
    isCurrent &&
      el(
        "span",
        { class: "fact-actions" },
        iconButton("pin", fact.pinned ? `Unpin “${name}”` : `Pin “${name}”`, () => edit({ id: fact.id, pinned: !fact.pinned }), { "aria-pressed": String(fact.pinned) }),
        iconButton("edit", `Correct “${name}”`, async () => {
          const text = await askText({ title: "Correct a fact", label: "What holds", value: fact.text, most: FACT_CHARS });
          if (text && text !== fact.text) await edit({ id: fact.id, text });
        }),
        iconButton("trash", `Forget “${name}”`, async () => {
          const sure = await confirm({ title: "Forget this?", text: `“${name}” will not be told to the model any more. This can't be undone.`, yes: "Forget" });
          if (sure) await edit({ id: fact.id, forgotten: true });
        }),
      ),
  );
}

/** A form that adds a fact. `kinds` are those to choose from. */
export function factForm(kinds, edit) {
  const input = el("input", { type: "text", id: "new-fact", maxlength: FACT_CHARS, required: true, placeholder: "I am a vegetarian.", autocomplete: "off" });
  const kind = el("select", { id: "new-fact-kind" }, ...kinds.map((one) => el("option", { value: one }, factKindWords(one))));
  const submit = async (event) => {
    event.preventDefault();
    if (input.value.trim() === "") return;
    if (await edit({ text: input.value.trim(), kind: kind.value })) input.value = "";
  };
  return el(
    "form",
    { class: "fact-form", onsubmit: submit },
    el("div", { class: "field grow" }, el("label", { for: "new-fact" }, "Something to remember"), input),
    el("div", { class: "field" }, el("label", { for: "new-fact-kind" }, "Kind"), kind),
    el("button", { type: "submit", class: "button primary" }, "Add"),
  );
}

/** A button that deletes after a question. Hidden, until there is something to delete. */
export function deleteButton(words, question, action) {
  return button(words, async () => {
    if (await confirm({ title: words, text: question, yes: "Delete" })) await action();
  }, { kind: "danger-quiet", symbol: "trash", hidden: true });
}
