// The frame of what a stranger sees: a card in the middle of the page.

import { el, icon } from "../dom.js";

/** Shows a card in `root`. */
export function showCard(root, ...children) {
  root.replaceChildren(el("main", { class: "sign-in" }, el("div", { class: "sign-in-card" }, el("div", { class: "brand large" }, icon("brand"), "CortexAI"), ...children)));
}

/** A paragraph that says what has gone wrong. */
export function problemLine() {
  return el("p", { class: "form-error", role: "alert" });
}

/** A field with its label, and what stands below it. */
export function field(label, input, ...below) {
  return el("div", { class: "field" }, el("label", { for: input.id }, label), input, ...below);
}

/** A form. `submit` is called with nothing, and once at a time. */
export function formOf(submit, ...children) {
  const send = children.at(-1);
  return el(
    "form",
    {
      onsubmit: async (event) => {
        event.preventDefault();
        send.disabled = true;
        try {
          await submit();
        } finally {
          send.disabled = false;
        }
      },
    },
    ...children,
  );
}
