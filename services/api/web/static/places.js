// What the address names, but for chats: which panel, under which title.

import { Audit } from "./views/audit.js";
import { Changes } from "./views/changes.js";
import { Database } from "./views/database.js";
import { Databases } from "./views/databases.js";
import { ChatMemory, SharedMemory } from "./views/memory.js";
import { Trash } from "./views/trash.js";
import { usagePanel } from "./views/usage.js";

/**
 * The panel of a place, such as `#/databases/3`, as `{panel, title}`; null for a chat. `panel.load()` gives its element.
 * `titleOf(id)` is a chat's title.
 */
export function panelOf(place, titleOf) {
  const [, kind, id, part] = place.split("/");
  if (kind === "memory") return { panel: new SharedMemory(), title: "Memory" };
  if (kind === "usage") return { panel: { load: usagePanel }, title: "Usage" };
  if (kind === "trash") return { panel: new Trash(), title: "Trash" };
  if (kind === "changes") return { panel: id === "audit" ? new Audit() : new Changes(), title: id === "audit" ? "Audit log" : "Changes" };
  if (kind === "databases") return Number(id) > 0 ? { panel: new Database(Number(id)), title: "Database" } : { panel: new Databases(), title: "Databases" };
  if (kind === "chats" && part === "memory") return { panel: new ChatMemory(Number(id), titleOf(Number(id))), title: "Memory of this chat" };
  return null;
}
