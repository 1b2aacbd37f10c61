// The databases that the user has connected, and a form that connects one more.

import { oneAtATime } from "../again.js";
import { call } from "../api.js";
import { button, el, icon } from "../dom.js";
import { onFeedEvent } from "../feed_events.js";
import { goTo } from "../navigation.js";
import { toast } from "../toast.js";
import { visible } from "../visible.js";
import { exceptionWords } from "../words.js";
import { databaseForm } from "./database_form.js";
import { LivePanel } from "./live_panel.js";

export class Databases extends LivePanel {
  #list = el("ul", { class: "databases" });
  #sandbox = button("Try a sandbox", () => void this.#makeSandbox(), { kind: "primary", symbol: "database" });
  #hint = el("p", { class: "hint" }, "A sandbox is a small shop of sample tables, in a database of your own. Nothing there matters.");
  #connect;

  constructor() {
    super();
    this.#connect = el("details", { class: "disclosure connect" }, el("summary", {}, icon("plus"), "Connect a database"), databaseForm(this));
    onFeedEvent((event) => { if (event.type === "data_source.changed" || event.type === "resync") void this.readAll(); }, this.signal);
  }

  readAll = oneAtATime(() => this.read(async () => this.#show(await call("GET", "/api/data-sources", { signal: this.signal })), (error) => {
    if (this.#list.isConnected) toast(exceptionWords(error)); // what is being written in the form stays
    else this.element.replaceChildren(el("p", { class: "notice", role: "status" }, icon("warning"), exceptionWords(error)));
  }));

  #show(sources) {
    const hasSandbox = sources.some((source) => source.kind === "sandbox");
    this.#list.replaceChildren(...sources.map(sourceItem));
    this.#sandbox.hidden = hasSandbox;
    this.#hint.hidden = hasSandbox;
    if (this.#list.isConnected) return; // what is being written in the form stays
    this.element.replaceChildren(
      el("p", { class: "lead" }, "Ask your databases in a chat. A query only reads. A change is shown to you first, row by row, and is done only if you approve it."),
      this.#list,
      el("div", { class: "sandbox-row" }, this.#sandbox, this.#hint),
      this.#connect,
    );
  }

  async #makeSandbox() {
    this.#sandbox.disabled = true;
    const made = await this.attempt(() => call("POST", "/api/data-sources/sandbox"));
    this.#sandbox.disabled = false;
    if (made && !this.signal.aborted) goTo(`#/databases/${made.id}`);
  }
}

function sourceItem(source) {
  return el(
    "li",
    { class: "card database-item" },
    icon("database"),
    el("div", {}, el("a", { href: `#/databases/${source.id}` }, el("bdi", {}, visible(source.name))), el("p", { class: "hint" }, whereWords(source))),
    el("span", { class: "tag" }, source.can_write ? "Changes can be proposed" : "Read only"),
    source.status && source.status !== "ok" && el("p", { class: "form-error" }, exceptionWords({ code: source.status, message: source.status })),
  );
}

/** Where a database is, and who connects. */
export function whereWords({ kind, reader }) {
  if (kind === "sandbox") return "Your sandbox";
  return reader ? visible(`${reader.user} at ${reader.host}:${reader.port}/${reader.database}`) : "The key to its address is missing";
}
