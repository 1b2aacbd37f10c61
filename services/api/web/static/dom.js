// Elements in one line each. Text is always set as text: nothing here reads HTML.

const SVG = "http://www.w3.org/2000/svg";
const SPRITE = new URL("icons.svg", import.meta.url).href;

/**
 * Makes an element. In `attributes`, names with `on` are listeners, true sets an empty attribute, and false, null and
 * undefined set nothing. Children are elements and texts; null and false are left out.
 */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Makes an element of SVG, as `el` does. */
export function svg(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** An icon of icons.svg. It says nothing to a screen reader: its button has a label. */
export function icon(name) {
  return svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `${SPRITE}#${name}` }));
}

/** A button that shows only an icon. `label` is what it is called, and its tooltip. */
export function iconButton(name, label, onclick, attributes = {}) {
  return el("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...attributes }, icon(name));
}

/** A button with words, and an icon before them if one is named. */
export function button(words, onclick, { kind = "plain", symbol = null, ...attributes } = {}) {
  return el("button", { type: "button", class: `button ${kind}`, onclick, ...attributes }, symbol && icon(symbol), words);
}

/** Shows another icon in a button that `iconButton` made. */
export function setIcon(buttonElement, name) {
  buttonElement.querySelector("use").setAttribute("href", `${SPRITE}#${name}`);
}

/** Gives a button that `iconButton` made another label. */
export function setLabel(buttonElement, label) {
  buttonElement.setAttribute("aria-label", label);
  buttonElement.title = label;
}

/** Makes `items` the children of `list`. An item that stays in its place keeps its focus and its selection. */
export function placeChildren(list, items) {
  const kept = new Set(items);
  for (const child of [...list.children]) if (!kept.has(child)) child.remove();
  let next = null;
  for (const item of items.toReversed()) {
    if (item.parentNode !== list || item.nextSibling !== next) list.insertBefore(item, next);
    next = item;
  }
}
