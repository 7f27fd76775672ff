/** The picture, large: zoomed, compared under a movable line, in the whole screen. */

import { cardsIn } from "./choosing.js";
import { button, h, iconButton, mixture, percent, put, relabel } from "./dom.js";
import { zoomable } from "./zoom.js";

const MARGINS = { wide: 16, narrow: 8 }; // pixels of the wall around the picture
const NARROW = 600;

/**
 * What is looked at now: a painting of the history, the picture of now, or the photo.
 * @returns {{url: string|null, isComing?: boolean, isFilm?: boolean, width: number, height: number,
 *   label: string, alt: string}|null}
 */
function lookedAt({ state, frame, controls, pictures }) {
  const { photo, styles, showing, shown, history } = state;
  const painting = history.find(({ id }) => id === showing);
  if (painting) {
    const large = shown?.id === showing ? shown : painting;
    const url = pictures.url(large.picture) ?? pictures.url(painting.picture);
    const alt = `${painting.name}: ${painting.text}`;
    const isFilm = pictures.isFilm(large.picture);
    const isComing = pictures.isComing(large.picture);
    return { ...large, url, isComing, isFilm, label: painting.name, alt };
  }
  if (!photo) return null;
  if (!frame || !styles.length) {
    const alt = `The photo ${photo.name}`;
    return { ...photo, url: pictures.url(photo.picture), label: "Photo", alt };
  }
  const label = frame.of === "painting" ? "Painting" : "Preview";
  const alt = `The photo ${photo.name} painted as ${mixture(styles, controls.form)}`;
  return { ...frame, label, alt };
}

/**
 * Shows one address after the other without a flash between them.
 * @returns {(url: string|null) => void}
 */
function shower(img) {
  let wanted = null;
  let shown = null;
  let isBusy = false;

  async function advance() {
    isBusy = true;
    while (wanted !== shown) {
      const url = wanted;
      if (url) await decoded(url);
      put(img, { src: url, hidden: !url });
      shown = url;
    }
    isBusy = false;
  }

  return (url) => {
    wanted = url;
    if (!isBusy) advance();
  };
}

async function decoded(url) {
  const image = new Image();
  image.src = url;
  await image.decode().catch(() => {}); // what can't be shown is told by its alt text
}

function isSameShape(one, other) {
  const ratio = (one.width * other.height) / (other.width * one.height);
  return Math.abs(ratio - 1) < 0.02; // sizes are rounded to whole pixels
}

