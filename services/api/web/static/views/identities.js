// The identities by which one signs in at providers: link one, take one away.

import { oneAtATime } from "../again.js";
import { announce } from "../announcer.js";
import { call } from "../api.js";
import { confirm } from "../dialogs.js";
import { button, el, icon, iconButton } from "../dom.js";
import { findOptions, goToProvider } from "../session.js";
import { visible } from "../visible.js";
import { day } from "../words.js";
import { accountSection } from "./account_parts.js";
import { withRecentAuthentication } from "./reauthentication.js";

const PATH = "/api/auth/identities";

export class Identities {
  #panel;
  #list = el("ul", { class: "account-list" });
  #none = el("p", { class: "hint" }, "No provider is linked to this account.");
  #ways = el("div", { class: "button-row" });

  /** `panel` is the Account that the section is in. */
  constructor(panel) {
    this.#panel = panel;
    this.element = accountSection("Providers", el("p", { class: "hint" }, "Whoever you are at a provider that is linked here signs in to this account, whatever the address there."), this.#list, this.#none, this.#ways);
    this.element.querySelector("h2").tabIndex = -1;
    this.element.hidden = true; // until it is known whether there are providers
  }

  /** Shows what is linked, which is no part of the account that the API tells. */
  show() {
    void this.#read();
  }

  #read = oneAtATime(async () => {
    const { signal } = this.#panel;
    const found = await this.#panel.attempt(() => Promise.all([call("GET", PATH, { signal }), findOptions()]));
    if (!found || signal.aborted) return;
    const [identities, { providers }] = found;
    this.#list.replaceChildren(...identities.map((identity) => this.#item(identity)));
    this.#none.hidden = identities.length > 0;
    this.#ways.replaceChildren(...providers.map(({ id, name }) => button(`Link ${visible(name)}`, () => void this.#link(id), { symbol: "plus" })));
    this.element.hidden = identities.length + providers.length === 0;
  });

  #item(identity) {
    const name = nameOf(identity);
    return el(
      "li",
      { class: "account-item" },
      icon("user"),
      el("div", {}, el("p", { class: "item-name" }, el("bdi", {}, name)), el("p", { class: "hint" }, `Linked on ${day(identity.created_at)} · last used on ${day(identity.last_used_at)}`)),
      el("span", { class: "fact-actions" }, iconButton("trash", `Remove “${name}”`, () => void this.#remove(identity))),
    );
  }

  /** Leaves the page for the provider, which leads back here. */
  async #link(id) {
    await this.#panel.attempt(() => withRecentAuthentication(() => goToProvider(id, "link")));
  }

  async #remove(identity) {
    const text = `You can't sign in by ${nameOf(identity)} as this person any more. All your other sessions end.`;
    if (!(await confirm({ title: "Remove this identity?", text, yes: "Remove" }))) return;
    const done = await this.#panel.attempt(() => withRecentAuthentication(async () => { await call("DELETE", `${PATH}/${identity.id}`); return true; }));
    await this.#read();
    if (!done || this.#panel.signal.aborted) return;
    this.element.querySelector("h2").focus(); // its button is gone
    announce("The identity is removed.");
  }
}

/** The provider's name; in words where the operator has taken the provider away. */
function nameOf({ name }) {
  return name === null ? "a provider that is not there any more" : visible(name);
}
