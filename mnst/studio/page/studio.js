/** The studio as a whole: `mount` puts it on a page, `render` into a notebook. */

import { button, h, iconButton, put } from "./dom.js";
import { makeFiles, makeGallery, makePhotoDialog, takeDropsAndPastes } from "./choosing.js";
import { modelLink } from "./link.js";
import { makeMix } from "./mix.js";
import { makeFilmDialog, makePaint, makeSettings } from "./settings.js";
import { makeStage, toggleCompare } from "./stage.js";
import { Studio } from "./store.js";
import { makeBar, makeStrip } from "./strip.js";

const NOTE_FOR = 12_000; // milliseconds
const STEP = 40; // pixels that an arrow moves a picture by

/**
 * Puts the studio into an element. One of the class "mnst-page" is the whole page: keys, drops and
 * pastes anywhere are its own.
 * @param {HTMLElement} root
 * @param {import("./link.js").Link} link
 * @returns {() => void} what ends it
 */
export function mount(root, link) {
  const isPage = root.classList.contains("mnst-page");
  const where = isPage ? document : root;
  const studio = new Studio(link, () => draw());
  const files = makeFiles(studio);
  const photos = makePhotoDialog(studio, files);
  const gallery = makeGallery(studio, files);
  const film = makeFilmDialog(studio);
  const open = ({ node }) => {
    node.showModal();
    studio.changed();
  };
  // Before the first photo the samples are on the stage.
  const choosePhoto = () => (studio.state.photo ? open(photos) : files.pickPhoto());
  const stage = makeStage(studio, { choosePhoto, isPage });
  put(stage.node, { "data-drop": "photo" });
  put(gallery.node, { "data-drop": "styles" });
  const bar = makeBar(studio);
  const strip = makeStrip(studio);
  const mix = makeMix(studio, () => open(gallery));
  const settings = makeSettings(studio);
  const paint = makePaint(studio, () => open(film));
  const toast = makeToast(studio);
  const teller = makeTeller(studio);
  stage.node.append(toast.node);
  const foot = makeFoot(studio, isPage);
  const scroll = h("div", { class: "scroll" }, mix.node, settings.node, foot.node);
  const side = h("div", { class: "side" }, scroll, paint.node);
  const room = h("div", { class: "room" }, stage.node, bar.node, strip.node, side);
  const parts = [stage, bar, strip, mix, settings, foot, paint, photos, gallery, film];
  root.classList.add("mnst-studio");
  root.replaceChildren(room, photos.node, gallery.node, film.node, teller.node);
  const endDrops = takeDropsAndPastes(where, root, files);
  const endKeys = takeKeys(where, root, studio, stage);
  const endHolds = takeHolds(root, studio);

  function draw() {
    put(room, { "data-waits": !studio.controls });
    put(side, { inert: Boolean(studio.local.end) });
    toast.update();
    teller.update();
    if (studio.controls) for (const part of parts) part.update();
  }

  studio.changed();
  return () => {
    endDrops();
    endKeys();
    endHolds();
    studio.close();
    root.replaceChildren();
  };
}

/** What anywidget calls with the widget's model. */
export function render({ model, el }) {
  // JupyterLab would take the keys for its own.
  el.dataset.lmSuppressShortcuts = "true";
  return mount(el, modelLink(model));
}

/** Knows when a slider is in somebody's hand. */
function takeHolds(root, studio) {
  const held = (event) => event.target.matches("input[type=range]") && studio.hold(true);
  const letGo = () => studio.hold(false);
  root.addEventListener("pointerdown", held);
  for (const name of ["pointerup", "pointercancel"]) window.addEventListener(name, letGo);
  return () => {
    for (const name of ["pointerup", "pointercancel"]) window.removeEventListener(name, letGo);
  };
}

/** Listens to the keys of the stage, wherever nobody types. */
function takeKeys(where, root, studio, stage) {
  const { zoomed } = stage;
  const keys = {
    "+": () => zoomed.zoom(1.5),
    "=": () => zoomed.zoom(1.5),
    "-": () => zoomed.zoom(1 / 1.5),
    0: () => zoomed.zoom(0),
    b: () => toggleCompare(studio),
    f: () => stage.fill(),
  };
  const arrows = {
    ArrowLeft: () => zoomed.move(STEP, 0),
    ArrowRight: () => zoomed.move(-STEP, 0),
    ArrowUp: () => zoomed.move(0, STEP),
    ArrowDown: () => zoomed.move(0, -STEP),
  };

  function listen(event) {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || !studio.state.photo) return;
    if (target.closest?.("select, dialog, textarea, input[type=text]")) return;
    const act = keys[key.toLowerCase()] ?? (target === stage.wall ? arrows[key] : null);
    if (!act) return;
    event.preventDefault();
    act();
  }

  where.addEventListener("keydown", listen);
  return () => where.removeEventListener("keydown", listen);
}

/** Makes the line on the picture that tells of errors, of what was done, and of the connection. */
function makeToast(studio) {
  const text = h("p", {});
  const undo = button("Undo", () => studio.do("undo"), { class: "text" });
  const dismiss = iconButton("away", "Dismiss", hide);
  const node = h("div", { class: "toast", hidden: true }, text, undo, dismiss);
  let note = null;
  let timer;

  function hide() {
    note = null;
    if (studio.state.error || studio.state.note) studio.do("dismiss");
    studio.state.error = studio.state.note = null;
    studio.look({ error: null });
  }

  function hear() {
    if (note === studio.state.note) return;
    note = studio.state.note;
    clearTimeout(timer);
    if (note) timer = setTimeout(hide, NOTE_FOR);
  }

  function update() {
    hear();
    const { end, error, status } = studio.local;
    const lost = status === "lost" ? "The connection is lost. Trying again …" : null;
    const wrong = error ?? studio.state.error?.text;
    const said = end ?? lost ?? wrong ?? note?.text;
    put(node, { hidden: !said, role: wrong ? "alert" : "status", "data-wrong": Boolean(wrong) });
    put(text, { text: said ?? "" });
    put(undo, { hidden: !note?.undo || said !== note.text });
    put(dismiss, { hidden: Boolean(end ?? lost) });
  }

  return { node, update };
}

/** Makes what screen readers tell: what goes on, but not every percent of it. */
function makeTeller(studio) {
  const node = h("p", { class: "unseen", role: "status" });
  let before = "";

  function update() {
    const text = studio.state.waiting ?? studio.state.work.text;
    const gist = text.replace(/\d+/g, "");
    if (gist !== before) put(node, { text });
    before = gist;
  }

  return { node, update };
}

/** Makes the last line: the name, and what becomes of the pictures. */
function makeFoot(studio, isPage) {
  const text = h("span", {});
  const node = h("footer", { class: "soft" }, h(isPage ? "h1" : "b", { text: "mnst" }), text);

  function update() {
    const here = "Photos and paintings stay on this machine.";
    const gone = "What is painted here is forgotten when you leave: save what you like.";
    put(text, { text: studio.state.limits.forget_at_end ? gone : here });
  }

  return { node, update };
}
