// What the address names, but for chats: which panel, under which title.

import { Account } from "./views/account.js";
import { ApiKeys } from "./views/api_keys.js";
import { Audit } from "./views/audit.js";
import { Changes } from "./views/changes.js";
import { Database } from "./views/database.js";
import { Databases } from "./views/databases.js";
import { Invites } from "./views/invites.js";
import { ChatMemory, SharedMemory } from "./views/memory.js";
import { Sessions } from "./views/sessions.js";
import { Trash } from "./views/trash.js";
import { usagePanel } from "./views/usage.js";
import { User } from "./views/user.js";
import { AdminActs, Users } from "./views/users.js";

/**
 * The panel of a place, such as `#/databases/3`, as `{panel, title}`; null for a chat. `panel.load()` gives its element.
 * `titleOf(id)` is a chat's title. `account` is whose page it is; `onAccount(account)` is called with what changes of it.
 */
export function panelOf(place, { titleOf, account, onAccount }) {
  const [, kind, id, part] = place.split("/");
  if (kind === "account") return accountPanel(id, account, onAccount);
  if (kind === "memory") return { panel: new SharedMemory(), title: "Memory" };
  if (kind === "usage") return { panel: { load: usagePanel }, title: "Usage" };
  if (kind === "trash") return { panel: new Trash(), title: "Trash" };
  if (kind === "changes") return { panel: id === "audit" ? new Audit() : new Changes(), title: id === "audit" ? "Audit log" : "Changes" };
  if (kind === "databases") return Number(id) > 0 ? { panel: new Database(Number(id)), title: "Database" } : { panel: new Databases(), title: "Databases" };
  if (kind === "chats" && part === "memory") return { panel: new ChatMemory(Number(id), titleOf(Number(id))), title: "Memory of this chat" };
  if (kind === "users" && account.role === "admin") return usersPanel(id, account);
  return null;
}

function usersPanel(part, account) {
  if (part === "acts") return { panel: new AdminActs(), title: "What admins did" };
  if (part === "invites") return { panel: new Invites(), title: "Invites" };
  return Number(part) > 0 ? { panel: new User(Number(part), account), title: "User" } : { panel: new Users(), title: "Users" };
}

function accountPanel(part, account, onAccount) {
  if (part === "sessions") return { panel: new Sessions(), title: "Sessions" };
  if (part === "keys") return { panel: new ApiKeys(account), title: "API keys" };
  return { panel: new Account(onAccount), title: "Account" };
}
