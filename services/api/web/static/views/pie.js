// A pie. Its slices have numbers, and the list beside it says what they are: nobody has to tell colours apart.

import { el, svg } from "../dom.js";

const MOST_SLICES = 9;
const RADIUS = 98;
/** A smaller part of the whole has no room for its number. */
const LEAST_NUMBERED = 0.04;
const COLOURS = 6;

/** The pie and its list. `values` are numbers from 0 on, and null. `words` says what is seen. */
export function pie(labels, values, words) {
  const slices = largest(labels, values);
  const whole = slices.reduce((sum, slice) => sum + slice.value, 0);
  let from = 0;
  const shapes = slices.flatMap((slice, at) => {
    const part = slice.value / whole;
    const drawn = [slicePath(from, part, at)];
    if (part >= LEAST_NUMBERED) drawn.push(svg("text", { class: "slice-number", ...point(from + part / 2, RADIUS * 0.68) }, String(at + 1)));
    from += part;
    return drawn;
  });
  const percent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
  return [
    el(
      "div",
      { class: "pie-frame" },
      svg("svg", { viewBox: "-100 -100 200 200", class: "pie", role: "img", "aria-label": words }, ...shapes),
      el("ol", { class: "legend", "aria-hidden": "true" }, ...slices.map((slice, at) => el("li", {}, svg("svg", { class: "swatch", viewBox: "0 0 24 12" }, svg("rect", { class: `area series-${at % COLOURS}`, width: 12, height: 12, x: 6 })), el("bdi", {}, slice.label), el("span", { class: "hint" }, percent.format(slice.value / whole))))),
    ),
  ];
}

/** The largest values; those that are left are one slice. */
function largest(labels, values) {
  const all = values.map((value, at) => ({ label: labels[at], value: value ?? 0 })).filter((slice) => slice.value > 0);
  all.sort((one, other) => other.value - one.value);
  const rest = all.splice(MOST_SLICES - 1, all.length > MOST_SLICES ? all.length : 0);
  if (rest.length > 0) all.push({ label: `${rest.length} others`, value: rest.reduce((sum, slice) => sum + slice.value, 0) });
  return all;
}

function slicePath(from, part, at) {
  const title = `area slice series-${at % COLOURS}`;
  if (part > 0.9999) return svg("circle", { class: title, r: RADIUS });
  const [begin, end] = [point(from, RADIUS), point(from + part, RADIUS)];
  return svg("path", { class: title, d: `M0 0L${begin.x} ${begin.y}A${RADIUS} ${RADIUS} 0 ${part > 0.5 ? 1 : 0} 1 ${end.x} ${end.y}Z` });
}

function point(turn, radius) {
  const angle = (turn - 0.25) * 2 * Math.PI;
  return { x: (Math.cos(angle) * radius).toFixed(2), y: (Math.sin(angle) * radius).toFixed(2) };
}
