// A line on the page of somebody whose e-mail address was not verified yet.

import { Refused, Unreachable } from "../api.js";
import { button, el } from "../dom.js";
import { findOptions, sendVerification } from "../session.js";
import { exceptionWords } from "../words.js";

/** The line, for an account; null where there is nothing to do. */
export async function verifyHint(account) {
  if (account.email_verified || !(await findOptions()).mail) return null;
  const words = el("span", {}, `Confirm your e-mail address, ${account.email}, by the link that we mail to you.`);
  const again = button("Send again", send, { kind: "quiet" });
  return el("div", { class: "verify-hint", role: "status" }, words, again);

  async function send() {
    again.disabled = true;
    try {
      await sendVerification();
      words.textContent = `Another link is on its way to ${account.email}.`;
    } catch (error) {
      if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
      words.textContent = exceptionWords(error);
    } finally {
      again.disabled = false;
    }
  }
}
