// The page of somebody who is signed in: what is open, and what happens elsewhere.

import { untilItWorks } from "./again.js";
import { Refused, Unreachable } from "./api.js";
import { Chats } from "./chats.js";
import { askText, closeDialogs, confirm } from "./dialogs.js";
import { el, iconButton } from "./dom.js";
import { readFeed } from "./feed.js";
import { passFeedEvent } from "./feed_events.js";
import { goTo } from "./navigation.js";
import { panelOf } from "./places.js";
import { findAccount, signOut } from "./session.js";
import { toast } from "./toast.js";
import { isHidden, onVisibility } from "./visibility.js";
import { exceptionWords } from "./words.js";
import { Shell } from "./views/shell.js";
import { Sidebar } from "./views/sidebar.js";
import { Thread } from "./views/thread.js";
import { verifyHint } from "./views/verify_hint.js";

/** The page of somebody who is signed in. */
export class Page {
  #left = new AbortController();
  #panel = null;
  /** Is aborted when something else is opened. */
  #opening = new AbortController();
  #listeners;

  /** `listeners.changed(account)`: another account is signed in now, or nobody (null). */
  constructor(root, account, listeners) {
    this.#listeners = listeners;
    this.chats = new Chats(() => this.#showChats(), this.#left.signal);
    this.sidebar = new Sidebar({
      newChat: () => goTo("#/"),
      rename: (chat) => this.#try(() => this.#rename(chat)),
      remove: (chat) => this.#try(() => this.#remove(chat)),
      more: () => this.#try(() => this.chats.more()),
      signOut: () => this.#try(signOut),
      close: () => this.shell.closeDrawer(),
    });
    this.#setAccount(account);
    this.shell = new Shell(root, this.sidebar, this.#left.signal);
    this.thread = new Thread({
      makeChat: (temporary) => this.chats.make(temporary),
      listeners: {
        made: (id) => this.#made(id),
        read: (chat) => this.chats.set(chat),
        titled: (id, title) => this.chats.change(id, { title }),
        gone: (id) => this.#gone(id),
      },
      signal: this.#left.signal,
    });
    const { signal } = this.#left;
    addEventListener("hashchange", () => void this.#open(), { signal });
    addEventListener("keydown", (event) => this.#key(event), { signal });
    onVisibility(() => { if (!isHidden()) void this.#checkAccount(); }, signal);
    void readFeed({
      account: account.id,
      signal,
      onOpen: () => this.#checkAccount(),
      refresh: (isFirst) => {
        void this.#try(() => this.chats.refresh());
        void this.thread.refresh();
        passFeedEvent({ type: "resync", isFirst });
      },
      take: (event) => this.#happened(event),
    });
    void this.#open();
    void this.#hintAt(account);
  }

  /** Tells somebody whose address was not verified that there is a link for that. */
  async #hintAt(account) {
    const hint = await verifyHint(account);
    if (!this.#left.signal.aborted) this.shell.setHint(hint);
  }

  /** Nobody is signed in any more. */
  leave() {
    this.#left.abort();
    this.#opening.abort();
    this.#panel?.close?.();
    this.thread.close();
  }

  /** The browser may have got another account's cookie since: then nothing of this page may be sent any more. */
  async #checkAccount() {
    try {
      const account = await findAccount();
      if (this.#left.signal.aborted) return;
      if (account?.id !== this.account.id) this.#listeners.changed(account);
      else {
        this.#setAccount(account); // its address may be another one since
        if (account.email_verified) this.shell.setHint(null); // in another tab, a moment ago
      }
    } catch (error) {
      if (!(error instanceof Refused || error instanceof Unreachable)) throw error; // whatever comes next tells
    }
  }

  /** The account was changed here. A new address is not verified. */
  #changed(account) {
    this.#setAccount(account);
    void this.#hintAt(account);
  }

  #setAccount(account) {
    this.account = account;
    this.sidebar.account = account;
  }

  get #place() {
    return location.hash || "#/";
  }

  /** Opens what the address names. */
  async #open() {
    this.shell.closeDrawer();
    closeDialogs();
    const [, kind, id] = this.#place.split("/");
    this.#opening.abort();
    this.#opening = new AbortController();
    this.#panel?.close?.();
    this.#panel = null;
    const found = panelOf(this.#place, { titleOf: (chatId) => this.chats.get(chatId)?.title, account: this.account, onAccount: (account) => this.#changed(account) });
    if (found) await this.#openPanel(found.panel, found.title);
    else {
      this.#showPlace();
      await this.thread.open(kind === "chats" ? Number(id) : null);
    }
    this.#showChats();
  }

  /** Shows a panel as soon as it has read what it shows. */
  async #openPanel(panel, title) {
    this.#panel = panel;
    const { signal } = this.#opening;
    await this.#try(async () => {
      const element = await untilItWorks(() => panel.load(), signal).catch((error) => { if (!signal.aborted) throw error; });
      if (!signal.aborted) this.shell.show(element, title); // nothing else was opened meanwhile
    });
  }

