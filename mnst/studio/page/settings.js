/** How it is painted, in words, and the button that paints it. */

import {
  button, choice, dialog, duration, h, listIn, moveSlider, percent, put, slider,
} from "./dom.js";

const FILM = { least: 2, most: 10, usual: 4 }; // seconds
const FILM_KINDS = [
  ["webp", "WebP"],
  ["gif", "GIF"],
  ["mp4", "MP4"],
];

/** Makes the controls but the crossfader. */
export function makeSettings(studio) {
  const parts = [
    makeQualities(studio),
    makeRange(studio, {
      name: "strength",
      title: "Strength",
      ends: ["nearer to the photo", "nearer to the paintings"],
      scale: { to: (value) => value / 100, from: (value) => 100 * value, min: 0, max: 100 },
    }),
    makeRange(studio, {
      name: "stroke",
      title: "Strokes",
      ends: ["finer", "broader"],
      scale: { to: (value) => 2 ** (value / 50), from: (value) => 50 * Math.log2(value), min: -50, max: 50 },
    }),
    makeTick(studio, "keep_people", "Leave people as they are", () => studio.state.people.text),
    makeTick(studio, "keep_colours", "Keep the photo's own colours", () => ""),
  ];
  const node = h("section", { class: "settings", "aria-label": "How it is painted" });
  node.append(...parts.map((part) => part.node));
  return { node, update: () => parts.forEach((part) => part.update()) };
}

function makeQualities(studio) {
  // Radio buttons are a group by name, and each widget of a notebook is one of its own.
  const name = `quality-${Math.random()}`;
  const cards = h("div", { class: "qualities" });
  const node = h("fieldset", {}, h("legend", { text: "Quality" }), cards);
  const show = listIn(cards, (quality) => makeQuality(studio, quality, name));
  const update = () => show(studio.state.qualities.map((each) => ({ id: each.name, ...each })));
  return { node, update };
}

function makeQuality(studio, { id, label }, name) {
  const input = h("input", { type: "radio", name, value: id });
  input.addEventListener("change", () => studio.set({ quality: id }));
  const small = h("small", {});
  const node = h("label", { class: "quality" }, input, h("b", { text: label }), small);

  function update({ size, seconds }) {
    input.checked = studio.controls.quality === id;
    const time = seconds === null ? "" : `about ${duration(seconds)}`;
    put(small, { text: [`${size} px`, time].filter(Boolean).join("\n") });
  }

  return { node, update };
}

function makeRange(studio, { name, title, ends, scale }) {
  const { min, max } = scale;
  const oninput = (value) => studio.set({ [name]: scale.to(value) });
  const input = slider({ label: title, min, max, oninput });
  const words = h("span", { class: "ends soft" }, ends.map((text) => h("span", { text })));
  const node = h("label", { class: "range" }, h("b", { text: title }), input, words);
  const said = (value) => `${percent((value - min) / (max - min))} from ${ends[0]} to ${ends[1]}`;
  const update = () => {
    const wished = studio.controls[name]; // null where the recipe has nothing like it
    put(node, { hidden: wished === null });
    const value = Math.round(scale.from(wished ?? 0));
    moveSlider(input, value, said(value));
  };
  return { node, update };
}

function makeTick(studio, name, title, found) {
  const input = h("input", { type: "checkbox", role: "switch" });
  input.addEventListener("change", () => studio.set({ [name]: input.checked }));
  const text = h("small", { class: "soft" });
  const node = h("label", { class: "tick" }, input, h("span", {}, title, text));
  const update = () => {
    input.checked = studio.controls[name];
    put(text, { text: found(), hidden: !found() });
  };
  return { node, update };
}

/** Makes the button that paints or stops, its progress, and the film's. */
export function makePaint(studio, openFilm) {
  const act = () => studio.do(studio.isBusy ? "stop" : "paint");
  const words = h("b", {});
  const small = h("small", {});
  const main = h("button", { type: "button", class: "primary paint", onclick: act }, words, small);
  const film = button("Film …", openFilm, { class: "quiet" });
  const bar = h("progress", { max: 1, "aria-label": "Progress" });
  const left = h("p", { class: "soft" });
  const running = h("div", { class: "running" }, left, bar);
  const node = h("div", { class: "pay" }, running, main, film);

  function update() {
    const { photo, styles, work, waiting, qualities } = studio.state;
    const { isBusy } = studio;
    const quality = qualities.find(({ name }) => name === studio.controls.quality);
    const seconds = quality?.seconds ?? null;
    put(words, { text: isBusy ? "Stop" : "Paint it" });
    const about = seconds === null ? "" : `about ${duration(seconds)}`;
    put(small, { text: isBusy ? "" : [quality?.label, about].filter(Boolean).join(", ") });
    put(main, { disabled: isBusy ? !work.can_stop : !photo || !styles.length });
    put(film, { hidden: isBusy, disabled: !photo || styles.length < 2 });
    put(running, { hidden: !isBusy && !waiting });
    put(left, { text: waiting ?? work.text });
    put(bar, { value: work.done });
  }

  return { node, update };
}

/** Makes the dialog in which a film is asked for. */
export function makeFilmDialog(studio) {
  const text = h("b", {});
  const say = (seconds) => {
    put(text, { text: `${seconds} seconds` });
    moveSlider(length, seconds, `${seconds} seconds`);
  };
  const length = slider({ label: "Length", min: FILM.least, max: FILM.most, oninput: say });
  const kind = choice("Kind of file", FILM_KINDS);
  say(FILM.usual);
  const start = button("Make the film", make, { class: "primary" });
  const words = "The picture goes from the last style to the first and back.";
  const node = dialog(
    "Make a film",
    h("p", { class: "soft", text: words }),
    h("label", { class: "range" }, text, length),
    h("div", { class: "row" }, kind, start),
  );

  function make() {
    studio.do("film", { seconds: Number(length.value), kind: kind.value });
    node.close();
  }

  return { node, update: () => {} };
}
