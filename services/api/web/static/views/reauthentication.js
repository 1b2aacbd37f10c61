// What needs a recent authentication: the person proves the password again, and the action goes on. Source: docs/protocol.md, Signing in.

import { Refused, Unreachable, call } from "../api.js";
import { askForm } from "../dialogs.js";
import { el } from "../dom.js";
import { findAccount, hasPassword, signOut } from "../session.js";
import { codeField, formField, tellFields, usernameOf } from "./form_field.js";

/**
 * Does `action`. Where the API wants a recent authentication first, asks for it and does `action` again. Returns what
 * `action` returns; undefined where the person gave up.
 */
export async function withRecentAuthentication(action) {
  for (;;) {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof Refused) || error.code !== "reauthentication_required") throw error;
      const account = await findAccount();
      if (account === null || !(await (hasPassword(account) ? askPassword(account) : askToSignIn()))) return undefined;
    }
  }
}

/** Returns whether the person has proved who they are. */
function askPassword(account) {
  const password = formField({ id: "proof-password", label: "Password", type: "password", autocomplete: "current-password", required: true });
  const code = codeField("proof-code", account.has_second_factor);
  const general = el("p", { class: "form-error", role: "alert" });
  const act = async () => {
    general.textContent = "";
    password.problem = "";
    code.problem = "";
    const typed = code.input.value.trim();
    try {
      await call("POST", "/api/auth/reauthenticate", { body: { password: password.input.value, ...(typed && { code: typed }) } });
      return true;
    } catch (error) {
      if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
      if (error.code === "code_mismatch") code.element.hidden = false; // it was switched on meanwhile
      tellFields(error, { password_mismatch: password, code_mismatch: code, password, code }, general);
      return false;
    }
  };
  return askForm({ title: "Is it you?", content: [el("p", {}, "You signed in a while ago. Prove again who you are, and what you asked for goes on."), usernameOf(account), password.element, code.element, general], yes: "Go on", act });
}

/** An account without a password proves who it is where it signs in. What was asked for has to be asked for again. */
async function askToSignIn() {
  const sure = await askForm({ title: "Sign in again first", content: [el("p", {}, "You signed in too long ago for this. Sign out and in again, then repeat what you wanted to do.")], yes: "Sign out" });
  if (sure) await signOut();
  return false;
}
