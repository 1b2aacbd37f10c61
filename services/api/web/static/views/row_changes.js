// Changes of rows that are shown, as the feed tells them.

import { onFeedEvent } from "../feed_events.js";
import { visible } from "../visible.js";

/**
 * Watches for changes of rows that a result's SQL may have read, until `signal` is aborted. Returns `{words, listener}`:
 * what has changed, null for nothing, and a function to be called whenever that is told. Begin before the rows are asked
 * for: a change may come before they do.
 */
export function watchRows({ source, sql }, signal) {
  const changes = { words: null, listener: () => {} };
  onFeedEvent((event) => {
    // At the beginning, before the first event, nothing that is shown has been missed.
    if (event.type === "resync" && !event.isFirst) changes.words ??= "The rows may have changed since.";
    else if (event.type === "rows.changed" && event.data_source_id === source && mentions(sql, event.table)) changes.words = `${visible(event.table)} has changed since.`;
    else return;
    changes.listener();
  }, signal);
  return changes;
}

/** Whether a statement may read a table, by its name alone. */
function mentions(sql, table) {
  return sql.toLowerCase().includes(table.slice(table.lastIndexOf(".") + 1).replaceAll('"', "").toLowerCase());
}
