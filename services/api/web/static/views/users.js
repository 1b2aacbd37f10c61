// For admins: all users, and what admins have done.

import { el, icon } from "../dom.js";
import { onFeedEvent } from "../feed_events.js";
import { visible } from "../visible.js";
import { count, day } from "../words.js";
import { LivePanel, PagedList } from "./live_panel.js";
import { moment } from "./operation_words.js";

const TYPING_MS = 250;
const MOST_CHARS = 200;
const ACTS = {
  __proto__: null,
  "user.disabled": "kept out",
  "user.enabled": "let in again",
  "user.quota_set": "given another quota",
  "user.sessions_ended": "signed out everywhere",
  "user.deleted": "deleted",
  "admin.made": "made an admin",
  "admin.removed": "no admin any more",
  "second_factor.reset": "freed of the second factor",
  "invite.made": "made",
  "invite.removed": "taken back",
};
/** What is told otherwise of these than as a name and a value. */
const OF_INVITES = { __proto__: null, bound: "for one address", mailed: "with a mail" };
const CREDENTIALS = { __proto__: null, session: "", api_key: ", by an API key", command: ", by a command" };

/** The links to the views of admins. */
export function usersNav(place) {
  const link = (href, words) => el("a", { href, "aria-current": href === place ? "page" : null }, words);
  return el("nav", { class: "tabs", "aria-label": "Users" }, link("#/users", "Users"), link("#/users/invites", "Invites"), link("#/users/acts", "What admins did"));
}

export class Users extends LivePanel {
  #search = el("input", { type: "search", id: "user-search", maxlength: MOST_CHARS, autocomplete: "off", spellcheck: "false", oninput: () => this.#typed() });
  #timer = 0;
  #list = new PagedList(this, { list: el("ul", { class: "account-list" }), itemOf: userItem, empty: "There are no such users." });

  constructor() {
    super();
    this.element.append(usersNav("#/users"), el("div", { class: "field" }, el("label", { for: "user-search" }, "A part of the e-mail address"), this.#search), this.#list.element);
    onFeedEvent((event) => { if (event.type === "resync") void this.readAll(); }, this.signal);
  }

  readAll() {
    const query = this.#search.value.trim();
    return this.#list.load(`/api/admin/users?limit=50${query ? `&query=${encodeURIComponent(query)}` : ""}`);
  }

  #typed() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => { if (!this.signal.aborted) void this.readAll(); }, TYPING_MS);
  }
}

export class AdminActs extends LivePanel {
  #list = new PagedList(this, { list: el("ul", { class: "account-list" }), itemOf: actItem, empty: "Nothing was done yet." });

  constructor() {
    super();
    this.element.append(usersNav("#/users/acts"), el("p", { class: "lead" }, "What admins, and operators by commands, have done to accounts and invites."), this.#list.element);
  }

  readAll() {
    return this.#list.load("/api/admin/acts?limit=50");
  }
}

function userItem(user) {
  return el(
    "li",
    { class: "account-item" },
    icon("user"),
    el("div", {}, el("p", { class: "item-name" }, el("a", { href: `#/users/${user.id}` }, el("bdi", {}, visible(user.email))), userTags(user)), el("p", { class: "hint" }, userWords(user))),
  );
}

/** What is special about a user, as elements. */
export function userTags(user) {
  return [
    user.role === "admin" && el("span", { class: "tag" }, "Admin"),
    user.disabled_at !== null && el("span", { class: "tag is-over" }, "Kept out"),
    user.email_verified && el("span", { class: "tag is-plain" }, "Verified"),
  ];
}

/** A user in a line. */
export function userWords(user) {
  const used = user.last_used_at === null ? "not signed in" : `last used ${moment(user.last_used_at)}`;
  const chats = user.chats === 1 ? "1 chat" : `${count(user.chats)} chats`;
  const quota = user.daily_tokens === null ? "" : ` · ${count(user.daily_tokens)} tokens a day`;
  return `Since ${day(user.created_at)} · ${used} · ${chats}${quota}`;
}

function actItem(act) {
  const who = (email, id) => (email === null ? `User ${id ?? "unknown"}` : visible(email));
  const isOfInvite = act.act.startsWith("invite.");
  const subject = isOfInvite ? visible(`Invite ${act.details.invite ?? ""}`) : who(act.subject_email, act.subject_id);
  const actor = act.actor_id === null ? "An operator" : who(act.actor_email, act.actor_id);
  const details = detailWords(act);
  return el(
    "li",
    { class: "account-item" },
    el("div", {}, el("p", { class: "item-name" }, el("span", {}, el("bdi", {}, subject), ` ${ACTS[act.act] ?? visible(act.act)}`)), el("p", { class: "hint" }, el("bdi", {}, actor), `${CREDENTIALS[act.credential] ?? ""} · ${moment(act.at)}${details && ` · ${details}`}`)),
  );
}

function detailWords({ act, details }) {
  const tokens = (number) => (number === null ? "what all have" : `${count(number)} tokens a day`);
  if (act === "user.quota_set") return `${tokens(details.after)}; before: ${tokens(details.before)}`;
  if (act.startsWith("invite.")) return Object.keys(OF_INVITES).filter((name) => details[name]).map((name) => OF_INVITES[name]).join(", ");
  return visible(Object.entries(details).map(([name, value]) => `${name}: ${value}`).join(", "));
}
