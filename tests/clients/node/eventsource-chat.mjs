// Follows a chat with docs/clients/eventsource.js, and prints the parts: `node eventsource-chat.mjs <url> <token> <chat> <after>`.
// In a browser the cookie says who asks; here a header does.
import { EventSource } from "eventsource";
import { followChat } from "./eventsource.js";

const [url, token, chat, after] = process.argv.slice(2);
class Source extends EventSource {
  constructor(path, init) {
    const asUser = (input, { headers, ...more }) =>
      fetch(input, { ...more, headers: { ...headers, Authorization: `Bearer ${token}` } });
    super(path, { ...init, fetch: asUser });
  }
}
// The package's timer to connect again does not keep Node from exiting.
const awake = setInterval(() => {}, 60_000);
const onEnd = () => clearInterval(awake);
followChat(chat, after, (part) => console.log(JSON.stringify(part)), { url, Source, onEnd });
