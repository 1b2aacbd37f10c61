// A tool call: its name and state; opened, what the tool was given and what it gave. A query's rows are in the open.

import { el, icon } from "../dom.js";
import { rendered } from "../scheduler.js";
import { visible } from "../visible.js";
import { toolWords } from "../words.js";
import { isQueryResult, queryResult } from "./query_result.js";

/** The element of a tool call, and `update(part, reply)`, which shows its state. */
export function toolView(signal) {
  const name = el("span", { class: "tool-name" });
  const words = el("span", { class: "tool-input" });
  const state = el("span", { class: "tool-state" });
  const content = el("div", { class: "tool-content" });
  const disclosure = el("details", { class: "disclosure tool" }, el("summary", {}, icon("tool"), name, words, state), content);
  const element = el("div", { class: "tool-call" }, disclosure);
  let output = null;
  let replaced = new AbortController();
  const update = (part, reply) => {
    const now = stateOf(part, reply);
    name.textContent = toolWords(part.name);
    words.textContent = visible(String(part.input?.query ?? part.input?.purpose ?? part.input?.summary ?? ""));
    state.textContent = now;
    disclosure.dataset.state = now;
    if (part.name === "db_query" && now === "done" && isQueryResult(part.output)) {
      if (output === part.output) return;
      output = part.output;
      replaced.abort();
      replaced = new AbortController();
      element.replaceChildren(queryResult(output, AbortSignal.any([signal, replaced.signal])));
      rendered();
      return;
    }
    content.replaceChildren(
      section("Input", JSON.stringify(part.input, null, 2)),
      now === "running" || now === "waits" ? "" : section(now === "failed" ? "Error" : "Result", typeof part.output === "string" ? part.output : JSON.stringify(part.output ?? "It was broken off.", null, 2)),
    );
  };
  return { element, update };
}

function stateOf(part, reply) {
  if (part.state !== "running") return part.state;
  // Whoever ended the answer from outside may not have told of its tools.
  if (reply.status !== "pending") return "failed";
  return reply.parts.some((one) => one.type === "approval" && one.callId === part.callId && one.status === "proposed") ? "waits" : "running";
}

function section(title, text) {
  return el("section", {}, el("h3", {}, title), el("pre", { tabindex: "0", role: "group", "aria-label": title }, visible(text)));
}
