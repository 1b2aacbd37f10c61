// Runs the code of docs/clients/eventsource.md as it stands there, and prints the parts of the answers:
// `node eventsource-chat.mjs <url> <token> <chat> <message>`. In a browser the cookie says who asks; here a header does.
import { readFile, writeFile } from "node:fs/promises";
import { EventSource } from "eventsource";

const [url, token, chat, content] = process.argv.slice(2);
const { fetch } = globalThis;
const asUser = (input, { headers, ...more } = {}) =>
  fetch(new URL(input, url), { ...more, headers: { ...headers, Authorization: `Bearer ${token}` } });
const print = console.log;
// The package's timer to connect again does not keep Node from exiting.
const awake = setInterval(() => {}, 60_000);
Object.assign(globalThis, {
  chat,
  newestFinalReply: 0,
  show: (part) => print(JSON.stringify(part)),
  fetch: asUser,
  EventSource: class extends EventSource {
    constructor(path, init) {
      super(new URL(path, url), { ...init, fetch: asUser });
    }
  },
});
console.log = () => clearInterval(awake); // the page's onEnd

const [, code] = (await readFile("eventsource.md", "utf8")).match(/```js\n(.*?)```/s);
const file = `./page-${process.pid}.mjs`;
await writeFile(file, code.replace('"What is a tide?"', () => JSON.stringify(content)));
await import(file);