/** Makes the stage; `isPage`: there is nothing else to scroll by the wheel. */
export function makeStage(studio, { choosePhoto, isPage }) {
  const before = h("img", { alt: "", hidden: true, draggable: "false" });
  const painting = h("img", { alt: "", hidden: true, draggable: "false" });
  const film = makeFilm();
  const after = h("div", { class: "after" }, painting, film);
  const people = h("img", { alt: "", hidden: true, draggable: "false", class: "people" });
  const sheet = h("div", { class: "picture" }, before, after, people);
  const line = makeLine((to) => moveLine(to));
  const wall = h("div", { class: "wall", tabindex: 0, role: "group" }, sheet, line.node);
  put(wall, { "aria-label": "The picture: plus and minus zoom, arrows move, B compares, F fills" });
  const badge = h("p", { class: "badge" });
  const change = button("Change photo", choosePhoto, { class: "quiet change" });
  const tools = makeTools(studio, () => zoomed, () => fillScreen(node));
  const empty = makeEmpty(studio, choosePhoto);
  const node = h("section", { class: "stage", "aria-label": "Picture" });
  node.append(wall, empty.node, badge, change, tools.node);

  const showers = [before, painting, people].map(shower);
  let shape = { width: 1, height: 1 };
  let split = 0.5;
  let isPeeking = false;
  const zoomed = zoomable(wall, {
    fitted,
    changed: place,
    takesWheel: (event) => isPage || event.ctrlKey || event.metaKey,
    peek(on) {
      isPeeking = on;
      place();
    },
  });
  new ResizeObserver(() => zoomed.move(0, 0)).observe(wall);

  function fitted() {
    const margin = wall.clientWidth < NARROW ? MARGINS.narrow : MARGINS.wide;
    const room = [wall.clientWidth - 2 * margin, wall.clientHeight - 2 * margin];
    const scale = Math.min(room[0] / shape.width, room[1] / shape.height);
    const [width, height] = [shape.width * scale, shape.height * scale];
    return { width: Math.max(1, width), height: Math.max(1, height), pixels: shape.width };
  }

  function isComparing() {
    return Boolean(studio.local.compare || studio.state.comparing);
  }

  /** Puts the sheet where it is zoomed to, and the line on what is seen of it. */
  function place() {
    const { width, height } = fitted();
    const { scale, x, y } = zoomed.view;
    sheet.style.width = `${width}px`;
    sheet.style.height = `${height}px`;
    sheet.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
    const left = wall.clientWidth / 2 + x - (width * scale) / 2;
    const seen = [Math.max(0, left), Math.min(wall.clientWidth, left + width * scale)];
    const at = seen[0] + split * (seen[1] - seen[0]);
    const hidden = isPeeking ? 1 : isComparing() ? (at - left) / (width * scale) : 0;
    after.style.clipPath = `inset(0 0 0 ${100 * hidden}%)`;
    // Its edge would be seen beside the other's, where these lie between two pixels.
    before.style.visibility = hidden > 0 ? "visible" : "hidden";
    wall.classList.toggle("zoomed", scale > 1);
    line.place(seen, at, split);
    tools.place(scale);
  }

  function moveLine(to) {
    split = Math.min(1, Math.max(0, to));
    place();
  }

  function update() {
    const { photo, comparing } = studio.state;
    const now = lookedAt(studio);
    put(wall, { hidden: !now });
    empty.update(!now);
    const under = comparing ?? photo;
    showers[0](studio.pictures.url(under?.picture));
    // The picture of the last step stays until the painting is there, which is fetched.
    const isKept = now && !now.url && now.isComing && isSameShape(now, shape);
    if (!isKept) showers[1](now?.isFilm ? null : (now?.url ?? null));
    put(film, { src: now?.isFilm ? now.url : null, hidden: !now?.isFilm, "aria-label": now?.alt });
    showers[2](studio.local.people ? studio.pictures.url(studio.state.people.picture) : null);
    put(painting, { alt: now?.alt ?? "" });
    put(line.node, { hidden: !isComparing() });
    const said = (id) => studio.state.history.find((painting) => painting.id === id)?.text;
    const labels = comparing ? [comparing.id, studio.state.showing].map(said) : [];
    line.name(labels[0] ?? "Photo", labels[1] ?? now?.label ?? "");
    const opening = studio.state.busy_opening ? "Opening …" : now?.label;
    put(badge, { text: opening ?? "", hidden: !opening });
    const isSharpening = studio.state.work.kind === "live" && !studio.state.showing;
    put(badge, { "data-busy": studio.state.busy_opening || isSharpening });
    put(change, { hidden: !now });
    tools.update(Boolean(now), isComparing());
    if (now?.width) shape = { width: now.width, height: now.height };
    place();
  }

  return { node, wall, update, zoomed, fill: () => fillScreen(node) };
}

/** Makes what plays films that aren't pictures; by itself, unless somebody wants no motion. */
function makeFilm() {
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const attributes = { loop: true, playsinline: true, autoplay: !isCalm, controls: isCalm };
  const film = h("video", { ...attributes, hidden: true });
  film.muted = true; // or it wouldn't play by itself
  return film;
}

