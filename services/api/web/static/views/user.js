// For admins: one user, what the user has used, and what can be done: keep out, sign out, a quota, delete.

import { oneAtATime } from "../again.js";
import { announce } from "../announcer.js";
import { call } from "../api.js";
import { confirm } from "../dialogs.js";
import { button, el, icon } from "../dom.js";
import { goTo } from "../navigation.js";
import { visible } from "../visible.js";
import { exceptionWords } from "../words.js";
import { accountSection } from "./account_parts.js";
import { actionForm } from "./action_form.js";
import { formField } from "./form_field.js";
import { LivePanel } from "./live_panel.js";
import { withRecentAuthentication } from "./reauthentication.js";
import { confirmByEmail } from "./typed_confirmation.js";
import { usageSections } from "./usage.js";
import { userTags, userWords } from "./users.js";

const MOST_TOKENS = Number.MAX_SAFE_INTEGER;

export class User extends LivePanel {
  #id;
  #isOneself;
  #user = null;
  #head = el("header", { class: "database-head" });
  #keepOut = button("", () => void this.#setDisabled());
  #quota = formField({ id: "user-quota", label: "Tokens a day", type: "number", min: "0", max: String(MOST_TOKENS), step: "1", inputmode: "numeric", autocomplete: "off", hint: "Nothing for what all users have; 0 for none." });
  #usage = el("div", { class: "stack" });

  /** `account` is the admin's own. */
  constructor(id, account) {
    super();
    this.#id = id;
    this.#isOneself = account.id === id;
    this.element.append(breadcrumb());
  }

  get #path() {
    return `/api/admin/users/${this.#id}`;
  }

  readAll = oneAtATime(() => this.read(async () => {
    const [user, usage] = await Promise.all([call("GET", this.#path, { signal: this.signal }), call("GET", `${this.#path}/usage`, { signal: this.signal })]);
    if (this.#user === null) this.#showPanel();
    this.#show(user);
    this.#usage.replaceChildren(...usageSections(usage));
  }, (error) => this.element.replaceChildren(breadcrumb(), el("p", { class: "notice", role: "status" }, icon("warning"), exceptionWords(error)))));

  #showPanel() {
    const words = "Who is kept out is refused everywhere at once, and can be let in again. Keys of programs stay when sessions are ended.";
    const access = this.#isOneself
      ? accountSection("Access", el("p", { class: "hint" }, "This is your own account. Another admin can keep it out or delete it here."))
      : accountSection("Access", el("p", { class: "hint" }, words), el("div", { class: "button-row" }, this.#keepOut, button("End all sessions", () => void this.#endSessions(), { symbol: "leave" }), button("Delete", () => void this.#remove(), { kind: "danger-quiet", symbol: "trash" })));
    const quota = actionForm(this, { fields: [this.#quota], errors: { __proto__: null, daily_tokens: this.#quota }, submit: "Save the quota", kind: "plain", act: () => this.#setQuota() });
    this.element.append(this.#head, access, accountSection("Quota", quota), this.#usage);
  }

  #show(user) {
    this.#user = user;
    this.#head.replaceChildren(el("h2", { class: "item-name" }, el("bdi", {}, visible(user.email)), userTags(user)), el("p", { class: "hint" }, userWords(user)));
    this.#keepOut.textContent = user.disabled_at === null ? "Keep out" : "Let in again";
    this.#quota.input.value = user.daily_tokens ?? "";
  }

  async #setDisabled() {
    const disabled = this.#user.disabled_at === null;
    const text = `${visible(this.#user.email)} is signed out everywhere, what is being answered is stopped, and keys are refused.`;
    if (disabled && !(await confirm({ title: "Keep this user out?", text, yes: "Keep out" }))) return;
    if (!(await this.#act(() => call("PATCH", this.#path, { body: { disabled } })))) return;
    await this.readAll();
    announce(disabled ? "The user is kept out." : "The user is let in again.");
  }

  async #setQuota() {
    const { input } = this.#quota;
    if (!input.validity.valid) {
      this.#quota.problem = "This is no number of tokens.";
      input.focus();
      return undefined;
    }
    const typed = input.value.trim();
    await call("PATCH", this.#path, { body: { daily_tokens: typed === "" ? null : Number(typed) } });
    await this.readAll();
    return "The quota is saved.";
  }

  async #endSessions() {
    const text = `${visible(this.#user.email)} has to sign in again in all browsers and programs.`;
    if (!(await confirm({ title: "End all sessions?", text, yes: "End them" }))) return;
    if (!(await this.#act(async () => { await call("POST", `${this.#path}/end-sessions`); return true; }))) return;
    await this.readAll();
    announce("All sessions of the user have ended.");
  }

  async #remove() {
    const text = "All chats, memories, databases and keys of this account are deleted at once. This can't be undone. To confirm, type the user's e-mail address.";
    if (!(await confirmByEmail({ title: "Delete this user?", text, label: "The user's e-mail address", email: this.#user.email, yes: "Delete for good" }))) return;
    const done = await this.#act(async () => { await call("DELETE", this.#path); return true; });
    if (done && !this.signal.aborted) goTo("#/users");
  }

  #act(action) {
    return this.attempt(() => withRecentAuthentication(action));
  }
}

function breadcrumb() {
  return el("p", { class: "breadcrumb" }, el("a", { href: "#/users" }, "← All users"));
}
