// Questions in the middle of the page. The browser keeps the focus in them and closes them with Escape.

import { button, el } from "./dom.js";

/** Asks before something that can't be undone. Returns whether the answer was yes. */
export function confirm({ title, text, yes }) {
  return ask(title, [el("p", {}, text)], yes, "danger", () => true).then((answer) => answer ?? false);
}

/** Asks for a text. Returns it, trimmed; null when nothing was given. */
export function askText({ title, label, value = "", yes = "Save", most = 200 }) {
  const input = el("input", { type: "text", maxlength: most, value, id: "dialog-input", autocomplete: "off", required: true });
  const field = el("div", { class: "field" }, el("label", { for: "dialog-input" }, label), input);
  return ask(title, [field], yes, "primary", () => input.value.trim() || null);
}

function ask(title, content, yes, kind, answer) {
  return new Promise((resolve) => {
    const dialog = el("dialog", { "aria-labelledby": "dialog-title" });
    const form = el(
      "form",
      { method: "dialog" },
      el("h2", { id: "dialog-title" }, title),
      ...content,
      el("div", { class: "actions" }, button("Cancel", () => dialog.close()), el("button", { type: "submit", class: `button ${kind}`, value: "yes" }, yes)),
    );
    dialog.append(form);
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes" ? answer() : null);
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
