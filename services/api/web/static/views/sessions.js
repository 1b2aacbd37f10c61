// Where the account is signed in. Each session can be ended; its open answers are cut within seconds.

import { oneAtATime } from "../again.js";
import { announce } from "../announcer.js";
import { call } from "../api.js";
import { confirm } from "../dialogs.js";
import { button, el, icon } from "../dom.js";
import { onFeedEvent } from "../feed_events.js";
import { brief } from "../visible.js";
import { accountNav } from "./account_parts.js";
import { LivePanel } from "./live_panel.js";
import { moment } from "./operation_words.js";

const DEVICE_CHARS = 80;

export class Sessions extends LivePanel {
  #list = el("ul", { class: "account-list" });
  #others = button("End all others", () => void this.#endOthers(), { kind: "danger-quiet", symbol: "leave", hidden: true });
  #lead = el("p", { class: "lead", tabindex: "-1" }, "Where you are signed in. End what you don't know, then change your password.");

  constructor() {
    super();
    this.element.append(accountNav("#/account/sessions"), this.#lead, this.#list, this.#others);
    onFeedEvent((event) => { if (event.type === "resync") void this.readAll(); }, this.signal);
  }

  readAll = oneAtATime(() => this.read(async () => this.#show(await call("GET", "/api/auth/sessions", { signal: this.signal }))));

  #show(sessions) {
    const here = sessions.filter((session) => session.is_current);
    const others = sessions.filter((session) => !session.is_current);
    this.#list.replaceChildren(...[...here, ...others].map((session) => this.#item(session)));
    this.#others.hidden = others.length === 0;
  }

  #item(session) {
    const device = session.device ? brief(session.device, DEVICE_CHARS) : "Unknown device";
    const end = button("End", () => void this.#end(session, device, end), { "aria-label": `End the session of ${device}, ${moment(session.created_at)}` });
    const words = [session.kind === "cookie" ? "Browser" : "Program", session.network, `last used ${moment(session.last_used_at)}`, `since ${moment(session.created_at)}`];
    return el(
      "li",
      { class: "account-item" },
      icon(session.kind === "cookie" ? "system" : "program"),
      el("div", {}, el("p", { class: "item-name" }, el("bdi", {}, device), session.is_current && el("span", { class: "tag" }, "This one")), el("p", { class: "hint" }, words.filter(Boolean).join(" · "))),
      !session.is_current && end,
    );
  }

  async #end(session, device, clicked) {
    clicked.disabled = true;
    const ended = await this.attempt(async () => { await call("DELETE", `/api/auth/sessions/${session.id}`); return true; });
    await this.readAll(); // where it had ended already too
    if (!ended || this.signal.aborted) return;
    this.#lead.focus(); // its button is gone
    announce(`The session of ${device} has ended.`);
  }

  async #endOthers() {
    if (!(await confirm({ title: "End all other sessions?", text: "All other browsers and programs that are signed in have to sign in again. API keys go on working.", yes: "End them" }))) return;
    const ended = await this.attempt(async () => { await call("POST", "/api/auth/logout-all", { body: { keep_this: true } }); return true; });
    if (!ended) return;
    await this.readAll();
    this.#lead.focus();
    announce("All other sessions have ended.");
  }
}
