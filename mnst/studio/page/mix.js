/** The styles, and what each has of the picture: the crossfader. */

import { cardsIn } from "./choosing.js";
import {
  button, h, icon, iconButton, listIn, mixture, moveSlider, percent, put, relabel, slider,
} from "./dom.js";

const QUICK = 4; // paintings that are offered where there is no style
const KINDS = { colour: "Colours", form: "Forms" };

/** Gives one style its share; the others share the rest as they did. */
export function reshared(shares, index, share) {
  const rest = 1 - shares[index];
  const others = shares.length - 1;
  return shares.map((old, at) => {
    if (at === index) return share;
    return (1 - share) * (rest > 1e-6 ? old / rest : 1 / others);
  });
}

/** Sets the shares of colours or of forms, and of both while they are joined. */
function setShares(studio, kind, shares) {
  studio.set(studio.controls.linked ? { colour: shares, form: shares } : { [kind]: shares });
}

/** Makes the styles with their crossfader; `openGallery` lets one add more. */
export function makeMix(studio, openGallery) {
  const add = button("+ Add a style", openGallery, { class: "quiet" });
  const head = h("header", {}, h("h2", { text: "Styles" }), add);
  const cards = h("ul", { class: "styles" });
  const faders = Object.keys(KINDS).map((kind) => makeFader(studio, kind));
  const words = h("p", { class: "soft" });
  const quick = h("div", { class: "cards" });
  const link = button("", () => toggleLink(studio), { class: "text" });
  const node = h("section", { class: "mix", "aria-label": "Styles", "data-drop": "styles" });
  node.append(head, cards, ...faders.map((fader) => fader.node), words, quick, link);
  const showStyles = listIn(cards, (style) => makeStyle(studio, style));
  const showQuick = cardsIn(quick, studio, ({ id }) => studio.do("add_styles", { gallery: id }));

  function update() {
    const { styles, limits, gallery } = studio.state;
    const { controls } = studio;
    put(add, { hidden: styles.length >= limits.styles });
    put(cards, { "data-count": styles.length });
    showStyles(styles);
    const isPair = styles.length === 2;
    for (const fader of faders) fader.update(isPair, styles, controls);
    put(words, { text: sentence(styles.length), hidden: styles.length > 1 });
    put(quick, { hidden: styles.length > 0 });
    showQuick(styles.length ? [] : gallery.filter(({ picture }) => picture).slice(0, QUICK));
    put(link, { text: controls.linked ? "Separate colours and forms" : "Join colours and forms" });
    put(link, { hidden: styles.length < 2 });
  }

  return { node, update };
}

function sentence(count) {
  if (count) return "One style paints the whole picture. Add a second to mix the two.";
  return "Choose a painting, or drop one here. With two or more, you mix them.";
}

function toggleLink(studio) {
  const { linked, form } = studio.controls;
  studio.set(linked ? { linked: false } : { linked: true, colour: form });
}

/** Makes the wide slider between two styles. */
function makeFader(studio, kind) {
  const oninput = (value) => setShares(studio, kind, [1 - value / 100, value / 100]);
  const input = slider({ label: KINDS[kind], min: 0, max: 100, oninput });
  const text = h("span", {});
  const head = h("p", { class: "ends" }, h("b", { text: KINDS[kind] }), text);
  const node = h("div", { class: "fader" }, head, input);

  function update(isPair, styles, { linked, ...controls }) {
    put(node, { hidden: !isPair || (linked && kind === "colour") });
    if (node.hidden) return;
    put(head, { hidden: linked });
    put(input, { "aria-label": linked ? "Mix" : KINDS[kind] });
    const shares = controls[kind];
    put(text, { text: `${percent(shares[0])} · ${percent(shares[1])}` });
    moveSlider(input, Math.round(100 * shares[1]), mixture(styles, shares));
    styles.forEach((style, end) => tint(input, end, studio.pictures.url(style.picture)));
  }

  return { node, update };
}

/** Gives an end of the slider the colour of its painting. */
async function tint(input, end, url) {
  if (!url || input.dataset[`end${end}`] === url) return;
  input.dataset[`end${end}`] = url;
  const image = new Image();
  image.src = url;
  await image.decode().catch(() => {});
  const pen = h("canvas", { width: 1, height: 1 }).getContext("2d");
  pen.drawImage(image, 0, 0, 1, 1);
  const [red, green, blue] = pen.getImageData(0, 0, 1, 1).data;
  input.style.setProperty(`--end${end}`, `rgb(${red} ${green} ${blue})`);
}

let dragged = null; // the style that is dragged, of whatever widget

/** Makes a style: its picture, name and share, and where there are more than two, its sliders. */
function makeStyle(studio, { id }) {
  const place = () => studio.state.styles.findIndex((style) => style.id === id);
  const move = (to) => {
    if (to >= 0 && to < studio.state.styles.length)
      studio.do("move_style", { style: id, to });
  };
  const image = h("img", { alt: "", draggable: "false" });
  const thumb = h("div", { class: "thumb", draggable: "true" }, image);
  const name = h("b", {});
  const share = h("span", { class: "share" });
  const earlier = iconButton("earlier", "", () => move(place() - 1), { class: "round earlier" });
  earlier.append(icon("swap")); // which is shown where there are two
  const remove = iconButton("away", "", () => studio.do("remove_style", { style: id }));
  remove.classList.add("remove");
  const sliders = Object.keys(KINDS).map((kind) => makeShare(studio, kind, place));
  const node = h("li", { class: "style" }, thumb, h("p", {}, name, share), earlier, remove);
  node.append(...sliders.map((part) => part.node));

  thumb.addEventListener("dragstart", () => (dragged = id));
  thumb.addEventListener("dragend", () => (dragged = null));
  node.addEventListener("dragover", (event) => dragged && event.preventDefault());
  node.addEventListener("drop", () => {
    if (dragged && dragged !== id) studio.do("move_style", { style: dragged, to: place() });
  });
  node.addEventListener("keydown", (event) => {
    const by = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1 }[event.key];
    if (!event.altKey || !by) return;
    event.preventDefault();
    move(place() + by);
  });

  function update(style, index) {
    const { styles } = studio.state;
    const { linked, form } = studio.controls;
    put(image, { src: studio.pictures.url(style.picture) });
    put(name, { text: style.name, title: [style.name, style.credit].filter(Boolean).join(", ") });
    put(share, { text: percent(form[index] ?? 0), hidden: !linked || styles.length < 2 });
    put(earlier, { hidden: index === 0 });
    const before = styles[index - 1]?.name;
    relabel(earlier, styles.length === 2 ? "Swap the two" : `Move ${style.name} before ${before}`);
    relabel(remove, `Remove ${style.name}`);
    for (const part of sliders) part.update(style, index);
  }

  return { node, update };
}

/** Makes the slider of one style's share among three or four. */
function makeShare(studio, kind, place) {
  const oninput = (value) =>
    setShares(studio, kind, reshared(studio.controls[kind], place(), value / 100));
  const input = slider({ label: KINDS[kind], min: 0, max: 100, oninput });
  const text = h("span", {});
  const node = h("label", { class: "portion" }, text, input);

  function update({ name }, index) {
    const { linked, ...controls } = studio.controls;
    put(node, { hidden: studio.state.styles.length < 3 || (linked && kind === "colour") });
    const share = controls[kind][index] ?? 0;
    put(text, { text: `${KINDS[kind]} ${percent(share)}`, hidden: linked });
    put(input, { "aria-label": `${linked ? "Share" : KINDS[kind]} of ${name}` });
    moveSlider(input, Math.round(100 * share), percent(share));
  }

  return { node, update };
}
