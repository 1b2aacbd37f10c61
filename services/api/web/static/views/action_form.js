// A form that does one thing, and says beside it what came of that.

import { el } from "../dom.js";
import { tellFields } from "./form_field.js";
import { withRecentAuthentication } from "./reauthentication.js";

/**
 * The form. `fields` are shown in it. `act()` does what the form is for, and returns words for what was done; where the API
 * wants a recent authentication, the person is asked for it first. `errors` are fields by the codes and the fields of refusals.
 * `panel` is the LivePanel that the form is in; `more` are buttons beside the one that sends.
 */
export function actionForm(panel, { fields, errors = {}, submit, kind = "primary", act, more = [] }) {
  const general = el("p", { class: "form-error", role: "alert" });
  const done = el("p", { class: "form-done", role: "status" });
  let isActing = false;
  const send = async (event) => {
    event.preventDefault();
    if (isActing) return;
    general.textContent = "";
    done.textContent = "";
    for (const field of fields) field.problem = "";
    const missing = fields.find(({ element, input }) => !element.hidden && input.required && input.value.trim() === "");
    if (missing) {
      missing.problem = "This is needed.";
      missing.input.focus();
      return;
    }
    isActing = true;
    const words = await panel.attempt(() => withRecentAuthentication(act), (error) => tellFields(error, errors, general));
    isActing = false;
    done.textContent = words ?? "";
  };
  return el("form", { class: "stack", novalidate: true, onsubmit: (event) => void send(event) }, ...fields.map((field) => field.element), general, el("div", { class: "button-row" }, el("button", { type: "submit", class: `button ${kind}` }, submit), ...more), done);
}
