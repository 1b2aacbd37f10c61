// For admins: invites. An invite's link is shown when it is made, and never again.

import { announce } from "../announcer.js";
import { call } from "../api.js";
import { confirm } from "../dialogs.js";
import { button, el, icon, iconButton } from "../dom.js";
import { onFeedEvent } from "../feed_events.js";
import { findOptions } from "../session.js";
import { visible } from "../visible.js";
import { day } from "../words.js";
import { actionForm } from "./action_form.js";
import { formField } from "./form_field.js";
import { LivePanel, PagedList } from "./live_panel.js";
import { withRecentAuthentication } from "./reauthentication.js";
import { secretBox } from "./secret_box.js";
import { usersNav } from "./users.js";

const PATH = "/api/admin/invites";

export class Invites extends LivePanel {
  #lead = el("p", { class: "lead" });
  #email = formField({ id: "invite-email", label: "E-mail address", type: "email", inputmode: "email", autocomplete: "off", hint: "Nothing for an invite that whoever has the link may use." });
  /** The invite that has just been made. */
  #made = el("div", { class: "made-key" });
  #form = actionForm(this, { fields: [this.#email], errors: { __proto__: null, email: this.#email }, submit: "Make an invite", act: () => this.#make() });
  #head = el("h2", { tabindex: "-1" }, "Invites that nobody has used");
  #list = new PagedList(this, { list: el("ul", { class: "account-list" }), itemOf: (invite) => this.#item(invite), empty: "There are no invites." });

  constructor() {
    super();
    this.element.append(usersNav("#/users/invites"), this.#lead, this.#made, this.#form, this.#head, this.#list.element);
    onFeedEvent((event) => { if (event.type === "resync") void this.readAll(); }, this.signal);
  }

  async readAll() {
    const [options] = await Promise.all([findOptions(), this.#list.load(`${PATH}?limit=50`)]);
    this.#lead.textContent = leadWords(options);
    this.#form.hidden = options.signup === "closed" || !options.password;
  }

  async #make() {
    const email = this.#email.input.value.trim();
    const made = await call("POST", PATH, { body: { ...(email && { email }) } });
    this.#email.input.value = "";
    this.#showMade(made);
    await this.readAll();
    return undefined;
  }

  #showMade({ email, link, expires_at: end, mailed }) {
    const head = el("h2", { tabindex: "-1" }, "The invite ", email !== null && ["for ", el("bdi", {}, visible(email))]);
    const words = `Copy the link now: it is not shown again. It makes one account until ${day(end)}.${mailed ? " A link was mailed to the address, too; one of the two can be used." : ""}`;
    const done = button("I have kept it", () => { this.#made.replaceChildren(); this.#head.focus(); }, { kind: "primary" });
    this.#made.replaceChildren(el("section", { class: "card setting is-new", "aria-label": "The new invite" }, head, el("p", { class: "hint" }, words), secretBox(link, "Link of the invite"), el("div", {}, done)));
    head.focus();
  }

  #item(invite) {
    const name = nameOf(invite);
    const maker = invite.created_by_email === null ? "an operator, or an admin who is gone" : el("bdi", {}, visible(invite.created_by_email));
    return el(
      "li",
      { class: "account-item" },
      icon("user"),
      el("div", {}, el("p", { class: "item-name" }, el("bdi", {}, name)), el("p", { class: "hint" }, `Made on ${day(invite.created_at)} by `, maker, ` · ends on ${day(invite.expires_at)}`)),
      el("span", { class: "fact-actions" }, iconButton("trash", `Take back the invite for “${name}”`, () => void this.#remove(invite))),
    );
  }

  async #remove(invite) {
    if (!(await confirm({ title: "Take this invite back?", text: `Nobody can make an account by the links of the invite for “${nameOf(invite)}” any more.`, yes: "Take back" }))) return;
    const done = await this.attempt(() => withRecentAuthentication(async () => { await call("DELETE", `${PATH}/${invite.id}`); return true; }));
    await this.readAll();
    if (!done || this.signal.aborted) return;
    this.#made.replaceChildren(); // what is shown may be this one's link
    this.#head.focus(); // its button is gone
    announce("The invite is taken back.");
  }
}

function nameOf({ email }) {
  return email === null ? "whoever has the link" : visible(email);
}

function leadWords({ signup, password }) {
  if (signup === "closed") return "Nobody can make an account here, so there is nobody to invite (SIGNUP_MODE).";
  if (!password) return "People sign in by providers alone here, so nobody can use an invite (PASSWORD_LOGIN).";
  if (signup === "open") return "Anybody can make an account here. An invite is needed only if the operator asks for one (SIGNUP_MODE).";
  return "Who has the link of an invite can make one account here.";
}
