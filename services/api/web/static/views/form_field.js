// A field of a form: its label, what is to be known of it, and what is wrong with what was typed.

import { el } from "../dom.js";
import { exceptionWords } from "../words.js";

/**
 * A field as `{input, element, problem}`. Setting `problem` says what is wrong, or with "" that nothing is. `control`
 * takes the place of a text input; all else are attributes of the input.
 */
export function formField({ id, label, hint, control, ...attributes }) {
  const problem = el("p", { class: "form-error", id: `${id}-problem`, role: "alert" });
  const input = control ?? el("input", { type: "text", ...attributes });
  input.id = id;
  input.setAttribute("aria-describedby", hint ? `${id}-hint ${id}-problem` : `${id}-problem`);
  const element = el("div", { class: "field" }, el("label", { for: id }, label), input, hint && el("p", { class: "hint", id: `${id}-hint` }, hint), problem);
  return {
    input,
    element,
    set problem(words) {
      problem.textContent = words;
      if (words) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    },
  };
}

/** A field for a code of the second factor. Hidden where the account has none. */
export function codeField(id, isNeeded) {
  const field = formField({ id, label: "Code", hint: "From your authenticator app. A recovery code will do too.", autocomplete: "one-time-code", autocapitalize: "off", spellcheck: "false" });
  field.element.hidden = !isNeeded;
  return field;
}

/** Tells a password manager whose password the form beside it asks for. */
export function usernameOf(account) {
  return el("input", { type: "text", autocomplete: "username", value: account.email, readonly: true, hidden: true });
}

/**
 * Says a refusal at the field that it is about, and puts the focus there; in `general`, an element, where it is about none.
 * `fields` are fields by what names them: the code of the refusal, or its field.
 */
export function tellFields(error, fields, general) {
  const field = fields[error.code] ?? fields[error.field];
  // What the server says names the field, which is where this is said.
  const words = exceptionWords(error).replace(`${error.field}: `, "");
  if (!field) {
    general.textContent = words;
    return;
  }
  field.problem = words;
  field.input.focus();
}
