// The first thing that a stranger sees: sign in, or make an account.

import { Refused, Unreachable } from "../api.js";
import { el, icon } from "../dom.js";
import { findOptions, loginAddress, signIn, signUp } from "../session.js";
import { errorWords, exceptionWords } from "../words.js";

const MODES = {
  in: { title: "Welcome back", lead: "Sign in to go on where you left off.", submit: "Sign in", other: "up", question: "No account yet?", change: "Make one", autocomplete: "current-password" },
  up: { title: "Make an account", lead: "An e-mail address and a password are all that is needed.", submit: "Make an account", other: "in", question: "You have an account?", change: "Sign in", autocomplete: "new-password" },
};

/**
 * Shows the form in `root`, and the providers by which people sign in. Calls `onSignedIn` with the account.
 *
 * `refusal` is the code with which a provider's way back has ended; null where there was none.
 */
export function showSignIn(root, onSignedIn, refusal = null) {
  let mode = MODES.in;
  const title = el("h1");
  const lead = el("p", { class: "lead" });
  const email = el("input", { type: "email", id: "email", name: "email", required: true, autocomplete: "username", inputmode: "email", oninput: () => askForCode(false) });
  const password = el("input", { type: "password", id: "password", name: "password", required: true, "aria-describedby": "password-hint", oninput: () => askForCode(false) });
  const hint = el("p", { class: "hint", id: "password-hint" }, "At least 8 characters.");
  const code = el("input", { type: "text", id: "code", name: "code", autocomplete: "one-time-code", "aria-describedby": "code-hint" });
  const codeHint = el("p", { class: "hint", id: "code-hint" }, "From your authenticator app. A recovery code will do too.");
  const codeField = el("div", { class: "field", hidden: true }, el("label", { for: "code" }, "Code"), code, codeHint);
  const problem = el("p", { class: "form-error", role: "alert" });
  const submit = el("button", { type: "submit", class: "button primary wide" });
  const refused = el("p", { class: "form-error", role: "alert" }, refusal === null ? "" : errorWords(refusal));
  const ways = el("div", { class: "ways" });
  const question = el("span");
  const change = el("button", { type: "button", class: "link", onclick: () => show(MODES[mode.other]) });
  const form = el(
    "form",
    { onsubmit: (event) => { event.preventDefault(); void enter(); } },
    el("div", { class: "field" }, el("label", { for: "email" }, "E-mail"), email),
    el("div", { class: "field" }, el("label", { for: "password" }, "Password"), password, hint),
    codeField,
    problem,
    submit,
  );

  function show(next) {
    mode = next;
    title.textContent = mode.title;
    lead.textContent = mode.lead;
    submit.textContent = mode.submit;
    question.textContent = `${mode.question} `;
    change.textContent = mode.change;
    hint.hidden = mode === MODES.in;
    password.autocomplete = mode.autocomplete;
    if (mode === MODES.up) password.minLength = 8;
    else password.removeAttribute("minlength");
    problem.textContent = "";
    askForCode(false);
  }

  /** Shows the field for a code, once a sign-in says that the account needs one, or hides the field. */
  function askForCode(isNeeded) {
    codeField.hidden = !isNeeded;
    code.required = isNeeded;
    code.value = "";
  }

  async function enter() {
    problem.textContent = "";
    submit.disabled = true;
    let account;
    try {
      account = await (mode === MODES.in ? signIn : signUp)(email.value.trim(), password.value, code.value.trim());
    } catch (error) {
      if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
      problem.textContent = exceptionWords(error);
      if (["second_factor_required", "code_invalid"].includes(error.code)) askForCode(true);
      fieldOf(error).focus();
      return;
    } finally {
      submit.disabled = false;
    }
    onSignedIn(account);
  }

  function fieldOf(error) {
    if (!codeField.hidden) return code;
    return error.field === "password" ? password : email;
  }

  /** A way to a provider, which leads back to the place that is open when it is taken. */
  function wayTo({ id, name }) {
    const take = ({ currentTarget }) => { currentTarget.href = loginAddress(id); };
    return el("a", { class: "button wide", href: loginAddress(id), onclick: take, onauxclick: take }, `Continue with ${name}`);
  }

  /** Offers the ways in that there are here. A browser that can't be told has the form. */
  async function offerWays() {
    const { password: hasPasswords, providers } = await findOptions();
    ways.replaceChildren(...providers.map(wayTo));
    if (hasPasswords) return;
    show(MODES.in);
    form.hidden = other.hidden = true;
    ways.querySelector("a")?.focus();
  }

  const other = el("p", { class: "other" }, question, change);
  show(MODES.in);
  root.replaceChildren(
    el("main", { class: "sign-in" }, el("div", { class: "sign-in-card" }, el("div", { class: "brand large" }, icon("brand"), "CortexAI"), title, lead, refused, form, ways, other)),
  );
  email.focus();
  void offerWays();
}
