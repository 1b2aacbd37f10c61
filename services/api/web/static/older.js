// The pages of messages before those that are shown.

import { untilItWorks } from "./again.js";
import { pageBefore, readJson, send } from "./api.js";

export class OlderMessages {
  /** The position of the first message that was read. An edited chat may show none so far back. */
  first = 1;
  #path = null;
  #reading = false;

  /** Whether there are any. */
  get exist() {
    return this.#path !== null;
  }

  /** They begin at this path, before the position `first`; null where there are none. */
  begin(path, first) {
    this.#path = path;
    this.first = first;
  }

  /** Reads the newest page of them, until that works. Returns null where there is none, or it is being read already. */
  async read(signal) {
    if (this.#path === null || this.#reading) return null;
    this.#reading = true;
    try {
      const [messages, before] = await untilItWorks(async () => {
        const response = await send("GET", this.#path, { signal });
        return [await readJson(response, signal), pageBefore(response)];
      }, signal);
      this.#path = before;
      // An API of the release before knows no page before a position, and tells the first messages.
      const older = messages.filter((message) => message.position < this.first);
      this.first = older[0]?.position ?? this.first;
      return older;
    } finally {
      this.#reading = false;
    }
  }
}
