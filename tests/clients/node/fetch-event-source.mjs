// Reads a stream with fetch-event-source: `node fetch-event-source.mjs <url> <token>`. With a body as a third argument it
// POSTs. It prints each event as a JSON line, until the stream ends.
// The tab is hidden and shown each time that a line comes on stdin.
import { createInterface } from "node:readline";

const [url, token, body] = process.argv.slice(2);
globalThis.document = Object.assign(new EventTarget(), { hidden: false });
globalThis.window = globalThis;
const { fetchEventSource } = await import("@microsoft/fetch-event-source");

const show = (hidden) => {
  document.hidden = hidden;
  document.dispatchEvent(new Event("visibilitychange"));
};
const lines = createInterface({ input: process.stdin });
lines.on("line", () => {
  show(true);
  show(false);
});
await fetchEventSource(url, {
  method: body ? "POST" : "GET",
  headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
  body,
  onmessage: ({ id, data }) => console.log(JSON.stringify({ id, data })),
});
lines.close();
process.stdin.destroy();
