"""`mnst app` as a real process, and clients that talk to it as a page does, or as none would."""

import contextlib
import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import psutil
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from mnst.studio.messages import packed

PATIENCE = 120  # seconds, on a machine that is busy otherwise
SMALL = ("--backbone", "vgg19-lite", "--size", "64", "--steps", "6")


class Site:
    """A server of its own, that keeps things in a folder of its own; `address` is what it says."""

    def __init__(self, folder, *options, port=None, **environment):
        self.log, self.port = folder / "log.txt", port or free_port()
        command = [sys.executable, "-m", "mnst", "app", "--no-browser", "--port", str(self.port)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, *(options or SMALL)],
                cwd=folder,
                env={**os.environ, "MNST_STUDIO": str(folder / "studio"), **environment},
                stdout=log,
                stderr=log,
            )
        self.server = psutil.Process(self.process.pid)
        until(self._said)
        self.address = re.search(r"(http://\S+/)  \(", self.log.read_text())[1]

    def _said(self):
        assert self.process.poll() is None, self.log.read_text()
        return "Ctrl-C" in self.log.read_text()

    def end(self):
        """As Ctrl-C does; returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE)

    def kill(self):
        """Ends what is left of it, if something is."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def ask(self, path="", method="GET", body=None, **headers):
        """Returns the code and the text of an answer; `path` is below the page's, or absolute."""
        address = f"http://127.0.0.1:{self.port}{path}" if path[:1] == "/" else self.address + path
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(address, body, named, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                self.headers = answer.headers
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def ask_raw(self, method, path, headers=()):
        """Asks for a path just as it stands, which urllib would tidy; returns code and bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request(method, path, headers=dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read()

    def open(self, **options):
        """Opens a page's connection."""
        return Client(self, **options)

    def refuses(self, **options):
        """Returns the code with which a connection is refused; None, if it isn't."""
        try:
            Client(self, **options).close()
        except InvalidStatus as refused:
            return refused.response.status_code
        return None

    def visitor(self):
        """Comes as a new visitor does; returns the headers by which they are known."""
        assert self.ask()[0] == 200
        return {"Cookie": self.headers["Set-Cookie"].partition(";")[0]}

    @property
    def memory(self):
        """What the server holds, in bytes."""
        return self.server.memory_info().rss


class Client:
    """What the scripts of a page do: it keeps the state that it is told, and what else comes."""

    def __init__(self, site, *, origin=None, path="link", headers=None, **options):
        self.state, self.frames, self.pictures, self.files = {}, [], {}, []
        self.ended = None
        self._connected = contextlib.ExitStack()
        connects = connect(
            f"ws{site.address[4:]}{path}",
            origin=f"http://127.0.0.1:{site.port}" if origin is None else origin or None,
            additional_headers=headers,
            max_size=2**28,
            open_timeout=PATIENCE,
            **options,
        )
        self.link = self._connected.enter_context(connects)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._connected.close()

    def do(self, what, *parts, **message):
        self.link.send(packed({"do": what, **message}, parts))

    def hear(self, holds, seconds=PATIENCE):
        """Listens until something holds of this; returns how long that took."""
        began = time.monotonic()
        while not holds(self):
            left = seconds - (time.monotonic() - began)
            assert left > 0, f"still not so after {seconds} s: {self.state}"
            with contextlib.suppress(TimeoutError):
                self.take(self.link.recv(timeout=left))
        return time.monotonic() - began

    def closed_with(self):
        """Listens until the server hangs up; returns the code and the reason."""
        try:
            while True:
                self.take(self.link.recv(timeout=PATIENCE))
        except ConnectionClosed as closed:
            said = closed.rcvd
            return (1006, "") if said is None else (said.code, said.reason)

    def take(self, data):
        message, parts = read(data)
        kind = message.pop("is")
        if kind == "state":
            self.state |= message
        elif kind == "frame":
            self.frames.append((message, parts[0]))
        elif kind == "picture":
            self.pictures[message["id"]] = parts[0] if parts else None
        elif kind == "file":
            self.files.append((message["name"], parts[0]))
        else:
            self.ended = message["text"]


def read(data):
    """The object and the parts of a message: what a page's script does, not what mnst does."""
    end = 4 + int.from_bytes(data[:4], "little")
    text, parts = json.loads(data[4:end]), []
    for size in text["sizes"]:
        parts.append(data[end : end + size])
        end += size
    assert end == len(data)
    return text["message"], parts


def framed(text, *parts, length=None):
    """A message as bytes, with whatever text; `length` is what is claimed of it."""
    claimed = len(text) if length is None else length
    return b"".join([claimed.to_bytes(4, "little"), text, *parts])


def picture(seed=0, height=24, width=32, kind="PNG"):
    """A picture of random pixels, as a file."""
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(holds, seconds=PATIENCE):
    """Waits until it holds; returns how long that took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, f"still not so after {seconds} s"
        time.sleep(0.05)
    return time.monotonic() - began
