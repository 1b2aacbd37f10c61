// Reads a stream over any number of connections, each from where the one before broke off. Source: docs/protocol.md §2.

import { Refused, Unreachable, send } from "./api.js";
import { Backoff, pause } from "./backoff.js";
import { back, lost } from "./connection.js";
import { readEvents } from "./sse.js";
import { isHidden, untilShown, whileShown } from "./visibility.js";

/** Longer than the longest pause between two signs of life (STREAM_KEEP_ALIVE_SECONDS is at most 60). */
const SILENCE_MS = 75_000;

/** Ends a connection from which nothing comes any more: that of a computer that slept may look open for ever. */
class Watchdog {
  #seen = performance.now();
  #controller = new AbortController();
  #timer = setInterval(() => { if (performance.now() - this.#seen > SILENCE_MS) this.#controller.abort(); }, 5_000);

  get signal() {
    return this.#controller.signal;
  }

  seen() {
    this.#seen = performance.now();
  }

  stop() {
    clearInterval(this.#timer);
  }
}

/**
 * Follows a stream until `signal` is aborted, the server says 204, or `take` returns true. While the page is hidden there
 * is no connection.
 *
 * `take` gets each event's data, parsed, and its id (null where it has none); `[DONE]` is not given. Returns "taken",
 * "nothing" (204), "done" ([DONE]) or "aborted". Throws Refused for what another try does not mend, and what `take` throws.
 */
export async function follow(path, { take, signal, lastEventId = null, onOpen = () => {} }) {
  const backoff = new Backoff();
  const me = {};
  try {
    for (;;) {
      await untilShown(signal);
      if (signal.aborted) return "aborted";
      let wait = 0;
      const shown = new AbortController();
      const watchdog = new Watchdog();
      const own = AbortSignal.any([whileShown(AbortSignal.any([signal, shown.signal])), watchdog.signal]);
      try {
        const headers = { Accept: "text/event-stream", ...(lastEventId && { "Last-Event-ID": lastEventId }) };
        const response = await send("GET", path, { headers, signal: own });
        back(me);
        if (response.status === 204) return "nothing";
        await onOpen();
        for await (const event of readEvents(response, () => watchdog.seen())) {
          if (event.data === "[DONE]") return "done";
          if (event.id !== null) lastEventId = event.id;
          backoff.reset();
          if (take(JSON.parse(event.data), event.id) === true) return "taken";
        }
      } catch (error) {
        if (signal.aborted) return "aborted";
        const passes = error instanceof Unreachable || (error instanceof Refused && error.passes) || own.aborted;
        if (!passes) throw error;
        wait = error.retryAfter ?? 0;
      } finally {
        watchdog.stop();
        shown.abort();
      }
      if (signal.aborted) return "aborted";
      if (isHidden()) continue;
      lost(me);
      await pause(backoff.next(wait), signal);
      if (signal.aborted) return "aborted";
    }
  } finally {
    back(me);
  }
}
