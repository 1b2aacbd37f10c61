// Waiting between tries: longer after each failure, and not in step with other tabs.

const FIRST_MS = 500;
const MOST_MS = 15_000;

export class Backoff {
  #failures = 0;

  /** It worked: the next wait is short again. */
  reset() {
    this.#failures = 0;
  }

  /** How long to wait now, in ms. `atLeast` (seconds) is what the server asked for. */
  next(atLeast = 0) {
    const longest = Math.min(MOST_MS, FIRST_MS * 2 ** this.#failures);
    this.#failures += 1;
    return Math.max(atLeast * 1000, longest * (0.5 + Math.random() / 2));
  }
}

/** Waits so many ms, or until the browser is online again. Ends at once when `signal` is aborted. */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    addEventListener("online", done);
    signal?.addEventListener("abort", done);
    if (signal?.aborted) done();
  });
}
