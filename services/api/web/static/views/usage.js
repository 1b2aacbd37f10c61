// The tokens that answers, searches, summaries and titles took.

import { call } from "../api.js";
import { el, svg } from "../dom.js";
import { count, day } from "../words.js";

const DAYS = 30;
const HEIGHT = 96;
const PURPOSES = { __proto__: null, generation: "Answers", search: "Search questions", summary: "Summaries", title: "Titles" };

/** The panel, with the numbers of now. */
export async function usagePanel() {
  const usage = await call("GET", `/api/usage?days=${DAYS}`);
  return el("div", { class: "panel" }, el("p", { class: "lead" }, "Tokens are the pieces of words that models read and write."), ...usageSections(usage));
}

/** What was used today and on the days before, as elements. */
export function usageSections({ today, days }) {
  return [
    el("section", { class: "card" }, el("h2", {}, "Today"), el("p", { class: "figure" }, count(today.used), el("small", {}, today.limit === null ? " tokens" : ` of ${count(today.limit)} tokens`)), today.limit === null ? "" : quota(today)),
    el("section", { class: "card" }, el("h2", {}, `The last ${DAYS} days`), daysChart(days)),
    table(days),
  ];
}

function quota(today) {
  const resets = new Date(today.resets_at).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
  return el("div", {}, el("progress", { max: String(today.limit), value: String(Math.min(today.used, today.limit)), "aria-label": "Tokens used today" }), el("p", { class: "hint" }, `There are new tokens at ${resets}.`));
}

function daysChart(days) {
  const totals = new Map();
  for (const row of days) totals.set(row.day, (totals.get(row.day) ?? 0) + row.total_tokens);
  const most = Math.max(1, ...totals.values());
  const bars = [];
  for (let back = DAYS - 1; back >= 0; back -= 1) {
    const date = new Date(Date.now() - back * 24 * 3600 * 1000).toISOString().slice(0, 10);
    const tokens = totals.get(date) ?? 0;
    const height = Math.max(2, (tokens / most) * HEIGHT);
    const place = { x: (DAYS - 1 - back) * 10 + 1.5, y: HEIGHT - height, width: 7, height, rx: 1.5, class: tokens > 0 ? "bar" : "bar is-empty" };
    bars.push(svg("rect", place, svg("title", {}, `${day(date)}: ${count(tokens)}`)));
  }
  const words = `Tokens a day; the most on one day: ${count(most)}. The table has all numbers.`;
  return svg("svg", { viewBox: `0 0 ${DAYS * 10} ${HEIGHT}`, preserveAspectRatio: "none", class: "chart", role: "img", "aria-label": words }, ...bars);
}

function table(days) {
  if (days.length === 0) return el("p", { class: "hint" }, "Nothing was used yet.");
  const row = (one) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, day(one.day)),
      el("td", {}, PURPOSES[one.purpose] ?? one.purpose),
      el("td", { class: "model-name" }, one.model),
      el("td", { class: "number" }, count(one.calls)),
      el("td", { class: "number" }, count(one.prompt_tokens)),
      el("td", { class: "number" }, count(one.completion_tokens)),
      el("td", { class: "number" }, (one.estimated_tokens > 0 ? "≈ " : "") + count(one.total_tokens)),
    );
  const heads = ["Day", "For", "Model", "Calls", "Read", "Written", "Tokens"];
  return el(
    "div",
    { class: "table-frame", tabindex: "0", role: "region", "aria-label": "Tokens by day" },
    el("table", { class: "usage-table" }, el("thead", {}, el("tr", {}, ...heads.map((head, at) => el("th", { scope: "col", class: at > 2 ? "number" : null }, head)))), el("tbody", {}, ...days.map(row))),
  );
}
