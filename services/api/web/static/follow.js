// Reads a stream over any number of connections, each from where the one before broke off. Source: docs/protocol.md §2.

import { Refused, send } from "./api.js";
import { Backoff, pause } from "./backoff.js";
import { back, lost } from "./connection.js";
import { readEvents } from "./sse.js";

/** Longer than the longest pause between two signs of life (STREAM_KEEP_ALIVE_SECONDS is at most 60). */
const SILENCE_MS = 75_000;
/** A page that was asleep doubts a connection sooner. */
const SILENCE_AFTER_SLEEP_MS = 20_000;

/** Ends a connection from which nothing comes any more: that of a phone that slept may look open for ever. */
class Watchdog {
  #seen = performance.now();
  #controller = new AbortController();
  #timer = setInterval(() => this.#check(SILENCE_MS), 5_000);
  #woken = () => document.visibilityState === "visible" && this.#check(SILENCE_AFTER_SLEEP_MS);

  constructor() {
    document.addEventListener("visibilitychange", this.#woken);
  }

  get signal() {
    return this.#controller.signal;
  }

  seen() {
    this.#seen = performance.now();
  }

  stop() {
    clearInterval(this.#timer);
    document.removeEventListener("visibilitychange", this.#woken);
  }

  #check(limit) {
    if (performance.now() - this.#seen > limit) this.#controller.abort();
  }
}

/**
 * Follows a stream until `signal` is aborted, the server says 204, or `take` returns true.
 *
 * `take` gets each event's data, parsed, and its id (null where it has none); `[DONE]` is not given. Returns "taken",
 * "nothing" (204), "done" ([DONE]) or "aborted". Throws Refused for what another try does not mend.
 */
export async function follow(path, { take, signal, lastEventId = null, onOpen = () => {} }) {
  const backoff = new Backoff();
  const me = {};
  try {
    for (;;) {
      let wait = 0;
      const watchdog = new Watchdog();
      try {
        const headers = { Accept: "text/event-stream", ...(lastEventId && { "Last-Event-ID": lastEventId }) };
        const response = await send("GET", path, { headers, signal: AbortSignal.any([signal, watchdog.signal]) });
        back(me);
        if (response.status === 204) return "nothing";
        onOpen(response);
        for await (const event of readEvents(response, () => watchdog.seen())) {
          if (event.data === "[DONE]") return "done";
          if (event.id !== null) lastEventId = event.id;
          backoff.reset();
          if (take(JSON.parse(event.data), event.id) === true) return "taken";
        }
      } catch (error) {
        if (signal.aborted) return "aborted";
        if (error instanceof Refused && !error.passes) throw error;
        wait = error instanceof Refused ? error.retryAfter : 0;
      } finally {
        watchdog.stop();
      }
      if (signal.aborted) return "aborted";
      lost(me);
      await pause(backoff.next(wait), signal);
      if (signal.aborted) return "aborted";
    }
  } finally {
    back(me);
  }
}
