// What a reader has of an answer: frames come in, changes for the view come out. Source: docs/protocol.md §2.

/** An answer of which nothing has come. `status` is as in the API: pending, completed, failed or cancelled. */
export function newReply() {
  return { parts: [], sources: [], status: "pending", progress: null, error: null, finishReason: null, withoutSource: [] };
}

/** The answer as the API has saved it. */
export function savedReply(message) {
  const reply = { ...newReply(), status: message.status };
  reply.sources = message.sources ?? [];
  for (const part of message.parts ?? []) {
    if (part.type === "text" || part.type === "reasoning") reply.parts.push({ type: part.type, text: part.text, open: false });
    else if (part.type === "dynamic-tool") reply.parts.push(savedTool(part));
    else if (part.type === "data-approval") reply.parts.push({ type: "approval", id: part.id, callId: part.data.toolCallId, status: part.data.status });
    else if (part.type === "data-citations") reply.withoutSource = part.data.withoutSource ?? [];
    else if (part.type === "data-error") reply.error = { code: part.data.code, text: part.data.message };
  }
  if (message.parts === null && message.content) reply.parts.push({ type: "text", text: message.content, open: false });
  const told = message.generation?.error;
  if (told) reply.error = { code: told.code, text: told.message };
  else if (message.status === "failed") reply.error ??= { code: "", text: "" };
  reply.finishReason = message.generation?.finish_reason ?? null;
  return reply;
}

/** Whether the answer waits for a person's decision. */
export function awaitsDecision(reply) {
  return reply.status === "pending" && reply.parts.some((part) => part.type === "approval" && part.status === "proposed");
}

/** All text of an answer, as it was written. */
export function textOf(reply) {
  return reply.parts.filter((part) => part.type === "text").map((part) => part.text).join("\n\n");
}

/**
 * Takes one frame in. Returns what has changed, for the view: `{kind, part?, text?}`, of which `kind` is "add" (a new
 * part), "grow" (a part has `text` more), "change" (a part has another state), "sources", "progress", "notes", "reset"
 * or "end"; null when nothing that is shown has changed.
 */
export function take(reply, frame) {
  switch (frame.type) {
    case "text-start":
    case "reasoning-start":
      return add(reply, { type: frame.type.slice(0, -"-start".length), id: frame.id, text: "", open: true });
    case "text-delta":
    case "reasoning-delta":
      return grow(reply, frame);
    case "text-end":
    case "reasoning-end":
      return close(reply, frame);
    case "tool-input-available":
      return add(reply, { type: "tool", callId: frame.toolCallId, name: frame.toolName, input: frame.input, state: "running", output: null });
    case "tool-output-available":
      return toolEnded(reply, frame, { state: "done", output: frame.output });
    case "tool-output-error":
      return toolEnded(reply, frame, { state: "failed", output: frame.errorText });
    case "source-url":
      reply.sources = [...reply.sources, { url: frame.url, title: frame.title }];
      return { kind: "sources" };
    case "data-status":
      reply.progress = frame.data;
      return { kind: "progress" };
    case "data-retry":
      return add(reply, { type: "retry" });
    case "data-citations":
      reply.withoutSource = frame.data.withoutSource ?? [];
      return { kind: "notes" };
    case "data-approval":
      return approval(reply, frame);
    case "data-error":
      reply.error = { code: frame.data.code, text: frame.data.message };
      return null; // it is shown with the terminal frame, which follows
    case "data-reset":
      Object.assign(reply, newReply());
      return { kind: "reset" };
    case "finish":
      reply.finishReason = frame.finishReason ?? null;
      return end(reply, "completed");
    case "error":
      reply.error ??= { code: frame.code ?? "", text: frame.errorText };
      return end(reply, "failed");
    case "abort":
      return end(reply, "cancelled");
    default:
      return null; // frames of later releases
  }
}

const TOOL_STATES = { __proto__: null, "input-available": "running", "output-available": "done", "output-error": "failed" };

function savedTool(part) {
  const state = TOOL_STATES[part.state] ?? "running";
  return { type: "tool", callId: part.toolCallId, name: part.toolName, input: part.input, state, output: part.output ?? part.errorText ?? null };
}

function add(reply, part) {
  reply.parts.push(part);
  reply.progress = null;
  return { kind: "add", part };
}

function open(reply, frame) {
  const type = frame.type.slice(0, frame.type.lastIndexOf("-"));
  return reply.parts.findLast((part) => part.type === type && part.id === frame.id);
}

function grow(reply, frame) {
  const part = open(reply, frame);
  if (!part) return null;
  part.text += frame.delta;
  return { kind: "grow", part, text: frame.delta };
}

function close(reply, frame) {
  const part = open(reply, frame);
  if (!part) return null;
  part.open = false;
  return { kind: "change", part };
}

function toolEnded(reply, frame, ended) {
  const part = reply.parts.findLast((one) => one.type === "tool" && one.callId === frame.toolCallId);
  if (!part) return null;
  Object.assign(part, ended);
  return { kind: "change", part };
}

/** An operation that a tool call has proposed, or what became of it. */
function approval(reply, frame) {
  const { toolCallId: callId, status } = frame.data;
  const known = reply.parts.find((part) => part.type === "approval" && part.id === frame.id);
  if (!known) return add(reply, { type: "approval", id: frame.id, callId, status });
  known.status = status;
  return { kind: "change", part: known };
}

function end(reply, status) {
  reply.status = status;
  reply.progress = null;
  for (const part of reply.parts) part.open = false;
  return { kind: "end" };
}
