/** Elements, icons and words: what every part of the page is made of. */

const SVG = "http://www.w3.org/2000/svg";

/** Strokes in a square of 24. */
const ICONS = {
  add: "M12 5v14M5 12h14",
  away: "M6 6l12 12M18 6L6 18",
  less: "M5 12h14",
  swap: "M4 9h15l-4-4M20 15H5l4 4",
  earlier: "M12 19V5M6 11l6-6 6 6",
  compare: "M12 3v18M9 6H4v12h5M15 6h5v12h-5M17 9v6",
  people: "M12 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4 21c0-5 4-7 8-7s8 2 8 7",
  full: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  film: "M8 5l11 7-11 7z",
  photo: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4",
  bin: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
};

/**
 * Sets attributes where they differ; `text` is the element's text, a function is a listener, and
 * null, undefined and false take an attribute away.
 */
export function put(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name === "text") putText(element, value);
    else if (value === null || value === undefined || value === false) element.removeAttribute(name);
    else putAttribute(element, name, value === true ? "" : String(value));
  }
  return element;
}

function putText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function putAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** Makes an element; children that are null, undefined or false are left out. */
export function h(tag, attributes = {}, ...children) {
  const element = put(document.createElement(tag), attributes);
  element.append(...children.flat().filter((child) => child || child === ""));
  return element;
}

export function icon(name) {
  const drawn = document.createElementNS(SVG, "svg");
  put(drawn, { viewBox: "0 0 24 24", "aria-hidden": "true", class: "icon" });
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  drawn.append(path);
  return drawn;
}

/** Makes a button of text. */
export function button(text, onclick, attributes = {}) {
  return h("button", { type: "button", ...attributes, onclick }, text);
}

/** Makes a button of an icon, whose words are read out and shown as a tip. */
export function iconButton(name, label, onclick, attributes = {}) {
  const words = { "aria-label": label, title: label };
  return h("button", { type: "button", class: "round", ...words, ...attributes, onclick }, icon(name));
}

/** Says what an icon's button does now. */
export function relabel(element, label) {
  put(element, { "aria-label": label, title: label });
}

/**
 * Makes a slider.
 * @param {{label: string, min: number, max: number, step?: number, oninput: (value: number) => void}} given
 */
export function slider({ label, min, max, step = 1, oninput }) {
  const input = h("input", { type: "range", "aria-label": label, min, max, step });
  input.addEventListener("input", () => {
    fill(input);
    oninput(Number(input.value));
  });
  return input;
}

/** Moves a slider from outside; `text` is what is read out instead of the number. */
export function moveSlider(input, value, text) {
  if (Number(input.value) !== value) input.value = value;
  put(input, { "aria-valuetext": text });
  fill(input);
}

function fill(input) {
  const { min, max, value } = input;
  input.style.setProperty("--at", `${(100 * (value - min)) / (max - min)}%`);
}

/** Makes a choice; `options` are pairs of value and text. */
export function choice(label, options) {
  const made = options.map(([value, text]) => h("option", { value, text }));
  return h("select", { "aria-label": label }, made);
}

/**
 * Makes a dialog with a title and a way out, to be opened by `showModal`; a click beside it closes
 * it, too.
 */
export function dialog(title, ...body) {
  const close = () => made.close();
  const head = h("header", {}, h("h2", { text: title }), iconButton("away", "Close", close));
  const made = h("dialog", { "aria-label": title }, h("div", { class: "sheet" }, head, ...body));
  made.addEventListener("click", (event) => event.target === made && close());
  return made;
}

/**
 * Keeps the children of an element in step with a list: those of items that stay are kept, so that
 * nothing loses its focus.
 * @param {(item: {id: string}) => {node: HTMLElement, update: (item: object, index: number) => void}} make
 * @returns {(items: {id: string}[]) => void}
 */
export function listIn(parent, make) {
  let made = new Map();
  return (items) => {
    const focused = document.activeElement;
    const kept = new Map(items.map((item) => [item.id, made.get(item.id) ?? make(item)]));
    for (const [id, { node }] of made) if (!kept.has(id)) node.remove();
    made = kept;
    items.forEach((item, index) => {
      const { node, update } = kept.get(item.id);
      if (parent.children[index] !== node) parent.insertBefore(node, parent.children[index] ?? null);
      update(item, index);
    });
    if (parent.contains(focused) && focused !== document.activeElement) focused.focus();
  };
}

export function percent(share) {
  return `${Math.round(100 * share)} %`;
}

/** Says seconds as one would: "40 s", "3 min", "1 h 10 min". */
export function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Says a mixture: "70 % Swirls, 30 % Glass". */
export function mixture(styles, shares) {
  const said = styles.map((style, index) => `${percent(shares[index] ?? 0)} ${style.name}`);
  return said.join(", ");
}
