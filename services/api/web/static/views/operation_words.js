// Operations in words. Source: docs/protocol.md, Operations.

import { count } from "../words.js";

const STATUSES = { __proto__: null, proposed: "Waits for your decision", approved: "Approved, in progress", committed: "Done", refused: "Refused", stale: "Out of date", expired: "Expired", failed: "Failed" };

/** A status, in a few words. */
export function statusWords(status) {
  return STATUSES[status] ?? status;
}

/** Whether an operation has `status` only before it has `other`: an answer that came late tells it. */
export function isBefore(status, other) {
  return stage(status) < stage(other);
}

/** Waiting, decided, over. All other statuses are final. */
function stage(status) {
  return status === "proposed" ? 0 : status === "approved" ? 1 : 2;
}

const KINDS = { __proto__: null, write: "Change of a database", undo: "Undo of a change", delete_chats: "Deletion of chats", restore_chats: "Restoring of chats", tool_call: "Use of a tool" };

/** What kind of operation it is. */
export function kindWords(kind) {
  return KINDS[kind] ?? kind;
}

/** What has become of an operation; empty while it waits. */
export function outcomeWords(operation) {
  switch (operation.status) {
    case "approved":
      return "It is approved, and is being done.";
    case "committed":
      if (operation.kind === "tool_call") return "It is allowed."; // the answer goes on, and its call tells what came of it
      return operation.undone_by ? "It was done, and has been undone since." : "It is done, as shown.";
    case "refused":
      return "You did not want it. Nothing was changed.";
    case "stale":
      return "The data has changed since this preview, so nothing was changed. Ask for a new proposal.";
    case "expired":
      return "Nobody decided in time. Nothing was changed.";
    case "failed":
      return operation.error?.code === "outcome_unknown" ? "It is not known whether this was changed. Look at the rows." : "It failed. Nothing was changed.";
    default:
      return "";
  }
}

/** How many rows a change adds, changes and deletes. */
export function countWords({ inserted = 0, updated = 0, deleted = 0 }, isDone = false) {
  const told = [[inserted, "added"], [updated, "changed"], [deleted, "deleted"]].filter(([rows]) => rows > 0);
  if (told.length === 0) return isDone ? "No row was changed." : "No row will be changed.";
  return `${told.map(([rows, done]) => `${count(rows)} ${rows === 1 ? "row" : "rows"} ${isDone ? "" : "will be "}${done}`).join(", ")}.`;
}

const CONFLICTS = {
  __proto__: null,
  changed: "somebody has changed it since",
  gone: "it has been deleted since",
  key_taken: "another row has its key or another unique value by now",
  parent_missing: "a row that it refers to is not there any more",
  referenced: "other rows refer to it",
  touches_others: "triggers or cascades would change other rows",
  not_restored: "a trigger would change it again",
  refused_by_database: "the database refuses it",
};

/** Why an undo leaves a row as it is. */
export function conflictWords(conflict) {
  return CONFLICTS[conflict] ?? conflict;
}

/** A point in time, in the reader's way. */
export function moment(text) {
  return new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}
