// What a mailed link opens, and how one asks for one: a new password, and the address that is to be verified.

import { Refused, Unreachable, call } from "../api.js";
import { button, el } from "../dom.js";
import { askForReset } from "../session.js";
import { exceptionWords } from "../words.js";
import { field, formOf, problemLine, showCard } from "./card.js";

/** Does something, and says in `problem` why it failed. Returns whether it worked. */
async function works(action, problem) {
  problem.textContent = "";
  try {
    await action();
    return true;
  } catch (error) {
    if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
    problem.textContent = exceptionWords(error);
    return false;
  }
}

/** Asks for the address to which a link for a new password is mailed. `back()` shows the sign-in. */
export function showForgot(root, address, back) {
  const email = el("input", { type: "email", id: "email", name: "email", required: true, autocomplete: "username", inputmode: "email", value: address });
  const problem = problemLine();
  const submit = el("button", { type: "submit", class: "button primary wide" }, "Send me a link");
  const form = formOf(async () => {
    if (await works(() => askForReset(email.value.trim()), problem)) showSent(root, email.value.trim(), back);
    else email.focus();
  }, field("E-mail", email), problem, submit);
  showCard(
    root,
    el("h1", {}, "Set a new password"),
    el("p", { class: "lead" }, "We mail you a link with which you can set a new one."),
    form,
    el("p", { class: "other" }, el("button", { type: "button", class: "link", onclick: back }, "Back to signing in")),
  );
  email.focus();
}

function showSent(root, address, back) {
  const go = button("Back to signing in", back, { kind: "primary wide" });
  showCard(
    root,
    el("h1", {}, "Look into your mail"),
    el("p", { class: "lead", role: "status" }, `If an account has the address ${address}, a mail with a link is on its way. The link works once, and for a short while.`),
    go,
  );
  go.focus();
}

/** Asks for a new password, with the token of a mailed link. `done(told)` shows the sign-in, and what was done. */
export function showReset(root, token, done) {
  const password = el("input", { type: "password", id: "password", name: "password", required: true, minlength: 8, autocomplete: "new-password", "aria-describedby": "password-hint" });
  const problem = problemLine();
  const submit = el("button", { type: "submit", class: "button primary wide" }, "Set the password");
  const form = formOf(async () => {
    const body = { token, password: password.value };
    if (await works(() => call("POST", "/api/auth/password/reset", { body }), problem)) done("Your password is set. Sign in with it.");
    else password.focus();
  }, field("New password", password, el("p", { class: "hint", id: "password-hint" }, "At least 8 characters.")), problem, submit);
  showCard(
    root,
    el("h1", {}, "Set a new password"),
    el("p", { class: "lead" }, "Everybody who is signed in to your account will be signed out."),
    form,
    el("p", { class: "other" }, el("button", { type: "button", class: "link", onclick: () => done() }, "Keep the password that I have")),
  );
  password.focus();
}

/**
 * Verifies the address of the account that is signed in, with the token of a mailed link. `done()` shows the page.
 *
 * A person presses the button: programs that look at mails open links, and would verify addresses for strangers.
 */
export function showVerify(root, token, account, done) {
  const problem = problemLine();
  const title = el("h1", {}, "Confirm your e-mail address");
  const lead = el("p", { class: "lead", role: "status" }, `You are signed in as ${account.email}. Is this your mail, and your account?`);
  const submit = el("button", { type: "submit", class: "button primary wide" }, "Confirm");
  const form = formOf(async () => {
    const isVerified = await works(() => call("POST", "/api/auth/verify-email", { body: { token } }), problem);
    if (!isVerified) return;
    lead.textContent = "Your e-mail address is confirmed.";
    other.remove();
    const go = button("Go on", done, { kind: "primary wide" });
    form.replaceWith(go);
    go.focus();
  }, problem, submit);
  const other = el("p", { class: "other" }, el("button", { type: "button", class: "link", onclick: done }, "Not now"));
  showCard(root, title, lead, form, other);
  submit.focus();
}
