// Another password. Other sessions end with it; keys of programs stay.

import { call } from "../api.js";
import { hasPassword } from "../session.js";
import { accountSection } from "./account_parts.js";
import { actionForm } from "./action_form.js";
import { codeField, formField, usernameOf } from "./form_field.js";

const FEWEST_CHARS = 8;

/** The section, as `{element, show(account)}`. `panel` is the Account that it is in. */
export function passwordSection(panel) {
  const present = formField({ id: "present-password", label: "Present password", type: "password", autocomplete: "current-password", required: true });
  const next = formField({ id: "new-password", label: "New password", type: "password", autocomplete: "new-password", required: true, hint: "At least 8 characters, and not one that others try first." });
  const code = codeField("password-code", false);
  const errors = { __proto__: null, password_mismatch: present, code_mismatch: code, current_password: present, new_password: next, code };
  const act = async () => {
    if ([...next.input.value.normalize("NFKC")].length < FEWEST_CHARS) {
      next.problem = "This password is too short. It needs at least 8 characters.";
      next.input.focus();
      return undefined;
    }
    const typed = code.input.value.trim();
    await call("POST", "/api/auth/password", { body: { current_password: present.input.value, new_password: next.input.value, ...(typed && { code: typed }) } });
    for (const field of [present, next, code]) field.input.value = ""; // passwords stay nowhere
    return "The password is changed. All your other sessions have ended.";
  };
  const form = actionForm(panel, { fields: [present, next, code], errors, submit: "Change the password", kind: "plain", act });
  const username = usernameOf({ email: "" });
  form.prepend(username);
  const element = accountSection("Password", form);
  const show = (account) => {
    element.hidden = !hasPassword(account);
    username.value = account.email;
    code.element.hidden = !account.has_second_factor;
    code.input.required = account.has_second_factor;
  };
  return { element, show };
}
