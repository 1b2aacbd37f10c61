// What an operation does: the rows of a change, the chats of a deletion, the arguments of a tool call.

import { el, icon } from "../dom.js";
import { visible } from "../visible.js";
import { count, day, toolWords } from "../words.js";
import { countWords } from "./operation_words.js";
import { rowDiff } from "./row_diff.js";
import { sqlDetails } from "./sql_details.js";

/** The elements that show it. */
export function operationBody(operation) {
  if (operation.kind === "tool_call") return callBody(operation.preview);
  if (operation.kind === "delete_chats" || operation.kind === "restore_chats") return chatsBody(operation);
  return changeBody(operation);
}

function changeBody({ status, preview, result, statement }) {
  const isDone = status === "committed";
  // What was set when it was done is known by now.
  const rows = isDone && Array.isArray(result?.rows) ? result.rows : preview.rows;
  const setAtCommit = rows === preview.rows ? (preview.set_at_commit ?? []) : [];
  const conflicts = rows.filter((row) => row.conflict).length;
  const notes = [
    conflicts > 0 && note(`${count(conflicts)} ${conflicts === 1 ? "row stays as it is" : "rows stay as they are"}, since something is in the way.`),
    ...(preview.touched ?? []).map((touched) => note(`Triggers or cascades: ${countWords(touched, isDone).replace(/\.$/, "")} in ${visible(touched.table)}.`)),
    setAtCommit.length > 0 && note(`Set when it is done, each time anew: ${setAtCommit.map(visible).join(", ")}.`),
    preview.undo_refusal && note(`It can't be undone. ${visible(preview.undo_refusal)}`),
  ];
  return [
    el("p", { class: "operation-counts" }, el("strong", {}, visible(preview.table)), ": ", countWords(isDone ? (result?.counts ?? preview.counts) : preview.counts, isDone)),
    ...notes.filter(Boolean),
    rows.length > 0 && rowDiff({ ...preview, rows, set_at_commit: setAtCommit }),
    statement && sqlDetails(statement),
  ].filter(Boolean);
}

function note(words) {
  return el("p", { class: "notice" }, icon("warning"), words);
}

function chatsBody({ preview }) {
  const chats = preview.chats ?? [];
  return [
    el(
      "ul",
      { class: "operation-chats" },
      ...chats.map((chat) => el("li", {}, el("a", { href: `#/chats/${chat.id}` }, el("bdi", {}, visible(chat.title ?? "New chat"))), el("span", { class: "hint" }, ` ${count(chat.messages)} messages, the last on ${day(chat.last_message_at)}`))),
    ),
  ];
}

function callBody({ tool, arguments: given }) {
  return [
    el("p", {}, "Tool: ", el("strong", {}, visible(toolWords(tool)))),
    el("section", { class: "tool-content" }, el("h3", {}, "With these arguments"), el("pre", { tabindex: "0", role: "group", "aria-label": "With these arguments" }, visible(JSON.stringify(given, null, 2)))),
  ];
}
