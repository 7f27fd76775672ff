/** The history: every painting that was finished, and what can be done with one. */

import { button, choice, dialog, h, icon, iconButton, listIn, put } from "./dom.js";

const NOW = { id: "now" };
const PICTURE_KINDS = [
  ["png", "PNG"],
  ["jpg", "JPEG"],
  ["webp", "WebP"],
];

function shownPainting({ state }) {
  return state.history.find(({ id }) => id === state.showing);
}

/** The paintings that the one that is shown can be compared with. */
function others({ state }) {
  return state.history.filter(({ id, kind }) => id !== state.showing && kind === "painting");
}

/** Makes the row of thumbnails, with the picture of now as the first. */
export function makeStrip(studio) {
  const items = h("ul", {});
  const ask = makeQuestion(studio);
  const clear = button("Clear all", () => ask.showModal(), { class: "text" });
  const node = h("section", { class: "strip", "aria-label": "Your paintings" }, items, clear, ask);
  const show = listIn(items, (item) => makeItem(studio, item));

  function update() {
    const { history, photo } = studio.state;
    put(node, { hidden: !photo && !history.length });
    put(clear, { hidden: !history.length });
    show(photo ? [NOW, ...history] : history);
  }

  return { node, update };
}

function makeItem(studio, { id, kind }) {
  const isNow = id === NOW.id;
  const image = h("img", { alt: "", draggable: "false" });
  const name = isNow && h("small", { text: "Preview" });
  const play = kind === "film" && icon("film");
  const open = h("button", { type: "button", class: "painting" }, image, play, name);
  open.addEventListener("click", () => choose(studio, isNow ? null : id));

  function update(painting) {
    const { state, frame, pictures, local } = studio;
    const now = frame?.url ?? pictures.url(state.photo?.picture);
    put(image, { src: isNow ? now : pictures.url(painting.picture) });
    const label = isNow ? "Preview" : `${painting.name}: ${painting.text}`;
    put(open, { "aria-label": label, title: label });
    put(open, { "aria-current": String((state.showing ?? NOW.id) === id) });
    const canCompare = others(studio).some((other) => other.id === id);
    put(open, { disabled: local.choosing && !canCompare });
  }

  return { node: h("li", {}, open), update };
}

/** Shows a painting, or lays it beside the one that is shown. */
function choose(studio, painting) {
  const what = studio.local.choosing ? "compare" : "show";
  studio.do(what, { painting });
  studio.look({ choosing: false });
}

function makeQuestion(studio) {
  const forget = () => {
    studio.do("clear");
    node.close();
  };
  const node = dialog(
    "Clear all?",
    h("p", { text: "All paintings and films below the picture are deleted from this machine." }),
    h("div", { class: "row" }, [
      button("Delete them all", forget, { class: "primary" }),
      button("Keep them", () => node.close(), { class: "quiet" }),
    ]),
  );
  return node;
}

/** Makes the line under the picture: what is going on, or what can be done with a painting. */
export function makeBar(studio) {
  const text = h("p", { class: "words soft" });
  const actions = makeActions(studio);
  const node = h("div", { class: "bar" }, text, actions.node);

  function update() {
    const painting = shownPainting(studio);
    const said = words(studio, painting);
    put(text, { text: said, title: said });
    actions.update(painting);
  }

  return { node, update };
}

function words({ state, local, frame, isBusy }, painting) {
  if (local.choosing) return "Choose the painting to lay beside this one.";
  if (painting) return painting.text;
  // How long it takes stands beside the button that stops it.
  if (isBusy) return frame?.of === "painting" ? `Step ${frame.step}` : "";
  return state.waiting ?? state.work.text;
}

function makeActions(studio) {
  const painting = () => studio.state.showing;
  const ask = (what, more = {}) => studio.do(what, { painting: painting(), ...more });
  const kind = choice("Save as", PICTURE_KINDS);
  const save = button("Save", () => ask("download", kind.hidden ? {} : { as: kind.value }));
  const compare = button("Compare", () => toggleComparing(studio), { class: "quiet" });
  const like = button("Paint like this", () => ask("paint_like"), { class: "quiet" });
  let larger = [];
  const again = [0, 1].map((place) =>
    button("", () => ask("repeat", { times: larger[place].times }), { class: "quiet" }),
  );
  const remove = iconButton("bin", "Remove it from the history", () => ask("forget"));
  const saving = h("span", { class: "saving" }, save, kind);
  const node = h("div", { class: "actions" }, saving, compare, like, again, remove);

  function update(shown) {
    put(node, { hidden: !shown });
    if (!shown) return;
    const isFilm = shown.kind === "film";
    put(kind, { hidden: isFilm });
    put(compare, { hidden: isFilm || !others(studio).length });
    const isOn = Boolean(studio.state.comparing || studio.local.choosing);
    put(compare, { "aria-pressed": String(isOn) });
    larger = shown.larger;
    again.forEach((one, place) => offer(one, shown, larger[place], studio.isBusy));
  }

  return { node, update };
}

/** Offers to paint a painting again, as much larger as the photo allows. */
function offer(one, shown, larger, isBusy) {
  put(one, { hidden: !larger, disabled: isBusy });
  if (!larger) return;
  const times = Number((larger.width / shown.width).toFixed(1));
  const pixels = `${larger.width} × ${larger.height} pixels`;
  put(one, { text: `${times}× as large`, title: `Paint it again, with ${pixels}` });
}

/** Begins to choose what to compare with, or ends it; of two, the other is compared at once. */
function toggleComparing(studio) {
  const { comparing } = studio.state;
  if (comparing) studio.do("compare", { painting: null });
  const isNew = !comparing && !studio.local.choosing;
  const [other, ...more] = others(studio);
  if (isNew && !more.length) studio.do("compare", { painting: other.id });
  else studio.look({ choosing: isNew });
}