  /** Shows the thread, with the title and the tools of the chat that is open. */
  #showPlace() {
    const [, kind, id] = this.#place.split("/");
    const chat = kind === "chats" ? this.chats.get(Number(id)) : null;
    const tools = kind === "chats" ? [iconButton("memory", "Memory of this chat", () => goTo(`#/chats/${id}/memory`))] : [];
    if (chat?.temporary) tools.unshift(el("span", { class: "tag" }, "Temporary"));
    this.shell.show(this.thread.element, kind === "chats" ? (chat?.title ?? "New chat") : "New chat", tools);
    this.sidebar.show(this.chats.list, this.#place, this.chats.hasMore);
  }

  #showChats() {
    const [, kind, , part] = this.#place.split("/");
    if ((kind === "chats" || kind === undefined || kind === "") && part === undefined) this.#showPlace();
    else this.sidebar.show(this.chats.list, this.#place, this.chats.hasMore);
  }

  #happened(event) {
    passFeedEvent(event);
    switch (event.type) {
      case "chat.created":
        this.chats.add({ id: event.chat_id, title: event.title, temporary: event.temporary, created_at: event.created_at, last_message_at: event.created_at });
        break;
      case "chat.renamed":
        this.chats.change(event.chat_id, { title: event.title });
        break;
      case "chat.deleted":
        this.#gone(event.chat_id);
        break;
      case "message.accepted":
        if (!this.chats.change(event.chat_id, { last_message_at: event.created_at })) void this.#try(() => this.chats.refresh());
        if (this.thread.chatId === event.chat_id) void this.thread.refresh(event.position);
        break;
      case "messages.changed":
        if (this.thread.chatId === event.chat_id) void this.thread.refresh(event.position);
        break;
      case "account.deleted":
        this.#listeners.changed(null);
        break;
      default: // generations tell of themselves in their own streams, and other views have been told
    }
  }

  /** The chat that the thread has begun is there: it has an address now, unless something else is open. */
  #made(id) {
    const [, kind = ""] = this.#place.split("/");
    if (kind !== "") return;
    history.replaceState(null, "", `#/chats/${id}`);
    this.#showPlace();
  }

  #gone(id) {
    this.chats.forget(id);
    const [, kind, open] = this.#place.split("/");
    if (kind === "chats" && Number(open) === id) goTo("#/");
  }

  async #rename(chat) {
    const title = await askText({ title: "Rename this chat", label: "Title", value: chat.title ?? "" });
    if (title) await this.chats.rename(chat.id, title);
  }

  async #remove(chat) {
    const what = `“${chat.title ?? "New chat"}” will be deleted with all of its messages.`;
    const text = chat.temporary ? `${what} This can't be undone.` : `${what} You can restore it from the trash for a while.`;
    if (!(await confirm({ title: "Delete this chat?", text, yes: "Delete" }))) return;
    await this.chats.remove(chat);
    this.#gone(chat.id);
  }

  #key(event) {
    if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
    if (this.shell.closeDrawer()) return;
    // To stop an answer that waits for a decision is to refuse its operation for good: that takes a click.
    if (this.thread.isAnswering && !this.thread.awaitsDecision && this.thread.element.isConnected) void this.thread.stop();
  }

  async #try(action) {
    try {
      await action();
    } catch (error) {
      if (this.#left.signal.aborted) return;
      if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
      if (error.status !== 401) toast(exceptionWords(error));
    }
  }
}
