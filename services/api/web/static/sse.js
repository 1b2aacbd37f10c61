// Server-Sent Events from a fetch: EventSource can't send Last-Event-ID of its own. Source: HTML standard, 9.2.6.

import { Unreachable } from "./api.js";

/** Cuts text into the lines of a stream, whose ends are \n, \r\n or \r. */
class Lines {
  #rest = "";
  #skipNewline = false;

  /** The lines that are whole now. */
  *take(text) {
    if (this.#skipNewline && text.startsWith("\n")) text = text.slice(1);
    this.#skipNewline = text === "" ? this.#skipNewline : text.endsWith("\r");
    const lines = (this.#rest + text).split(/\r\n|\n|\r/);
    this.#rest = lines.pop();
    yield* lines;
  }
}

/**
 * The events of a response: `{id, data}`, of which `id` is null where the event has none. `onBytes` is called whenever
 * anything comes, comments too. What is cut off before its blank line is no event. Throws Unreachable when the body breaks
 * off, or is aborted.
 */
export async function* readEvents(response, onBytes = () => {}) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const lines = new Lines();
  let id = null;
  let data = [];
  try {
    for (;;) {
      const { value, done } = await read(reader);
      if (done) return;
      onBytes();
      for (const line of lines.take(value)) {
        if (line === "") {
          if (data.length > 0) yield { id, data: data.join("\n") };
          id = null;
          data = [];
        } else {
          const colon = line.indexOf(":");
          const name = colon < 0 ? line : line.slice(0, colon);
          const text = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
          if (name === "data") data.push(text);
          else if (name === "id") id = text;
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // it was read to its end, or its connection is gone
  }
}

async function read(reader) {
  try {
    return await reader.read();
  } catch (error) {
    throw new Unreachable("The stream broke off.", { cause: error });
  }
}
