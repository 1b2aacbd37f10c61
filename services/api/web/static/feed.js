// What happens in other tabs and in the workers, over one connection. Source: docs/protocol.md, live feed.

import { Refused } from "./api.js";
import { follow } from "./follow.js";

/**
 * Reads the feed until `signal` is aborted. `take` gets each event but `ready` and `resync`; `refresh` is called when
 * everything has to be read again: at the first connection, and when events may have been missed.
 */
export async function readFeed({ signal, take, refresh }) {
  try {
    await follow("/api/events", {
      signal,
      take: (event) => {
        if (event.type === "ready" || event.type === "resync") void refresh();
        else take(event);
      },
    });
  } catch (error) {
    // An API of an earlier release has no feed; who is signed out hears it from every other request too.
    if (!(error instanceof Refused && [401, 404].includes(error.status))) throw error;
  }
}
