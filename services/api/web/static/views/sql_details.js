// A statement in a `<details>`, with a button that copies it.

import { codeBlock } from "../code_blocks.js";
import { el, icon } from "../dom.js";
import { visible } from "../visible.js";

/** What is copied is what is shown. */
export function sqlDetails(sql, isOpen = false) {
  return el("details", { class: "disclosure sql", open: isOpen }, el("summary", {}, icon("database"), "SQL"), codeBlock(visible(sql), "sql"));
}
