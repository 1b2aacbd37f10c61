// Whether the server is there. Whoever waits for a connection says so here, and the page shows it in one place.

const waiting = new Set();
const listeners = new Set();

/** `who` has lost its connection and tries again. */
export function lost(who) {
  waiting.add(who);
  tell();
}

/** `who` has its connection again, or needs it no more. */
export function back(who) {
  if (waiting.delete(who)) tell();
}

/** Calls `listener` with whether anybody waits for a connection, whenever that may have changed, until `signal` is aborted. */
export function onChange(listener, signal) {
  listeners.add(listener);
  signal.addEventListener("abort", () => listeners.delete(listener));
}

function tell() {
  for (const listener of listeners) listener(waiting.size > 0);
}
