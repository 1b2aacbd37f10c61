// Reads a stream with EventSource: `node eventsource.mjs <url> <token>`. Prints each event as a JSON line, until [DONE].
import { EventSource } from "eventsource";

const [url, token] = process.argv.slice(2);
const source = new EventSource(url, {
  fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, Authorization: `Bearer ${token}` } }),
});
source.onmessage = ({ lastEventId, data }) => {
  console.log(JSON.stringify({ id: lastEventId, data }));
  if (data === "[DONE]") source.close();
};
