// The first thing that a stranger sees: sign in, or make an account.

import { Refused, Unreachable } from "../api.js";
import { el } from "../dom.js";
import { findOptions, loginAddress, signIn, signUp } from "../session.js";
import { errorWords, exceptionWords } from "../words.js";
import { showForgot } from "./account_links.js";
import { field, formOf, problemLine, showCard } from "./card.js";

const MODES = {
  in: { title: "Welcome back", lead: "Sign in to go on where you left off.", submit: "Sign in", other: "up", question: "No account yet?", change: "Make one", autocomplete: "current-password" },
  up: { title: "Make an account", lead: "An e-mail address and a password are all that is needed.", submit: "Make an account", other: "in", question: "You have an account?", change: "Sign in", autocomplete: "new-password" },
};

/**
 * Shows the form in `root`, and the providers by which people sign in. Calls `onSignedIn` with the account.
 *
 * `invite` is the token of an invite's link, with which an account is made; "" for none. `told` is said above the form.
 * `refusal` is the code with which a provider's way back has ended; null where there was none.
 */
export function showSignIn(root, onSignedIn, { invite = "", told = "", refusal = null } = {}) {
  let mode = MODES.in;
  const title = el("h1");
  const lead = el("p", { class: "lead", role: "status" });
  const email = el("input", { type: "email", id: "email", name: "email", required: true, autocomplete: "username", inputmode: "email", oninput: () => askForCode(false) });
  const password = el("input", { type: "password", id: "password", name: "password", required: true, "aria-describedby": "password-hint", oninput: () => askForCode(false) });
  const hint = el("p", { class: "hint", id: "password-hint" }, "At least 8 characters.");
  const code = el("input", { type: "text", id: "code", name: "code", autocomplete: "one-time-code", "aria-describedby": "code-hint" });
  const codeHint = el("p", { class: "hint", id: "code-hint" }, "From your authenticator app. A recovery code will do too.");
  const codeField = field("Code", code, codeHint);
  codeField.hidden = true;
  const problem = problemLine();
  const submit = el("button", { type: "submit", class: "button primary wide" });
  const refused = el("p", { class: "form-error", role: "alert" }, refusal === null ? "" : errorWords(refusal));
  const ways = el("div", { class: "ways" });
  const forgot = el("button", { type: "button", class: "link", onclick: () => showForgot(root, email.value.trim(), () => showSignIn(root, onSignedIn, { invite })) }, "Forgot your password?");
  const forgotLine = el("p", { class: "other", hidden: true }, forgot);
  const question = el("span");
  const change = el("button", { type: "button", class: "link", onclick: () => show(MODES[mode.other]) });
  const other = el("p", { class: "other", hidden: true }, question, change);
  const form = formOf(enter, field("E-mail", email), field("Password", password, hint), codeField, problem, submit);
  let options = null;

  function show(next) {
    mode = next;
    title.textContent = mode.title;
    lead.textContent = told || mode.lead;
    told = "";
    submit.textContent = mode.submit;
    change.textContent = mode.change;
    hint.hidden = mode === MODES.in;
    password.autocomplete = mode.autocomplete;
    if (mode === MODES.up) password.minLength = 8;
    else password.removeAttribute("minlength");
    problem.textContent = "";
    askForCode(false);
    showOptions();
  }

  /** Shows what the operator allows, as soon as that is known. */
  function showOptions() {
    if (options === null) return;
    if (!options.password) {
      form.hidden = forgotLine.hidden = other.hidden = true;
      return;
    }
    const mayMake = options.signup === "open" || (options.signup === "invite" && invite !== "");
    forgotLine.hidden = !options.mail || mode === MODES.up;
    other.hidden = options.signup === "closed" && mode === MODES.in;
    change.hidden = mode === MODES.in && !mayMake;
    question.textContent = change.hidden ? "An account is made here by invite: open the link of yours." : `${mode.question} `;
    if (mode === MODES.up && !mayMake) show(MODES.in);
  }

  /** Shows the field for a code, once a sign-in says that the account needs one, or hides the field. */
  function askForCode(isNeeded) {
    codeField.hidden = !isNeeded;
    code.required = isNeeded;
    code.value = "";
  }

  async function enter() {
    problem.textContent = "";
    let account;
    try {
      account = await (mode === MODES.in ? signIn(email.value.trim(), password.value, code.value.trim()) : signUp(email.value.trim(), password.value, invite));
    } catch (error) {
      if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
      problem.textContent = exceptionWords(error);
      if (["second_factor_required", "code_invalid"].includes(error.code)) askForCode(true);
      fieldOf(error).focus();
      return;
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

  show(invite ? MODES.up : MODES.in);
  showCard(root, title, lead, refused, form, forgotLine, ways, other);
  email.focus();
  void findOptions().then((found) => {
    options = found;
    ways.replaceChildren(...found.providers.map(wayTo));
    showOptions();
    if (!found.password) ways.querySelector("a")?.focus();
  });
}
