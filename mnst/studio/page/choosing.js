/** Choosing pictures: by a click on one that is there, by file, by drop and by paste. */

import { button, dialog, h, listIn, put } from "./dom.js";

const MEGABYTE = 2 ** 20;

/**
 * Keeps pictures to choose from in an element.
 * @param {(picture: import("./store.js").Picture) => void} choose
 */
export function cardsIn(parent, studio, choose, isChosen = () => false) {
  return listIn(parent, (item) => {
    const image = h("img", { alt: "", draggable: "false" });
    const letter = h("span", { class: "letter", "aria-hidden": "true", text: [...item.name][0] });
    const words = [h("b", { text: item.name }), item.credit && h("small", { text: item.credit })];
    const onclick = () => choose(item);
    const node = h("button", { type: "button", class: "card", onclick }, image, letter, words);
    const update = ({ name, picture }) => {
      const url = studio.pictures.url(picture);
      put(image, { src: url, hidden: !url });
      put(letter, { hidden: Boolean(picture) });
      put(node, { "aria-pressed": String(isChosen(name)) });
    };
    return { node, update };
  });
}

/** Lets somebody choose files. */
function pick(isMany, take) {
  const input = h("input", { type: "file", accept: "image/*", multiple: isMany });
  input.addEventListener("change", () => take([...input.files]));
  input.click();
}

/** Makes what takes pictures' files, by what they are to be. */
export function makeFiles(studio) {
  /** Reads files, but those that are too large. */
  async function read(files) {
    const most = studio.state.limits.upload;
    const large = files.find(({ size }) => size > most);
    if (large) studio.look({ error: `${large.name}: ${tooLarge(large.size, most)}` });
    const taken = files.filter((file) => file !== large && file.size <= most);
    const buffers = await Promise.all(taken.map((file) => file.arrayBuffer()));
    return { names: taken.map(({ name }) => name), buffers };
  }

  async function photo([file]) {
    const { names, buffers } = await read([file]);
    if (names.length) studio.do("photo", { name: names[0] }, buffers);
  }

  async function styles(files) {
    const { room, limits } = studio.state;
    if (files.length > room)
      studio.look({ error: `${limits.styles} styles are the most: remove one first` });
    const { names, buffers } = await read(files.slice(0, room));
    if (names.length) studio.do("add_styles", { names }, buffers);
  }

  /** Takes what was dropped or pasted; `place` is "photo", "styles" or null for either. */
  function take(files, place) {
    const pictures = files.filter(({ type }) => !type || type.startsWith("image/"));
    if (!pictures.length) return studio.look({ error: "That is no picture: give a JPEG or PNG" });
    const isPhoto = place ? place === "photo" : !studio.state.photo;
    if (!isPhoto) return styles(pictures);
    photo(pictures);
    return pictures.length > 1 && styles(pictures.slice(1));
  }

  return {
    take,
    pickPhoto: () => pick(false, photo),
    pickStyles: () => pick(true, styles),
  };
}

function tooLarge(size, most) {
  const megabytes = (bytes) => `${Math.round(bytes / MEGABYTE)} MB`;
  return `${megabytes(size)} is too large; at most ${megabytes(most)}`;
}

/** Makes the dialog in which a photo is chosen. */
export function makePhotoDialog(studio, files) {
  const samples = h("div", { class: "cards" });
  const choose = button("Choose a file", () => files.pickPhoto(), { class: "primary" });
  const hint = h("p", { class: "soft", text: "Or drop one on the picture, or paste one." });
  const node = dialog("Another photo", h("div", { class: "row" }, choose, hint), samples);
  const show = cardsIn(samples, studio, ({ id }) => {
    studio.do("photo", { sample: id });
    node.close();
  });
  choose.addEventListener("click", () => node.close());
  return { node, update: () => node.open && show(studio.state.samples) };
}

/** Makes the dialog in which styles are added. */
export function makeGallery(studio, files) {
  const cards = h("div", { class: "cards" });
  const hint = h("p", { class: "soft" });
  const choose = button("Choose files", () => files.pickStyles(), { class: "primary" });
  const done = button("Done", () => node.close(), { class: "quiet" });
  const node = dialog("Add a style", h("div", { class: "row" }, choose, done), hint, cards);
  choose.addEventListener("click", () => node.close());
  const isChosen = (name) => studio.state.styles.some((style) => style.name === name);
  const show = cardsIn(cards, studio, toggle, isChosen);

  function toggle({ id, name }) {
    const there = studio.state.styles.find((style) => style.name === name);
    if (there) studio.do("remove_style", { style: there.id });
    else studio.do("add_styles", { gallery: id });
  }

  function update() {
    if (!node.open) return;
    const { styles, limits, gallery } = studio.state;
    const isFull = styles.length >= limits.styles;
    const full = `${limits.styles} styles are the most: remove one to add another.`;
    put(hint, { text: isFull ? full : "Or drop pictures here, or paste them." });
    put(choose, { disabled: isFull });
    show(gallery);
    for (const card of cards.children)
      put(card, { disabled: isFull && card.getAttribute("aria-pressed") === "false" });
  }

  return { node, update };
}

/** Listens for files that are dropped or pasted; `where` is the page, or the widget in one. */
export function takeDropsAndPastes(where, root, files) {
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  const place = ({ target }) => {
    const over = target.closest?.("[data-drop]");
    return over && root.contains(over) ? over.dataset.drop : null;
  };
  const mark = (name) => put(root, { "data-over": name });
  const listeners = {
    dragover(event) {
      if (!hasFiles(event)) return;
      event.preventDefault();
      mark(place(event) ?? "any");
    },
    dragleave: (event) => event.relatedTarget || mark(null),
    drop(event) {
      mark(null);
      if (!hasFiles(event)) return;
      event.preventDefault();
      files.take([...event.dataTransfer.files], place(event));
    },
    paste(event) {
      const pasted = [...(event.clipboardData?.files ?? [])];
      if (!pasted.length) return;
      event.preventDefault();
      files.take(pasted, null);
    },
  };
  for (const [name, listener] of Object.entries(listeners)) where.addEventListener(name, listener);
  return () => {
    for (const [name, listener] of Object.entries(listeners))
      where.removeEventListener(name, listener);
  };
}
