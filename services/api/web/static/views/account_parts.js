// What the views of the account have in common.

import { el } from "../dom.js";

/** The links to the views of the account. */
export function accountNav(place) {
  const link = (href, words) => el("a", { href, "aria-current": href === place ? "page" : null }, words);
  return el("nav", { class: "tabs", "aria-label": "Account" }, link("#/account", "Account"), link("#/account/sessions", "Sessions"), link("#/account/keys", "API keys"));
}

/** A part of the account, with its head. */
export function accountSection(title, ...content) {
  return el("section", { class: "card setting", "aria-label": title }, el("h2", {}, title), ...content);
}
