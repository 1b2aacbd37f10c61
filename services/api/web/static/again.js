// Trying again what fails in passing. The page says meanwhile that it has no connection.

import { Refused, Unreachable } from "./api.js";
import { Backoff, pause } from "./backoff.js";
import { back, lost } from "./connection.js";

/** A function that does `action`. Called while that is under way, it does it once more: of two answers, the older one may come last. */
export function oneAtATime(action) {
  let running = null;
  let isAsked = false;
  return () => {
    isAsked = true;
    running ??= (async () => {
      try {
        while (isAsked) {
          isAsked = false;
          await action();
        }
      } finally {
        running = null;
      }
    })();
    return running;
  };
}

/**
 * Does `action` until it works, and returns what it returns. Throws what another try does not mend, what still fails
 * after `forMs`, and the signal's reason. `passes(refused)` says whether another try may mend a refusal.
 */
export async function untilItWorks(action, signal, { forMs = Infinity, passes = (refused) => refused.passes } = {}) {
  const until = performance.now() + forMs;
  const backoff = new Backoff();
  const me = {};
  try {
    for (;;) {
      try {
        return await action();
      } catch (error) {
        const again = error instanceof Unreachable || (error instanceof Refused && passes(error));
        if (!again || performance.now() > until) throw error;
        lost(me);
        await pause(backoff.next(error.retryAfter), signal);
        signal.throwIfAborted();
      }
    }
  } finally {
    back(me);
  }
}
