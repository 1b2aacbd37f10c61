// What needs a recent authentication: the person proves the password again, and the action goes on; or goes to a provider. Source: docs/protocol.md, Signing in.

import { Refused, Unreachable, call } from "../api.js";
import { askForm } from "../dialogs.js";
import { el } from "../dom.js";
import { findAccount, findOptions, goToProvider, hasPassword } from "../session.js";
import { toast } from "../toast.js";
import { visible } from "../visible.js";
import { exceptionWords } from "../words.js";
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
      if (account === null || !(await (hasPassword(account) ? askPassword(account) : askProvider()))) return undefined;
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

/**
 * An account without a password proves who it is at a provider that is linked to it. The page is left for that, and comes
 * back to this place: what was asked for has to be asked for again.
 */
async function askProvider() {
  const [identities, { providers }] = await Promise.all([call("GET", "/api/auth/identities"), findOptions()]);
  const linked = providers.filter(({ id }) => identities.some(({ provider }) => provider === id));
  if (linked.length === 0) {
    toast("No provider that is linked to your account is there any more. Tell the operator.");
    return false;
  }
  const choice = el("select", {}, ...linked.map(({ id, name }) => el("option", { value: id }, visible(name))));
  const field = formField({ id: "proof-provider", label: "Provider", control: choice });
  field.element.hidden = linked.length === 1;
  const general = el("p", { class: "form-error", role: "alert" });
  const act = async () => {
    general.textContent = "";
    try {
      await goToProvider(choice.value, "reauthenticate");
    } catch (error) {
      if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
      general.textContent = exceptionWords(error);
    }
    return false; // the page is being left, or something is wrong
  };
  const words = "You signed in a while ago. Prove again who you are: your provider asks you, and leads you back here. Then repeat what you wanted to do.";
  const yes = linked.length === 1 ? `Continue with ${visible(linked[0].name)}` : "Continue";
  return askForm({ title: "Is it you?", content: [el("p", {}, words), field.element, general], yes, act });
}
