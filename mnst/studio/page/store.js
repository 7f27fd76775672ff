/** What the page knows: the state that Python tells, the controls' own values, the pictures. */

/**
 * @typedef {{id: string, name: string, credit?: string, picture: string|null}} Picture
 * @typedef {{form: number[], colour: number[], linked: boolean, strength: number|null, stroke: number,
 *   keep_people: boolean, keep_colours: boolean, quality: string}} Controls
 * @typedef {{id: string, name: string, kind: "painting"|"film", picture: string, width: number,
 *   height: number, made: string, seconds: number, text: string, larger: {times: number, width: number, height: number}[],
 *   suffix: string, complete: boolean}} Painting
 * @typedef {{url: string, of: string, step: number, width: number, height: number,
 *   rough: boolean}} Frame the picture of now
 */

const NOTHING = {
  photo: null,
  styles: [],
  room: 4,
  samples: [],
  gallery: [],
  controls: null,
  qualities: [],
  people: { state: "unknown", text: "", picture: null },
  work: { kind: "idle", text: "", done: null, seconds_left: null, can_stop: false },
  waiting: null,
  history: [],
  showing: null,
  shown: null,
  comparing: null,
  error: null,
  note: null,
  limits: { styles: 4, upload: Infinity, visitors: false, forget_at_end: false },
  busy_opening: false,
};

const MOST_PICTURES = 150;
const OWN_FOR = 2000; // milliseconds for which a control's own value stands against Python's
const FRAME_KEPT = 5000; // milliseconds, since it may still be decoded

/** Pictures by their ids, fetched when they are first asked for. */
export class Pictures {
  #urls = new Map(); // from the one that was used the longest ago
  #films = new Set();
  #asked = new Set();
  #gone = new Set(); // of these, what Python doesn't have
  #used = new Set(); // since the last tidying
  #wanted = [];

  /** @param {(ids: string[]) => void} fetch */
  constructor(fetch) {
    this.fetch = fetch;
  }

  /** Returns the address of a picture, or null while it isn't there. */
  url(id) {
    if (!id) return null;
    this.#used.add(id);
    const url = this.#urls.get(id);
    if (url === undefined) return this.#ask(id);
    this.#urls.delete(id);
    this.#urls.set(id, url);
    return url;
  }

  #ask(id) {
    if (!this.#asked.has(id)) {
      this.#asked.add(id);
      if (this.#wanted.push(id) === 1) queueMicrotask(() => this.fetch(this.#wanted.splice(0)));
    }
    return null;
  }

