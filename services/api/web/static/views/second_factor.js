// The second factor: switch it on with an authenticator app, get recovery codes, switch it off.

import { Refused, Unreachable, call } from "../api.js";
import { askForm, confirm } from "../dialogs.js";
import { button, el } from "../dom.js";
import { hasPassword } from "../session.js";
import { accountSection } from "./account_parts.js";
import { actionForm } from "./action_form.js";
import { codeField, formField, tellFields } from "./form_field.js";
import { qrCode } from "./qr_code.js";
import { withRecentAuthentication } from "./reauthentication.js";
import { secretBox } from "./secret_box.js";

const PATH = "/api/auth/second-factor";
const FEW_CODES = 3;

export class SecondFactor {
  #panel;
  #isActing = false;
  #state = el("p", { class: "hint" });
  #tag = el("span", { class: "tag", hidden: true }, "On");
  #on = button("Switch on", () => void this.#begin(), { kind: "primary" });
  #renew = button("New recovery codes", () => void this.#renewCodes(), { symbol: "again" });
  #off = button("Switch off", () => void this.#switchOff(), { kind: "danger-quiet" });
  #buttons = el("div", { class: "button-row" }, this.#on, this.#renew, this.#off);
  /** What has been begun, and is not over: the app's code is asked for, or codes are shown. */
  #step = el("div", { class: "stack" });
  #unverified = el("p", { class: "hint", hidden: true }, "Your e-mail address is not confirmed: until it is, a mailed link that sets a new password takes the second factor away.");
  #problem = el("p", { class: "form-error", role: "alert" });

  /** `panel` is the Account that the section is in. */
  constructor(panel) {
    this.#panel = panel;
    this.element = accountSection("Second factor", this.#state, this.#unverified, this.#buttons, this.#problem, this.#step);
    this.element.querySelector("h2").append(" ", this.#tag);
  }

  /** Shows whether there is one. */
  show(account) {
    const { has_second_factor: isOn, recovery_codes_left: left } = account;
    this.element.hidden = !hasPassword(account);
    const few = left < FEW_CODES ? " Get new ones before you have none." : "";
    this.#state.textContent = isOn
      ? `To sign in, your password and a code of your authenticator app are needed. ${left === 1 ? "One recovery code is" : `${left} recovery codes are`} left, for when you don't have the app.${few}`
      : "Besides your password, a code of an app on your phone is asked for when you sign in. A stolen password alone opens nothing then.";
    this.#unverified.hidden = account.email_verified;
    this.#tag.hidden = !isOn;
    this.#on.hidden = isOn;
    this.#buttons.hidden = !isOn && this.#step.childElementCount > 0;
    this.#renew.hidden = !isOn;
    this.#off.hidden = !isOn;
  }

  async #begin() {
    const begun = await this.#do(() => call("POST", PATH));
    if (!begun) return;
    const code = formField({ id: "first-code", label: "Code of the app", inputmode: "numeric", autocomplete: "one-time-code", required: true, hint: "Six digits. The app shows others every 30 seconds." });
    const confirmFirst = async () => {
      const { recovery_codes: codes } = await call("POST", `${PATH}/confirm`, { body: { code: code.input.value.replaceAll(/\s/g, "") } });
      this.#showCodes(codes, "The second factor is on, and your other sessions have ended.");
      await this.#panel.readAll();
    };
    const form = actionForm(this.#panel, { fields: [code], errors: { __proto__: null, code_mismatch: code, code }, submit: "Confirm", act: confirmFirst, more: [button("Cancel", () => this.#finish())] });
    this.#step.replaceChildren(
      el(
        "div",
        { class: "enrolment" },
        qrCode(begun.uri, "QR code with the secret for an authenticator app"),
        el("div", { class: "stack" }, el("p", {}, "Scan this picture with an authenticator app, or give it this secret:"), secretBox(begun.secret, "Secret for the app", { shown: begun.secret.replaceAll(/(.{4})(?=.)/g, "$1 ") }), form),
      ),
    );
    this.show(this.#panel.account);
    code.input.focus();
  }

  async #renewCodes() {
    if (!(await confirm({ title: "New recovery codes?", text: "The recovery codes that you have will not be taken any more.", yes: "Get new ones" }))) return;
    const made = await this.#do(() => call("POST", `${PATH}/recovery-codes`));
    if (!made) return;
    this.#showCodes(made.recovery_codes, "These are your new recovery codes.");
    await this.#panel.readAll();
  }

  /** Asks for a code, so that who finds the browser open can't do it. */
  async #switchOff() {
    const code = codeField("off-code", true);
    const general = el("p", { class: "form-error", role: "alert" });
    const act = async () => {
      code.problem = "";
      general.textContent = "";
      try {
        await call("DELETE", PATH, { body: { code: code.input.value.trim() } });
        return true;
      } catch (error) {
        if (!(error instanceof Refused || error instanceof Unreachable) || error.code === "reauthentication_required") throw error;
        tellFields(error, { __proto__: null, code_mismatch: code, code }, general);
        return false;
      }
    };
    const ask = () => askForm({ title: "Switch the second factor off?", content: [el("p", {}, "Your password alone will be enough to sign in. Your other sessions end."), code.element, general], yes: "Switch off", kind: "danger", act });
    if (!(await this.#do(ask))) return;
    this.#finish();
    await this.#panel.readAll();
    this.#on.focus();
  }

  #showCodes(codes, words) {
    const text = codes.join("\n");
    const done = button("I have kept them", () => this.#finish(), { kind: "primary" });
    const head = el("p", { tabindex: "-1", class: "step-head" }, words);
    this.#step.replaceChildren(head, el("p", { class: "hint" }, "Each recovery code signs you in once, without the app. Keep them where you keep nothing else of this account. They are not shown again."), secretBox(text, "Recovery codes", { fileName: "cortexai-recovery-codes.txt" }), el("div", { class: "button-row" }, done));
    head.focus();
  }

  #finish() {
    this.#step.replaceChildren();
    this.show(this.#panel.account);
    (this.#on.hidden ? this.#renew : this.#on).focus();
  }

  /** Does one action at a time: a second secret would be shown for the first one. */
  async #do(action) {
    if (this.#isActing) return undefined;
    this.#isActing = true;
    this.#problem.textContent = "";
    const done = await this.#panel.attempt(() => withRecentAuthentication(action), (error) => tellFields(error, {}, this.#problem));
    this.#isActing = false;
    return done;
  }
}
