// A question before what is worse than a click can be: the answer has to be typed.

import { askForm } from "../dialogs.js";
import { el } from "../dom.js";
import { formField } from "./form_field.js";

/** Asks to type an e-mail address. Returns whether `email` was typed, in any case. */
export function confirmByEmail({ title, text, label, email, yes }) {
  const typed = formField({ id: "typed-email", label, autocomplete: "off", autocapitalize: "off", spellcheck: "false", hint: email });
  const act = () => {
    const isSame = typed.input.value.trim().toLowerCase() === email.toLowerCase();
    typed.problem = isSame ? "" : "This is not the address of this account.";
    if (!isSame) typed.input.focus();
    return isSame;
  };
  return askForm({ title, content: [el("p", {}, text), typed.element], yes, kind: "danger", act });
}
