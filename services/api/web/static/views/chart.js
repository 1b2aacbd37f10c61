// A chart of a query's rows: bars, lines or a pie. All numbers are in the table beside it.

import { el, svg } from "../dom.js";
import { brief } from "../visible.js";
import { pie } from "./pie.js";

const WIDTH = 600;
const HEIGHT = 180;
const MOST_POINTS = 100;
const MOST_SERIES = 5;
/** So many labels have a place each; of more, the first and the last are shown. */
const MOST_LABELS = 8;
const NAMES = { __proto__: null, bar: "Bar chart", line: "Line chart", pie: "Pie chart" };

/** The chart's element; null where the rows have no numbers for one. `spec` is `{kind, x, y: [names]}`. */
export function chart(spec, columns, rows) {
  if (!(spec?.kind in NAMES) || !Array.isArray(spec.y)) return null;
  const place = (name) => columns.findIndex((column) => column.name === name);
  const shown = rows.slice(0, MOST_POINTS);
  const labels = shown.map((row) => brief(String(row[place(spec.x)] ?? "null"), 40));
  const series = spec.y.slice(0, MOST_SERIES).map((name) => ({ name: brief(name, 40), values: shown.map((row) => toNumber(row[place(name)])) }));
  if (!series.some(({ values }) => values.some((value) => value !== null))) return null;
  const isPie = spec.kind === "pie" && series[0].values.every((value) => value === null || value >= 0) && series[0].values.some((value) => value > 0);
  const kind = spec.kind === "pie" && !isPie ? "bar" : spec.kind;
  const words = describe(kind, brief(spec.x, 40), isPie ? series.slice(0, 1) : series, labels, rows.length);
  return el("figure", { class: "chart-figure" }, ...(isPie ? pie(labels, series[0].values, words) : plot(kind, labels, series, words)));
}

/** A number as the chart can draw it; null for anything else. */
function toNumber(value) {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : null;
}

/** What a screen reader says instead of the picture. */
function describe(kind, x, series, labels, all) {
  const told = series.map(({ name, values }) => {
    const known = values.map((value, at) => [value, labels[at]]).filter(([value]) => value !== null);
    if (known.length === 0) return `${name}: no numbers.`;
    const most = known.reduce((one, other) => (other[0] > one[0] ? other : one));
    const least = known.reduce((one, other) => (other[0] < one[0] ? other : one));
    return `${name}: highest ${format(most[0])} (${most[1]}), lowest ${format(least[0])} (${least[1]}).`;
  });
  const cut = all > labels.length ? ` The first ${labels.length} of ${all} rows.` : "";
  return `${NAMES[kind]} by ${x}, ${labels.length} values.${cut} ${told.join(" ")} The table has all numbers.`;
}

function plot(kind, labels, series, words) {
  const known = series.flatMap(({ values }) => values).filter((value) => value !== null);
  const highest = Math.max(0, ...known);
  const lowest = Math.min(0, ...known);
  const y = (value) => HEIGHT - ((value - lowest) / (highest - lowest || 1)) * HEIGHT;
  const shapes = kind === "bar" ? bars(labels, series, y) : lines(series, y);
  const zero = svg("line", { class: "chart-zero", x1: 0, x2: WIDTH, y1: y(0), y2: y(0) });
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", class: "plot", role: "img", "aria-label": words }, ...shapes, zero);
  const ends = labels.length > MOST_LABELS ? [labels[0], labels.at(-1)] : labels;
  return [
    el("ul", { class: "legend", "aria-hidden": "true" }, ...series.map(({ name }, at) => el("li", {}, swatch(kind, at), el("bdi", {}, name)))),
    el("div", { class: "plot-frame" }, el("div", { class: "plot-scale", "aria-hidden": "true" }, el("span", {}, format(highest)), el("span", {}, format(lowest))), picture),
    el("div", { class: `plot-labels ${labels.length > MOST_LABELS ? "is-ends" : ""}`, "aria-hidden": "true" }, ...ends.map((label) => el("bdi", {}, label))),
  ];
}

function swatch(kind, at) {
  const shape = kind === "line" ? svg("line", { class: `line series-${at}`, x1: 0, x2: 24, y1: 6, y2: 6 }) : svg("rect", { class: `area series-${at}`, width: 12, height: 12, x: 6 });
  return svg("svg", { class: "swatch", viewBox: "0 0 24 12" }, shape);
}

function bars(labels, series, y) {
  const group = WIDTH / labels.length;
  const width = (group * 0.8) / series.length;
  return series.flatMap(({ name, values }, at) =>
    values.flatMap((value, index) => {
      if (value === null) return [];
      const [top, bottom] = [Math.min(y(value), y(0)), Math.max(y(value), y(0))];
      const bar = { class: `area series-${at}`, x: index * group + group * 0.1 + at * width, y: top, width: Math.max(0.5, width - 1), height: Math.max(1, bottom - top) };
      return [svg("rect", bar, svg("title", {}, `${labels[index]}: ${name} ${format(value)}`))];
    }),
  );
}

/** A line breaks where a number is missing. A number alone is a short dash. */
function lines(series, y) {
  return series.flatMap(({ values }, at) => {
    const step = WIDTH / Math.max(1, values.length - 1);
    const runs = [[]];
    values.forEach((value, index) => {
      if (value === null) runs.push([]);
      else runs.at(-1).push([index * step, y(value)]);
    });
    const places = runs.filter((run) => run.length > 0).map((run) => (run.length > 1 ? run : [[run[0][0] - 4, run[0][1]], [run[0][0] + 4, run[0][1]]]));
    return places.map((run) => svg("polyline", { class: `line series-${at}`, points: run.map((point) => point.map((one) => one.toFixed(1)).join(",")).join(" ") }));
  });
}

/** A number, short, as this reader writes it. */
function format(number) {
  return new Intl.NumberFormat(undefined, { maximumSignificantDigits: 6, notation: Math.abs(number) >= 1e9 ? "compact" : "standard" }).format(number);
}
