// Events of the feed, for the parts of the page that show something of them.

const listeners = new Set();

/** Calls `listener` with each event of the feed, until `signal` is aborted. `resync` says that events may have been missed; with `isFirst`, before any event came. */
export function onFeedEvent(listener, signal) {
  if (signal.aborted) return;
  listeners.add(listener);
  signal.addEventListener("abort", () => listeners.delete(listener));
}

/** Gives an event to all who listen. */
export function passFeedEvent(event) {
  for (const listener of [...listeners]) listener(event);
}
