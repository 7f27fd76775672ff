"""`mnst app` as a real process, and clients that talk to it as a browser does, or as none would."""

import contextlib
import itertools
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
import uuid

import psutil
import websocket

PROTOCOL = "v1.kernel.websocket.jupyter.org"
PATIENCE = 120  # seconds, on a machine that is busy otherwise


class Site:
    """A server of its own, in a folder of its own; `address` is what it printed."""

    def __init__(self, folder, **environment):
        variables = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
        own = {name: str(folder / f".{name.lower()}") for name in variables}
        self.log = folder / ".log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mnst", "app", "--no-browser", "--port", str(free_port())],
                cwd=folder,
                env={**os.environ, **own, **environment},
                stdout=log,
                stderr=log,
            )
        self.server = psutil.Process(self.process.pid)
        until(self._said)
        self.address = re.match(r"(http://\S+/)  \(", self.log.read_text())[1]
        self.port = int(self.address.split("/")[2].partition(":")[2])
        until(self._listens)

    def _said(self):
        assert self.process.poll() is None, self.log.read_text()
        return "Ctrl-C" in self.log.read_text()

    def _listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)

    def ask(self, path="", method="GET", body=None, **headers):
        """Returns the code and the text of an answer; `path` is below the page's, or absolute."""
        address = f"http://127.0.0.1:{self.port}{path}" if path[:1] == "/" else self.address + path
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(address, body, named, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def open(self):
        """Opens a page, up to where a browser would begin with its scripts."""
        code, text = self.ask()
        assert code == 200, text
        return Page(self, re.search(r'"kernelId": "([\w-]+)"', text)[1])

    @property
    def kernels(self):
        """The processes that run kernels."""
        found = []
        for process in self.server.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if "ipykernel_launcher" in process.cmdline():
                    found.append(process)
        return found

    @property
    def memory(self):
        """What the server and all its kernels hold, in bytes."""
        held = 0
        for process in (self.server, *self.server.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                held += process.memory_info().rss
        return held


class Page:
    """What the scripts of a page do."""

    def __init__(self, site, kernel):
        self.site, self.kernel = site, kernel

    def connect(self, *, subprotocols=(PROTOCOL,), session=None, **options):
        """Opens a websocket to the kernel."""
        site = self.site
        return websocket.create_connection(
            f"ws{site.address[4:]}api/kernels/{self.kernel}/channels"
            f"?session_id={uuid.uuid4() if session is None else session}",
            subprotocols=list(subprotocols) or None,
            **{"origin": f"http://127.0.0.1:{site.port}", "timeout": PATIENCE, **options},
        )

    def beacon(self, **headers):
        """Says goodbye, as a tab does while it is closed; it has no cookie to show."""
        return self.site.ask(f"voila/api/shutdown/{self.kernel}", "POST", b"_xsrf=", **headers)[0]


def message(kind, content=None, *, channel="shell", buffers=(), **changes):
    """A message in the websocket's binary protocol; `changes` are those of its header."""
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": kind,
        "session": "test",
        "username": "",
        "date": "2024-01-01T00:00:00Z",
        "version": "5.2",
        **changes,
    }
    parts = [json.dumps(part).encode() for part in (header, {}, {}, content or {})]
    return framed([channel.encode(), *parts, *buffers])


def framed(parts, *, offsets=None, count=None):
    """Puts parts together; `offsets` and `count` are there to lie about them."""
    if offsets is None:
        offsets = [8 * (len(parts) + 2)]
        for part in parts:
            offsets.append(offsets[-1] + len(part))
    count = len(offsets) if count is None else count
    words = b"".join(word.to_bytes(8, "little") for word in (count, *offsets))
    return words + b"".join(parts)


def closed_with(connection, seconds=10):
    """Reads until the server closes; returns its code."""
    connection.settimeout(seconds)
    while True:
        kind, content = connection.recv_data()
        if kind == websocket.ABNF.OPCODE_CLOSE:
            connection.shutdown()
            return int.from_bytes(content[:2], "big")


def answer_to(connection, sent, seconds=PATIENCE):
    """Reads until the kernel answers a request of ours on the shell channel."""
    connection.settimeout(seconds)
    while True:
        kind, content = connection.recv_data()
        assert kind == websocket.ABNF.OPCODE_BINARY, content
        count = int.from_bytes(content[:8], "little")
        offsets = [int.from_bytes(content[8 * k : 8 * k + 8], "little") for k in range(1, count)]
        channel, header = (content[a:b] for a, b in itertools.pairwise(offsets[:3]))
        if channel == b"shell" and json.loads(header)["msg_type"] == sent:
            return content


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(holds, seconds=PATIENCE):
    """Waits until it holds; returns how long that took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, "it does not come"
        time.sleep(0.05)
    return time.monotonic() - began