  take({ id, type, missing }, buffers) {
    if (missing) this.#gone.add(id);
    if (missing || this.#urls.has(id)) return;
    this.#urls.set(id, URL.createObjectURL(new Blob(buffers, { type })));
    if (type.startsWith("video/")) this.#films.add(id);
    this.#asked.delete(id);
  }

  isFilm(id) {
    return this.#films.has(id);
  }

  isComing(id) {
    return this.#asked.has(id) && !this.#gone.has(id);
  }

  /** Asks again for what never came. */
  askAgain() {
    this.#asked.clear();
    this.#gone.clear();
  }

  /** Drops the oldest that weren't used since it was last called. */
  tidy() {
    for (const [id, url] of this.#urls) {
      if (this.#urls.size <= MOST_PICTURES) break;
      if (!this.#used.has(id)) this.#drop(id, url);
    }
    this.#used.clear();
  }

  #drop(id, url) {
    URL.revokeObjectURL(url);
    this.#urls.delete(id);
  }

  clear() {
    for (const [id, url] of this.#urls) this.#drop(id, url);
  }
}

/** The state of one page or widget; its parts are drawn anew whenever it changes. */
export class Studio {
  state = { ...NOTHING };
  /** What this page alone knows: what is looked at, and how. */
  local = { status: "opening", end: null, error: null, compare: false, people: false, choosing: false };
  /** @type {Frame|null} */
  frame = null;
  pictures = new Pictures((ids) => this.do("fetch", { pictures: ids }));
  #own = {}; // controls that Python hasn't confirmed
  #unsent = {};
  #timer;
  #drawing = 0;
  #held = false;

  /**
   * @param {import("./link.js").Link} link
   * @param {() => void} draw
   */
  constructor(link, draw) {
    this.link = link;
    this.draw = draw;
    link.listen((message, buffers) => this.#hear(message, buffers));
    link.onstatus((status) => this.#turn(status));
  }

  /** @returns {Controls|null} */
  get controls() {
    return this.state.controls && { ...this.state.controls, ...this.#own };
  }

  get isBusy() {
    return ["painting", "film"].includes(this.state.work.kind);
  }

  /** Asks Python for something, with the controls as they are shown now. */
  do(what, details = {}, buffers = []) {
    this.#send();
    this.link.send({ do: what, ...details }, buffers);
  }

  /** Changes what this page alone knows. */
  look(changes) {
    Object.assign(this.local, changes);
    this.changed();
  }

  /** Moves controls: shown at once, and sent with the next picture of the screen. */
  set(changes) {
    Object.assign(this.#own, changes);
    Object.assign(this.#unsent, changes);
    this.#letGo();
    this.changed();
  }

  /** Says whether a slider is in somebody's hand. */
  hold(held) {
    this.#held = held;
    this.#letGo();
  }

  #letGo() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#held || this.local.status !== "open") return this.#letGo();
      this.#own = {};
      this.changed();
    }, OWN_FOR);
  }

  /** Draws all parts with the next picture of the screen. */
  changed() {
    this.#drawing ||= requestAnimationFrame(() => {
      this.#drawing = 0;
      // Without a connection only the last of many moves is worth being sent.
      if (this.local.status === "open") this.#send();
      this.draw();
      this.pictures.tidy();
    });
  }

  #send() {
    if (!Object.keys(this.#unsent).length) return;
    this.link.send({ do: "set", controls: this.#unsent });
    this.#unsent = {};
  }

  #turn(status) {
    if (status === "open") {
      this.pictures.askAgain();
      this.do("hello");
    }
    this.look({ status });
  }

  #hear(message, buffers) {
    if (message.is === "state") this.#takeState(message);
    else if (message.is === "picture") this.pictures.take(message, buffers);
    else if (message.is === "frame") this.#takeFrame(message, buffers);
    else if (message.is === "file") save(message, buffers);
    else if (message.is === "end") this.#finish(message.text);
    this.changed();
  }

  #takeState({ is, ...told }) {
    const { photo, styles } = this.state;
    Object.assign(this.state, told);
    if (this.state.photo?.picture !== photo?.picture) this.#forgetFrame();
    if (this.state.people.state === "nobody") this.local.people = false;
    // Shares of other styles than those that are there now mean nothing. After a lost connection
    // the same styles are told again.
    if (named(this.state.styles) !== named(styles))
      for (const name of ["form", "colour"]) this.#forget(name);
    for (const [name, value] of Object.entries(told.controls ?? {}))
      if (isSame(value, this.#own[name])) delete this.#own[name];
  }

  #forget(name) {
    delete this.#own[name];
    delete this.#unsent[name];
  }

  #takeFrame({ is, seq, ...told }, buffers) {
    this.#forgetFrame();
    const url = URL.createObjectURL(new Blob(buffers, { type: "image/jpeg" }));
    this.frame = { ...told, url };
  }

  #forgetFrame() {
    const old = this.frame?.url;
    if (old) setTimeout(() => URL.revokeObjectURL(old), FRAME_KEPT);
    this.frame = null;
  }

  #finish(text) {
    this.link.close();
    this.local.end = text;
  }

  close() {
    cancelAnimationFrame(this.#drawing);
    clearTimeout(this.#timer);
    this.link.close();
    this.#forgetFrame();
    this.pictures.clear();
  }
}

/** Names styles, in their order, whatever a server that was started anew calls them. */
function named(styles) {
  return styles.map((style) => style.picture).join();
}

function isSame(value, other) {
  if (!Array.isArray(value) || !Array.isArray(other)) return value === other;
  return value.length === other.length && value.every((x, i) => Math.abs(x - other[i]) < 1e-6);
}

/** Saves a file as the browser saves files. */
function save({ name, type }, buffers) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(buffers, { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
