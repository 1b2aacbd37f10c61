// What stands on the page until the API says who is signed in.

import { Refused, Unreachable } from "../api.js";
import { Backoff, pause } from "../backoff.js";
import { el } from "../dom.js";
import { findAccount } from "../session.js";
import { exceptionWords } from "../words.js";

/**
 * Who is signed in, as soon as that can be told; null for nobody. Says in `root` why that takes so long.
 * Once `signal` is aborted, null, and nothing is said any more.
 */
export async function waitForAccount(root, signal) {
  const backoff = new Backoff();
  while (!signal.aborted) {
    try {
      return await findAccount();
    } catch (error) {
      if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
      if (signal.aborted) break;
      root.replaceChildren(el("main", { class: "starting" }, el("p", { role: "status" }, exceptionWords(error))));
      await pause(backoff.next(error.retryAfter), signal);
    }
  }
  return null;
}
