// The account: its address, its time zone, how its owner proves who they are, and its end.

import { oneAtATime } from "../again.js";
import { call } from "../api.js";
import { button, el } from "../dom.js";
import { onFeedEvent } from "../feed_events.js";
import { deleteAccount, findAccount } from "../session.js";
import { toast } from "../toast.js";
import { exceptionWords } from "../words.js";
import { accountNav, accountSection } from "./account_parts.js";
import { actionForm } from "./action_form.js";
import { formField } from "./form_field.js";
import { Identities } from "./identities.js";
import { LivePanel } from "./live_panel.js";
import { passwordSection } from "./password_section.js";
import { withRecentAuthentication } from "./reauthentication.js";
import { SecondFactor } from "./second_factor.js";
import { confirmByEmail } from "./typed_confirmation.js";

export class Account extends LivePanel {
  #account = null;
  #sections = [];
  #onAccount;

  /** `onAccount(account)` is called with what the API tells of the account. */
  constructor(onAccount) {
    super();
    this.#onAccount = onAccount;
    onFeedEvent((event) => { if (event.type === "resync") void this.readAll(); }, this.signal);
  }

  /** The account as it was told last. */
  get account() {
    return this.#account;
  }

  readAll = oneAtATime(() => this.read(async () => this.#show(await findAccount()), (error) => toast(exceptionWords(error))));

  /** Shows the account as it is now. What is being typed stays. */
  #show(account) {
    if (account === null || this.signal.aborted) return; // the page is left, or will be
    this.#account = account;
    if (this.#sections.length === 0) {
      this.#sections = [emailSection(this), timeZoneSection(this), passwordSection(this), new SecondFactor(this), new Identities(this), deletion(this)];
      this.element.append(accountNav("#/account"), ...this.#sections.map((section) => section.element));
    }
    for (const section of this.#sections) section.show(account);
    this.#onAccount(account);
  }

  /** Changes the account. Throws as `call` does. */
  async change(body) {
    await call("PATCH", "/api/auth/me", { body });
    await this.readAll();
  }
}

function emailSection(panel) {
  const email = formField({ id: "account-email", label: "E-mail address", type: "email", inputmode: "email", autocomplete: "email", required: true, hint: "You sign in with this address." });
  const act = async () => {
    await panel.change({ email: email.input.value.trim() });
    email.input.value = panel.account.email;
    return "The address is changed.";
  };
  const form = actionForm(panel, { fields: [email], errors: { email_taken: email, email }, submit: "Change the address", kind: "plain", act });
  let shown = "";
  const show = (account) => {
    if (email.input.value === shown) email.input.value = account.email;
    shown = account.email;
  };
  return { element: accountSection("E-mail", form), show };
}

function timeZoneSection(panel) {
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const zones = new Set(["UTC", here, ...Intl.supportedValuesOf("timeZone")].filter(Boolean));
  const option = (zone) => el("option", { value: zone }, zone.replaceAll("_", " "));
  const select = el("select", {}, el("option", { value: "" }, "None (UTC)"), ...[...zones].sort().map(option));
  const field = formField({ id: "account-time-zone", label: "Time zone", control: select, hint: "Models are told the date of this zone. Messages that you write here tell the zone of this browser." });
  let shown = "";
  const act = async () => {
    await panel.change({ time_zone: select.value || null });
    return "The time zone is saved.";
  };
  const show = (account) => {
    const zone = account.time_zone ?? "";
    if (zone && !zones.has(zone)) select.append(option(zone)); // one that this browser has another name for
    zones.add(zone);
    if (select.value === shown) select.value = zone;
    shown = zone;
  };
  return { element: accountSection("Time", actionForm(panel, { fields: [field], errors: { time_zone: field }, submit: "Save the time zone", kind: "plain", act })), show };
}

function deletion(panel) {
  const remove = async () => {
    const text = "All chats, memories, databases and keys of this account are deleted at once. This can't be undone. To confirm, type your e-mail address.";
    if (!(await confirmByEmail({ title: "Delete this account?", text, label: "Your e-mail address", email: panel.account.email, yes: "Delete for good" }))) return;
    await panel.attempt(() => withRecentAuthentication(deleteAccount));
  };
  const element = accountSection("Delete the account", el("p", { class: "hint" }, "Everything goes with it: chats, what is remembered, connections to databases, keys and sessions."), el("div", {}, button("Delete the account", () => void remove(), { kind: "danger-quiet", symbol: "trash" })));
  return { element, show: () => {} };
}
