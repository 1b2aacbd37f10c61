// What happens in other tabs and in the workers. Source: docs/protocol.md, live feed.
// The tabs of one account share one connection: a tab that is shown has the lock and reads, and tells all others. Without
// locks (plain http), each tab reads for itself, and tells nobody: the others would take each event once more.

import { Refused } from "./api.js";
import { follow } from "./follow.js";
import { untilShown, whileShown } from "./visibility.js";

/**
 * Reads an account's feed until `signal` is aborted. `take` gets each event but `ready` and `resync`. `refresh(isFirst)` is
 * called when everything has to be read again: at the beginning, and when events may have been missed. `isFirst`: no event
 * has come before. `onOpen` is awaited at each connection before its events are taken.
 */
export async function readFeed({ account, signal, take, refresh, onOpen }) {
  const name = `cortexai-feed-${account}`;
  const channel = navigator.locks ? new BroadcastChannel(name) : null;
  signal.addEventListener("abort", () => channel?.close());
  let lastEventId = null;
  const hear = (event, id) => {
    const isFirst = lastEventId === null;
    lastEventId = id ?? lastEventId;
    if (event.type === "ready" || event.type === "resync") refresh(isFirst);
    else take(event);
  };
  if (channel) channel.onmessage = ({ data }) => hear(data.event, data.id);
  refresh(true); // what another tab reads is heard from here on
  try {
    while (!signal.aborted) {
      await untilShown(signal);
      // What was heard from the tab that read before is not read again.
      await withLock(name, whileShown(signal), (shown) => follow("/api/events", {
        signal: shown,
        lastEventId,
        onOpen,
        take: (event, id) => {
          channel?.postMessage({ event, id });
          hear(event, id);
        },
      }));
    }
  } catch (error) {
    // An API of an earlier release has no feed; who is signed out hears it from every other request too.
    if (!(error instanceof Refused && [401, 404].includes(error.status))) throw error;
  }
}

/** Does `action` as the only tab. Waits for that until `signal` is aborted. */
async function withLock(name, signal, action) {
  if (signal.aborted) return;
  if (!navigator.locks) return action(signal); // each tab reads for itself
  try {
    await navigator.locks.request(name, { signal }, () => action(signal));
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
