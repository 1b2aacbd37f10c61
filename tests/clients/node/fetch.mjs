// Asks with docs/clients/fetch.ts, and prints the parts: `node fetch.mjs <url> <token> <chat> <message>`. A line on stdin stops.
// REFRESH_TOKEN may have the refresh token.
import { createInterface } from "node:readline";
import { ask, stop } from "./fetch.js";

const [url, token, chat, content] = process.argv.slice(2);
const api = { url, token, refreshToken: process.env.REFRESH_TOKEN };
const lines = createInterface({ input: process.stdin });
lines.on("line", () => stop(api, chat));
await ask(api, chat, content, (part) => console.log(JSON.stringify(part)));
lines.close();
process.stdin.destroy();
