// Questions in the middle of the page. The browser keeps the focus in them and closes them with Escape.

import { button, el } from "./dom.js";

/** Asks before something that can't be undone. Returns whether the answer was yes. */
export function confirm({ title, text, yes }) {
  return askForm({ title, content: [el("p", {}, text)], yes, kind: "danger" });
}

/** Asks for a text. Returns it, trimmed; null when nothing was given. */
export async function askText({ title, label, value = "", yes = "Save", most = 200 }) {
  const input = el("input", { type: "text", maxlength: most, value, id: "dialog-input", autocomplete: "off", required: true });
  const field = el("div", { class: "field" }, el("label", { for: "dialog-input" }, label), input);
  return (await askForm({ title, content: [field], yes })) ? input.value.trim() || null : null;
}

/**
 * Asks with fields of one's own. `act` does what is asked for when the form is sent: while it returns false, the dialog
 * stays, so that what is wrong can be said at its field. Returns whether it was done.
 */
export function askForm({ title, content, yes, kind = "primary", act = () => true }) {
  return new Promise((resolve, reject) => {
    let isActing = false;
    const dialog = el("dialog", { "aria-labelledby": "dialog-title" });
    const send = async (event) => {
      event.preventDefault();
      if (isActing) return; // a second press of Enter is no second request
      isActing = true;
      try {
        if (await act()) dialog.close("yes");
      } catch (error) {
        dialog.close();
        reject(error);
      }
      isActing = false;
    };
    const form = el(
      "form",
      { method: "dialog", onsubmit: send },
      el("h2", { id: "dialog-title" }, title),
      ...content,
      el("div", { class: "actions" }, button("Cancel", () => dialog.close()), el("button", { type: "submit", class: `button ${kind}` }, yes)),
    );
    dialog.append(form);
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes");
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Closes what is asked, as Cancel does: what the question was about is not shown any more. */
export function closeDialogs() {
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
}