/** Makes the line between before and after, with what is on either side of it. */
function makeLine(move) {
  const sides = [h("span", { class: "side-name before" }), h("span", { class: "side-name" })];
  const node = h("div", { class: "line", role: "slider", tabindex: 0 }, h("i"), sides);
  put(node, { "aria-label": "Line between before and after", "aria-valuemin": 0 });
  put(node, { "aria-valuemax": 100, "aria-orientation": "horizontal" });
  let seen = [0, 1];
  let split = 0.5;
  const steps = { ArrowLeft: -0.02, ArrowRight: 0.02, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 };

  node.addEventListener("keydown", (event) => {
    if (!(event.key in steps)) return;
    event.preventDefault();
    event.stopPropagation();
    move(split + steps[event.key]);
  });
  node.addEventListener("pointerdown", (event) => node.setPointerCapture(event.pointerId));
  node.addEventListener("pointermove", (event) => {
    if (!node.hasPointerCapture(event.pointerId)) return;
    const x = event.clientX - node.parentElement.getBoundingClientRect().left;
    move((x - seen[0]) / (seen[1] - seen[0]));
  });

  return {
    node,
    place(edges, at, to) {
      [seen, split] = [edges, to];
      node.style.left = `${at}px`;
      put(node, { "aria-valuenow": Math.round(100 * to), "aria-valuetext": `${percent(to)} before` });
    },
    name(left, right) {
      put(sides[0], { text: left });
      put(sides[1], { text: right });
    },
  };
}

/** Makes the buttons that lie on the picture. */
function makeTools(studio, zoomed, fill) {
  const compare = iconButton("compare", "Compare with the photo", () => toggleCompare(studio));
  put(compare, { "aria-keyshortcuts": "B" });
  const people = iconButton("people", "Show the people that are found", () => togglePeople(studio));
  const size = button("Fit", () => zoomed().toggle(), { class: "size", title: "Fit, or a pixel a pixel" });
  const node = h("div", { class: "tools", role: "toolbar", "aria-label": "View" }, [
    compare,
    people,
    iconButton("less", "Zoom out", () => zoomed().zoom(1 / 1.5)),
    size,
    iconButton("add", "Zoom in", () => zoomed().zoom(1.5)),
    document.fullscreenEnabled &&
      iconButton("full", "Whole screen", fill, { "aria-keyshortcuts": "F" }),
  ]);

  function update(isThere, isComparing) {
    put(node, { hidden: !isThere });
    put(compare, { "aria-pressed": String(isComparing) });
    relabel(compare, studio.state.comparing ? "End the comparison" : "Compare with the photo");
    put(people, { "aria-pressed": String(studio.local.people) });
  }

  const place = (scale) => put(size, { text: scale === 1 ? "Fit" : percent(scale) });
  return { node, update, place };
}

export function toggleCompare(studio) {
  if (studio.state.comparing) {
    studio.do("compare", { painting: null });
    studio.look({ compare: false });
  } else studio.look({ compare: !studio.local.compare });
}

function togglePeople(studio) {
  const wanted = !studio.local.people;
  if (wanted && !studio.state.people.picture) studio.do("find_people");
  studio.look({ people: wanted });
}

function fillScreen(stage) {
  if (document.fullscreenElement) document.exitFullscreen();
  else stage.requestFullscreen?.();
}

/** Makes what is there before there is a photo. */
function makeEmpty(studio, choosePhoto) {
  const samples = h("div", { class: "samples" });
  const or = h("p", { class: "soft", text: "or try one of these" });
  const node = h("div", { class: "empty" }, [
    h("h2", { text: "Drop a photo here" }),
    h("p", { class: "soft", text: "or paste one" }),
    button("Choose a photo", choosePhoto, { class: "primary" }),
    or,
    samples,
  ]);
  const showSamples = cardsIn(samples, studio, ({ id }) => studio.do("photo", { sample: id }));

  function update(isEmpty) {
    put(node, { hidden: !isEmpty || !studio.controls });
    put(or, { hidden: !studio.state.samples.length });
    if (isEmpty) showSamples(studio.state.samples);
  }

  return { node, update };
}
