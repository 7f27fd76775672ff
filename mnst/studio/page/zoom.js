/** Zooming and moving a sheet that lies in the middle of a wall, by hand, wheel and keys. */

const MOST = 16;
const HELD = 300; // milliseconds after which a press is a peek
const STILL = 6; // pixels that a finger may tremble

/**
 * @param {HTMLElement} wall what is seen
 * @param {{fitted: () => {width: number, height: number, pixels: number}, changed: () => void,
 *   peek: (on: boolean) => void, takesWheel: (event: WheelEvent) => boolean}} given `fitted` says
 *   how large the sheet is where it just fits, and how wide in pixels of its own
 */
export function zoomable(wall, given) {
  const view = { scale: 1, x: 0, y: 0 };
  const fingers = new Map();
  let peeking = 0;

  function put(scale, x, y) {
    const { width, height } = given.fitted();
    view.scale = Math.min(MOST, Math.max(1, scale));
    view.x = within(x, (width * view.scale - wall.clientWidth) / 2);
    view.y = within(y, (height * view.scale - wall.clientHeight) / 2);
    given.changed();
  }

  /** Zooms so that the point under the pointer, or the middle, stays where it is. */
  function zoom(factor, event) {
    const scale = Math.min(MOST, Math.max(1, view.scale * factor));
    const at = event ? fromMiddle(event) : { x: 0, y: 0 };
    const grown = scale / view.scale;
    put(scale, at.x - (at.x - view.x) * grown, at.y - (at.y - view.y) * grown);
  }

  function fromMiddle({ clientX, clientY }) {
    const box = wall.getBoundingClientRect();
    return { x: clientX - box.left - box.width / 2, y: clientY - box.top - box.height / 2 };
  }

  /** From fitting to a pixel for a pixel, or twice as large where that is smaller, and back. */
  function toggle(event) {
    const { width, pixels } = given.fitted();
    const real = pixels / width / devicePixelRatio;
    zoom(view.scale > 1 ? 0 : real > 1.2 ? real : 2, event);
  }

  function stopPeeking() {
    clearTimeout(peeking);
    given.peek(false);
  }

  wall.addEventListener("pointerdown", (event) => {
    if (event.button || event.target.closest("button, [role=slider], video[controls]")) return;
    wall.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, event);
    stopPeeking();
    if (fingers.size === 1) peeking = setTimeout(() => given.peek(true), HELD);
  });
  wall.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const [x, y] = [event.clientX - before.clientX, event.clientY - before.clientY];
    if (fingers.size === 1 && Math.hypot(x, y) < STILL && view.scale === 1) return;
    stopPeeking();
    if (fingers.size === 1) put(view.scale, view.x + x, view.y + y);
    else pinch(before, event);
    fingers.set(event.pointerId, event);
  });
  for (const over of ["pointerup", "pointercancel"])
    wall.addEventListener(over, (event) => fingers.delete(event.pointerId) && stopPeeking());
  wall.addEventListener("dblclick", (event) => event.target.closest("button") || toggle(event));
  wall.addEventListener(
    "wheel",
    (event) => {
      if (!given.takesWheel(event)) return;
      event.preventDefault();
      zoom(Math.exp(-event.deltaY / 400), event);
    },
    { passive: false },
  );

  function pinch(before, now) {
    const other = [...fingers.values()].find((finger) => finger.pointerId !== now.pointerId);
    const apart = (finger) =>
      Math.hypot(finger.clientX - other.clientX, finger.clientY - other.clientY);
    const clientX = (now.clientX + other.clientX) / 2;
    const clientY = (now.clientY + other.clientY) / 2;
    zoom(apart(now) / Math.max(1, apart(before)), { clientX, clientY });
  }

  return { view, zoom, toggle, move: (x, y) => put(view.scale, view.x + x, view.y + y) };
}

function within(value, most) {
  const limit = Math.max(0, most);
  return Math.min(limit, Math.max(-limit, value));
}
