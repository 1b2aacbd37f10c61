// The list of chats, newest first, and the ways to everything else.

import { el, icon, iconButton, button, placeChildren, setLabel } from "../dom.js";
import { ChatSearch } from "./chat_search.js";
import { THEMES, setTheme, theme } from "../theme.js";

const GROUPS = ["Temporary", "Today", "Yesterday", "Previous 7 days", "Older"];
const DAY_MS = 24 * 3600 * 1000;
const THEME_ICONS = { system: "system", light: "sun", dark: "moon" };

export class Sidebar {
  #list = el("div", { class: "chat-list" });
  #empty = el("p", { class: "hint" }, "Your chats will be here.");
  /** By their names: `{section, items}`. */
  #groups = new Map(GROUPS.map((name) => [name, chatGroup(name)]));
  /** By the chats' ids. They stay the same elements while the list changes: a pointer may be down on one. */
  #items = new Map();
  #more;
  /** The list and its button; the results of a search take its place. */
  #all;
  #actions;
  #account = el("span", { class: "account" });
  /** For admins. */
  #usersLink = navLink("#/users", "users", "Users");
  #accountLink = el("a", { class: "nav-link account-link", href: "#/account" }, icon("user"), el("span", { class: "visually-hidden" }, "Account "), this.#account);

  /** `actions`: `newChat`, `rename(chat)`, `remove(chat)`, `more()`, `signOut()`, `close()`. */
  constructor(actions) {
    this.#actions = actions;
    this.#more = button("Show older chats", actions.more, { kind: "quiet" });
    this.#all = el("div", {}, this.#list, this.#more);
    const search = new ChatSearch((isSearching) => { this.#all.hidden = isSearching; });
    this.element = el(
      "nav",
      { class: "sidebar", id: "sidebar", "aria-label": "Chats" },
      el("div", { class: "sidebar-head" }, el("a", { class: "brand", href: "#/" }, icon("brand"), "CortexAI"), iconButton("close", "Close the list", actions.close, { class: "icon-button drawer-only" })),
      button("New chat", actions.newChat, { kind: "new-chat", symbol: "plus" }),
      search.element,
      el("div", { class: "chat-scroller" }, this.#all, search.results),
      el("div", { class: "sidebar-foot" }, navLink("#/databases", "database", "Databases"), navLink("#/changes", "changes", "Changes"), navLink("#/memory", "memory", "Memory"), navLink("#/usage", "usage", "Usage"), navLink("#/trash", "trash", "Trash"), this.#usersLink, el("div", { class: "account-row" }, this.#accountLink, themeButton(), iconButton("leave", "Sign out", actions.signOut))),
    );
  }

  /** Shows who is signed in. */
  set account(account) {
    this.#account.textContent = account.email;
    this.#usersLink.hidden = account.role !== "admin";
    this.#accountLink.title = `Account: ${account.email}`;
  }

  /** Shows chats. `place` is the hash of what is open. */
  show(chats, place, hasMore) {
    const focused = document.activeElement?.closest?.(".chat-item")?.dataset.chat;
    const before = this.#items;
    this.#items = new Map(chats.map((chat) => [chat.id, before.get(chat.id) ?? new ChatItem(this.#actions)]));
    const shown = new Map(GROUPS.map((name) => [name, []]));
    for (const chat of chats) {
      const item = this.#items.get(chat.id);
      item.show(chat, place);
      shown.get(groupOf(chat)).push(item.element);
    }
    for (const [name, { items }] of this.#groups) placeChildren(items, shown.get(name));
    const groups = [...this.#groups.values()].filter(({ items }) => items.childElementCount > 0).map(({ section }) => section);
    placeChildren(this.#list, groups.length > 0 ? groups : [this.#empty]);
    this.#more.hidden = !hasMore;
    if (focused && !document.activeElement?.closest(".chat-item")) this.#list.querySelector(`[data-chat="${focused}"] a`)?.focus();
    for (const link of this.element.querySelectorAll(".nav-link")) {
      const href = link.getAttribute("href");
      if (place === href || place.startsWith(`${href}/`)) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }
}

/** A chat of the list. */
class ChatItem {
  #chat;
  #link = el("a");
  #rename;
  #remove;

  constructor(actions) {
    this.#rename = iconButton("edit", "", () => actions.rename(this.#chat));
    this.#remove = iconButton("trash", "", () => actions.remove(this.#chat));
    this.element = el("li", { class: "chat-item" }, this.#link, el("span", { class: "chat-item-actions" }, this.#rename, this.#remove));
  }

  /** Shows the chat as it is now. `place` is the hash of what is open. */
  show(chat, place) {
    const title = chat.title ?? "New chat";
    const href = `#/chats/${chat.id}`;
    this.#chat = chat;
    this.element.dataset.chat = String(chat.id);
    this.#link.setAttribute("href", href);
    this.#link.title = title;
    this.#link.textContent = title;
    if (place === href || place.startsWith(`${href}/`)) this.#link.setAttribute("aria-current", "page");
    else this.#link.removeAttribute("aria-current");
    setLabel(this.#rename, `Rename “${title}”`);
    setLabel(this.#remove, `Delete “${title}”`);
  }
}

function chatGroup(name) {
  const items = el("ul");
  return { section: el("section", {}, el("h2", {}, name), items), items };
}

function navLink(href, symbol, words) {
  return el("a", { class: "nav-link", href }, icon(symbol), words);
}

function groupOf(chat) {
  if (chat.temporary) return "Temporary";
  const midnight = new Date().setHours(0, 0, 0, 0);
  const at = Date.parse(chat.last_message_at);
  if (at >= midnight) return "Today";
  if (at >= midnight - DAY_MS) return "Yesterday";
  return at >= midnight - 7 * DAY_MS ? "Previous 7 days" : "Older";
}

function themeButton() {
  const make = () => {
    const now = theme();
    const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
    return iconButton(THEME_ICONS[now], `Colours: ${now}. Change to ${next}`, () => {
      setTheme(next);
      const made = make();
      shown.replaceWith(made);
      shown = made;
      shown.focus();
    });
  };
  let shown = make();
  return shown;
}
