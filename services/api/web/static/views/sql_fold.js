// A statement, folded away, with a button that copies it.

import { codeBlock } from "../code_blocks.js";
import { el, icon } from "../dom.js";
import { visible } from "../visible.js";

/** The fold. What is copied is what is shown. */
export function sqlFold(sql, isOpen = false) {
  return el("details", { class: "fold sql", open: isOpen }, el("summary", {}, icon("database"), "SQL"), codeBlock(visible(sql), "sql"));
}
