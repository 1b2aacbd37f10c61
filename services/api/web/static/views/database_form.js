// A form that connects a database. What is wrong is said at its field.

import { call } from "../api.js";
import { el } from "../dom.js";
import { goTo } from "../navigation.js";
import { formField, tellFields } from "./form_field.js";

const ADDRESS = "postgresql://user:password@host:5432/database";
const FIELDS = [
  { name: "name", label: "Name", hint: "As you and the model call it.", required: true, maxlength: 100 },
  { name: "reader_url", label: "Address for reading", hint: `${ADDRESS}, with a role that may only read.`, required: true },
  { name: "writer_url", label: "Address for changes", hint: "Optional: with a role that may change rows. Without it, nothing can be changed." },
];

/** The form. `panel` is the LivePanel that it is in. */
export function databaseForm(panel) {
  const general = el("p", { class: "form-error", role: "alert" });
  const fields = FIELDS.map(fieldOf);
  const byName = Object.fromEntries(fields.map((field) => [field.name, field]));
  const submit = el("button", { type: "submit", class: "button primary" }, "Connect");
  const form = el("form", { class: "stack", novalidate: true, autocomplete: "off", onsubmit: (event) => { event.preventDefault(); void connect(); } }, ...fields.map((field) => field.element), general, el("div", { class: "actions" }, submit));

  async function connect() {
    general.textContent = "";
    for (const field of fields) field.problem = "";
    const missing = fields.find((field) => field.input.required && field.input.value.trim() === "");
    if (missing) {
      missing.problem = "This is needed.";
      missing.input.focus();
      return;
    }
    const body = Object.fromEntries(fields.map((field) => [field.name, field.input.value.trim()]).filter(([, value]) => value !== ""));
    submit.disabled = true;
    const made = await panel.attempt(() => call("POST", "/api/data-sources", { body }), (error) => tellFields(error, byName, general));
    submit.disabled = false;
    if (!made) return;
    form.reset(); // passwords stay nowhere
    goTo(`#/databases/${made.id}`);
  }

  return form;
}

function fieldOf({ name, ...attributes }) {
  const field = formField({ id: `database-${name}`, spellcheck: "false", autocapitalize: "off", autocomplete: "off", ...attributes });
  return Object.assign(field, { name });
}
