/** How the page and Python talk: over a WebSocket on a web page, by the model in a notebook. */

/**
 * @typedef {object} Link
 * @property {(message: object, buffers?: (ArrayBuffer|ArrayBufferView)[]) => void} send
 * @property {(callback: (message: object, buffers: ArrayBufferView[]) => void) => void} listen
 * @property {(callback: (status: "open"|"lost") => void) => void} onstatus
 * @property {() => void} close
 */

const WAITS = [500, 1000, 2000, 5000]; // milliseconds, from one try to the next

/**
 * Joins a message and its buffers: the length of a JSON text, the text, the buffers.
 * @returns {Blob}
 */
function pack(message, buffers) {
  const sizes = buffers.map((buffer) => buffer.byteLength);
  const text = new TextEncoder().encode(JSON.stringify({ message, sizes }));
  const length = new DataView(new ArrayBuffer(4));
  length.setUint32(0, text.length, true);
  return new Blob([length, text, ...buffers]);
}

/** Takes apart what `pack`, or Python, has joined. */
function unpack(data) {
  const length = new DataView(data).getUint32(0, true);
  const text = new TextDecoder().decode(new Uint8Array(data, 4, length));
  const { message, sizes } = JSON.parse(text);
  let at = 4 + length;
  const buffers = sizes.map((size) => new Uint8Array(data, (at += size) - size, size));
  return { message, buffers };
}

function beside(name) {
  const address = new URL(name, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  return address;
}

/**
 * Links to the server of this page, and again whenever the connection is lost. What is sent
 * meanwhile waits.
 * @returns {Link}
 */
export function socketLink(address = beside("./link")) {
  let socket, timer, onmessage, onchange;
  let tries = 0;
  let waiting = [];
  let ended = false;
  const isOpen = () => socket?.readyState === WebSocket.OPEN;

  function opened() {
    tries = 0;
    for (const frame of waiting) socket.send(frame);
    waiting = [];
    onchange?.("open");
  }

  function lost() {
    if (ended) return;
    onchange?.("lost");
    timer = setTimeout(connect, WAITS[Math.min(tries++, WAITS.length - 1)]);
  }

  function connect() {
    socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    socket.onopen = opened;
    socket.onclose = lost;
    socket.onmessage = ({ data }) => {
      const { message, buffers } = unpack(data);
      onmessage?.(message, buffers);
    };
  }

  connect();
  return {
    send(message, buffers = []) {
      const frame = pack(message, buffers);
      if (isOpen()) socket.send(frame);
      else waiting.push(frame);
    },
    listen: (callback) => (onmessage = callback),
    onstatus: (callback) => (onchange = callback),
    close() {
      ended = true;
      clearTimeout(timer);
      socket.close();
    },
  };
}

/**
 * Links to the kernel by the widget's model.
 * @returns {Link}
 */
export function modelLink(model) {
  let heard = null;
  return {
    send: (message, buffers = []) => model.send(message, undefined, buffers),
    listen(callback) {
      heard = callback;
      model.on("msg:custom", heard);
    },
    onstatus: (callback) => queueMicrotask(() => callback("open")),
    close: () => model.off("msg:custom", heard),
  };
}
