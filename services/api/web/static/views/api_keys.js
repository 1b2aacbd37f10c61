// API keys: what programs sign in with. A key is shown when it is made, and never again.

import { oneAtATime } from "../again.js";
import { announce } from "../announcer.js";
import { call } from "../api.js";
import { askText, confirm } from "../dialogs.js";
import { button, el, icon, iconButton } from "../dom.js";
import { onFeedEvent } from "../feed_events.js";
import { visible } from "../visible.js";
import { day } from "../words.js";
import { accountNav } from "./account_parts.js";
import { actionForm } from "./action_form.js";
import { formField } from "./form_field.js";
import { LivePanel } from "./live_panel.js";
import { secretBox } from "./secret_box.js";

const NAME_CHARS = 100;
const NO_END = "never";
const LIFETIMES = [["7", "7 days"], ["30", "30 days"], ["90", "90 days"], ["365", "A year"], [NO_END, "No end"]];
const USUAL_DAYS = "90";
const SCOPES = {
  __proto__: null,
  read: { name: "Read", tag: "Reads", hint: "Chats, messages, memory, databases and usage." },
  chat: { name: "Write", tag: "Writes", hint: "Also send messages, approve changes, and everything else that is not about the account." },
  admin: { name: "Administer", tag: "Administers", hint: "What only admins can do with other people's accounts." },
};

export class ApiKeys extends LivePanel {
  #list = el("ul", { class: "account-list" });
  #none = el("p", { class: "hint", hidden: true }, "There are no keys.");
  #head = el("h2", { tabindex: "-1" }, "Your keys");
  /** The key that has just been made. */
  #made = el("div", { class: "made-key" });
  #details;

  /** `account` is whose keys they are: an admin may make keys that administer. */
  constructor(account) {
    super();
    const scopes = Object.keys(SCOPES).filter((scope) => scope !== "admin" || account.role === "admin");
    this.#details = el("details", { class: "disclosure connect make-key" }, el("summary", {}, icon("plus"), "Make a key"), this.#form(scopes));
    this.element.append(
      accountNav("#/account/keys"),
      el("p", { class: "lead" }, "A program signs in with a key of its own, in place of your password. No key can change your account or make other keys."),
      this.#made,
      this.#details,
      this.#head,
      this.#none,
      this.#list,
    );
    onFeedEvent((event) => { if (event.type === "resync") void this.readAll(); }, this.signal);
  }

  readAll = oneAtATime(() => this.read(async () => this.#show(await call("GET", "/api/auth/keys", { signal: this.signal }))));

  #show(keys) {
    this.#list.replaceChildren(...keys.map((key) => this.#item(key)));
    this.#none.hidden = keys.length > 0;
  }

  #form(scopes) {
    const name = formField({ id: "key-name", label: "Name", maxlength: NAME_CHARS, required: true, autocomplete: "off", hint: "What the key is for, such as “Nightly report”." });
    const lifetime = formField({ id: "key-lifetime", label: "Good for", control: el("select", {}, ...LIFETIMES.map(([value, words]) => el("option", { value, selected: value === USUAL_DAYS }, words))) });
    const scope = scopesField(scopes);
    const act = async () => {
      if (scope.chosen.length === 0) {
        scope.problem = "Choose at least one.";
        scope.input.focus();
        return undefined;
      }
      const days = lifetime.input.value === NO_END ? null : Number(lifetime.input.value);
      const made = await call("POST", "/api/auth/keys", { body: { name: name.input.value.trim(), scopes: scope.chosen, expires_in_days: days } });
      name.input.value = "";
      this.#showMade(made);
      await this.readAll();
      return undefined;
    };
    return actionForm(this, { fields: [name, scope, lifetime], errors: { __proto__: null, name, scopes: scope, scope_not_allowed: scope, expires_in_days: lifetime }, submit: "Make the key", act });
  }

  #showMade({ name, key }) {
    const head = el("h2", { tabindex: "-1" }, "The key ", el("bdi", {}, `“${visible(name)}”`));
    const done = button("I have kept it", () => { this.#made.replaceChildren(); this.#head.focus(); }, { kind: "primary" });
    this.#made.replaceChildren(el("section", { class: "card setting is-new", "aria-label": "The new key" }, head, el("p", { class: "hint" }, "Copy it now: it is not shown again."), secretBox(key, "API key"), el("div", {}, done)));
    this.#details.open = false;
    head.focus();
  }

  #item(key) {
    const name = visible(key.name);
    const isOver = key.expires_at !== null && Date.parse(key.expires_at) <= Date.now();
    const end = key.expires_at === null ? "no end" : `${isOver ? "ended" : "ends"} on ${day(key.expires_at)}`;
    const used = key.last_used_at === null ? "never used" : `last used on ${day(key.last_used_at)}`;
    return el(
      "li",
      { class: "account-item" },
      icon("key"),
      el(
        "div",
        {},
        el("p", { class: "item-name" }, el("bdi", {}, name), key.scopes.map((scope) => el("span", { class: "tag" }, SCOPES[scope]?.tag ?? visible(scope))), isOver && el("span", { class: "tag is-over" }, "Expired")),
        el("p", { class: "hint" }, el("code", {}, `${key.shown}…`), ` · made on ${day(key.created_at)} · ${end} · ${used}`),
      ),
      el(
        "span",
        { class: "fact-actions" },
        iconButton("edit", `Rename “${name}”`, () => void this.#rename(key)),
        iconButton("trash", `Delete “${name}”`, () => void this.#remove(key)),
      ),
    );
  }

  async #rename(key) {
    const name = await askText({ title: "Rename this key", label: "Name", value: key.name, most: NAME_CHARS });
    if (!name || name === key.name) return;
    await this.attempt(() => call("PATCH", `/api/auth/keys/${key.id}`, { body: { name } }));
    await this.readAll();
    this.#head.focus();
  }

  async #remove(key) {
    if (!(await confirm({ title: "Delete this key?", text: `Programs that use “${visible(key.name)}” are refused from now on. This can't be undone.`, yes: "Delete" }))) return;
    const done = await this.attempt(async () => { await call("DELETE", `/api/auth/keys/${key.id}`); return true; });
    await this.readAll();
    if (!done || this.signal.aborted) return;
    this.#head.focus(); // its button is gone
    announce(`The key “${key.name}” is deleted.`);
  }
}

/** What a key may do, as a field: `chosen` are the scopes. */
function scopesField(scopes) {
  const problem = el("p", { class: "form-error", id: "key-scopes-problem", role: "alert" });
  const boxes = scopes.map((scope) => el("input", { type: "checkbox", id: `key-scope-${scope}`, value: scope, checked: scope === "read", "aria-describedby": `key-scope-${scope}-hint` }));
  const choice = (box) => el("div", { class: "choice" }, box, el("div", {}, el("label", { for: box.id }, SCOPES[box.value].name), el("p", { class: "hint", id: `${box.id}-hint` }, SCOPES[box.value].hint)));
  const element = el("fieldset", { class: "field choices", "aria-describedby": problem.id }, el("legend", {}, "What it may do"), ...boxes.map(choice), problem);
  return {
    element,
    input: boxes[0],
    get chosen() {
      return boxes.filter((box) => box.checked).map((box) => box.value);
    },
    set problem(words) {
      problem.textContent = words;
    },
  };
}
