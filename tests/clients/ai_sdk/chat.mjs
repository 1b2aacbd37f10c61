// A useChat without a browser: the SDK's own chat and transport, told what to do by lines of JSON on stdin.
// node chat.mjs <sdk> <url> <token>
// Each command is answered by one line: {status, error, messages, data}. A command that throws ends the program.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [sdk, url, token] = process.argv.slice(2);
const { Chat } = await import(sdk);
// The `ai` that this version of the SDK is made for.
const { DefaultChatTransport, lastAssistantMessageIsCompleteWithApprovalResponses } = createRequire(
  pathToFileURL(createRequire(import.meta.url).resolve(`${sdk}/package.json`)),
)("ai");
const headers = { authorization: `Bearer ${token}` };
// Releases of 5 have no approvals.
if (lastAssistantMessageIsCompleteWithApprovalResponses) headers["X-AI-SDK-Approvals"] = "1";

let chat; // the page that is open
let made = 0;
const tabs = {};

function open(id, messages) {
  const data = [];
  const listeners = new Set();
  const page = new Chat({
    id,
    messages,
    // A page on our own origin with a cookie would set nothing of this.
    transport: new DefaultChatTransport({ api: `${url}/api/chat`, headers }),
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
    generateId: () => `made-${made++}`,
    onData: (part) => {
      data.push(part);
      for (const listener of listeners) listener();
    },
  });
  return Object.assign(page, { told: { data, listeners }, running: Promise.resolve() });
}

function start(action) {
  chat.running = action();
  chat.running.catch(() => {}); // `end` and `stop` tell
}

function lastText() {
  const last = chat.messages.at(-1);
  return last?.role === "assistant" ? last.parts.map((part) => (part.type === "text" ? part.text : "")).join("") : "";
}

function partsIn(state) {
  return (chat.messages.at(-1)?.parts ?? []).filter((part) => part.state === state);
}

function until(holds) {
  return new Promise((resolve) => {
    const look = () => {
      if (!holds()) return;
      for (const end of ends) end();
      resolve();
    };
    const { listeners } = chat.told;
    listeners.add(look);
    const ends = [
      chat["~registerMessagesCallback"](look),
      chat["~registerStatusCallback"](look),
      () => listeners.delete(look),
    ];
    look();
  });
}

const commands = {
  // As a page that is loaded: the messages from the server, then whatever is live.
  async load({ id, tab = "first" }) {
    const response = await fetch(`${url}/api/chat/${encodeURIComponent(id)}`, { headers });
    chat = tabs[tab] = open(id, await response.json());
  },
  async tab({ tab }) {
    chat = tabs[tab];
  },
  async send({ message, options }) {
    start(() => chat.sendMessage(message, options));
  },
  async regenerate({ options }) {
    start(() => chat.regenerate(options));
  },
  // As if the stream had asked for an approval, and the user had given it.
  async approve({ id }) {
    const part = { type: "dynamic-tool", toolName: "run", toolCallId: "call", input: {} };
    const asked = { ...part, state: "approval-requested", approval: { id: "approval" } };
    chat = open(id, [{ id: "reply", role: "assistant", parts: [{ type: "step-start" }, asked] }]);
    await chat.addToolApprovalResponse({ id: "approval", approved: true });
  },
  // As the user who is asked so many things, and answers each.
  async asked({ count }) {
    await until(() => chat.status === "error" || (chat.status === "ready" && partsIn("approval-requested").length === count));
  },
  async answer({ approved }) {
    const ids = partsIn("approval-requested").map((part) => part.approval.id);
    for (const [index, id] of ids.entries()) await chat.addToolApprovalResponse({ id, approved: approved[index] });
  },
  async answered() {
    await until(() => chat.status === "error" || (chat.status === "ready" && partsIn("approval-responded").length === 0));
  },
  async resume() {
    start(() => chat.resumeStream());
  },
  async said({ text }) {
    await until(() => lastText().startsWith(text) || chat.status === "error");
  },
  async told({ type }) {
    await until(() => chat.told.data.some((part) => part.type === type) || chat.status === "error");
  },
  async stop() {
    await chat.stop();
    await chat.running;
  },
  async stopThere() {
    await fetch(`${url}/api/chat/${encodeURIComponent(chat.id)}/stop`, { method: "POST", headers });
  },
  async end() {
    await chat.running;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { do: name, ...rest } = JSON.parse(line);
  await commands[name](rest);
  const { data } = chat.told;
  const error = chat.error ? `${chat.error.name}: ${chat.error.message}` : null;
  console.log(JSON.stringify({ status: chat.status, error, messages: chat.messages, data }));
}
process.exit(0);
