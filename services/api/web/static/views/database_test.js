// What a test of a database has found: its version, and rights that its roles should not have.

import { codeBlock } from "../code_blocks.js";
import { el, icon } from "../dom.js";
import { visible } from "../visible.js";

/** The element of a result of `POST /api/data-sources/{id}/test`. */
export function testResult({ server_version, reader, writer, statements }) {
  return el(
    "section",
    { class: "card stack" },
    el("p", {}, `Connected. PostgreSQL ${visible(server_version)}.`),
    roleWords("The reader", reader),
    writer && roleWords("The writer", writer),
    statements && el("div", { class: "stack" }, el("p", { class: "hint" }, "This makes roles as they should be. Set your own passwords, and run it as the database's owner."), codeBlock(visible(statements), "sql")),
  );
}

function roleWords(who, { user, excess_rights }) {
  if (excess_rights.length === 0) return el("p", {}, `${who}, ${visible(user)}, has the rights that it should have.`);
  return el("div", {}, el("p", { class: "notice" }, icon("warning"), `${who}, ${visible(user)}, has more rights than it should have:`), el("ul", {}, ...excess_rights.map((right) => el("li", {}, visible(right.detail)))));
}
