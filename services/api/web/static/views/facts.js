// Facts of a memory, each with what can be done with it: correct, pin, forget.

import { confirm, askText } from "../dialogs.js";
import { button, el, icon, iconButton } from "../dom.js";
import { day, factKindWords, sourceWords } from "../words.js";

/** What the API allows. */
const FACT_CHARS = 200;

/**
 * The list of facts. `edit(change)` sends one edit, as PATCH of the memory takes it. `where(fact)` says where a fact
 * comes from: an element, or null.
 */
export function factList(facts, { edit, where }) {
  if (facts.length === 0) return el("p", { class: "hint" }, "Nothing yet.");
  return el("ul", { class: "facts" }, ...facts.map((fact) => factItem(fact, edit, where)));
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

/** A button that deletes after a question. */
export function deleteButton(words, question, action) {
  return button(words, async () => {
    if (await confirm({ title: words, text: question, yes: "Delete" })) await action();
  }, { kind: "danger-quiet", symbol: "trash" });
}
