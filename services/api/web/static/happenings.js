// What the live feed tells, for the parts of the page that show something of it.

const listeners = new Set();

/**
 * Calls `listener` with each event of the types `operation.changed`, `rows.changed` and `data_source.changed`, until
 * `signal` is aborted. `resync` says that events may have been missed.
 */
export function onHappening(listener, signal) {
  if (signal.aborted) return;
  listeners.add(listener);
  signal.addEventListener("abort", () => listeners.delete(listener));
}

/** Tells all who listen. */
export function tellHappening(event) {
  for (const listener of [...listeners]) listener(event);
}
