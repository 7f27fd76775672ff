"""What several test files need: weights of random numbers, and a server on this machine."""

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from chromium import CHROMIUM


def pytest_runtest_setup(item):
    for marker, variable in (("weights", "MNST_VGG19_WEIGHTS"), ("deeplab", "MNST_DEEPLAB")):
        if item.get_closest_marker(marker) and not os.environ.get(variable):
            pytest.skip(f"{variable} is not set")


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory):
    """The path of weights for VGG19 without its top: random numbers, in Keras' present format."""
    from mnst.backend import keras

    yield from _random_file(keras.applications.VGG19, tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def random_vgg16_weights(tmp_path_factory):
    """The same for VGG16."""
    from mnst.backend import keras

    yield from _random_file(keras.applications.VGG16, tmp_path_factory.mktemp("weights"))


def _random_file(application, folder):
    model = application(include_top=False, weights=None)
    random = np.random.default_rng(19)
    values = []
    for kernel, bias in zip(*[iter(model.weights)] * 2, strict=True):
        # He's scale keeps activations as large as the pixels, from the first layer to the last.
        scale = np.sqrt(2 / np.prod(kernel.shape[:3]))
        values.append(scale * random.standard_normal(kernel.shape, np.float32))
        values.append(10 * random.standard_normal(bias.shape, np.float32))
    model.set_weights(values)
    path = folder / "random.weights.h5"
    model.save_weights(path)
    yield path
    path.unlink()


@pytest.fixture
def clean_environment(tmp_path, monkeypatch):
    """The variables for a fresh process: none that chooses weights or quiets TensorFlow."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    for name in (
        "MNST_VGG19_WEIGHTS",
        "MNST_VGG16_WEIGHTS",
        "MNST_DEEPLAB",
        "KERAS_BACKEND",
        "TF_CPP_MIN_LOG_LEVEL",
    ):
        monkeypatch.delenv(name, raising=False)
    return dict(os.environ)


@pytest.fixture
def tripwire(monkeypatch):
    """Ends with SystemExit whatever needs TensorFlow or Keras, as if it had to import them."""
    from mnst import backend

    def trip():
        raise SystemExit("TensorFlow was imported")

    for module in (backend.keras, backend.tf):
        monkeypatch.setattr(module, "_load", trip)


@pytest.fixture
def refused(tripwire, clean_environment, capfd):
    """Runs `mnst` in this process; returns the one line with which it refuses its arguments.

    That is before TensorFlow is loaded, with exit code 2, and with nothing on standard output.
    """
    from mnst.cli import main

    def run(*arguments):
        try:
            code = main(arguments)
        except SystemExit as ended:  # by argparse, or by the tripwire
            code = ended.code
        shown = capfd.readouterr()
        assert code == 2
        assert shown.out == ""
        assert shown.err.startswith("mnst")
        assert shown.err.count("\n") == 1
        return shown.err

    return run


@pytest.fixture(scope="module")
def browser():
    """A real Chromium."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        # Chromium's sandbox needs rights that containers often lack.
        running = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


class Server(ThreadingHTTPServer):
    """Answers on a free port of this machine with what `put` was given."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.answers = {}
        self.asked = []  # the paths that were asked for
        self.headers = []  # and with what
        self.stalls_end = threading.Event()

    def put(self, path, body=b"", *, status=200, length=None, stall=None, location=None, drip=None):
        """Sets an answer and returns its address.

        `length` is what Content-Length claims; `stall`, "before" or "after" the body, is where
        the server falls silent and keeps the connection; `location` is where it leads to; `drip`,
        "head" or "body", is what comes a byte every tenth of a second.
        """
        claimed = len(body) if length is None else length
        self.answers[path] = (body, status, claimed, stall, location, drip)
        return self.address + path

    def handle_error(self, request, client_address):
        """Clients that hang up are part of the tests."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.server.headers.append(self.headers)
        nothing = (b"", 404, 0, None, None, None)
        body, status, length, stall, location, drip = self.server.answers.get(self.path, nothing)
        if drip == "head":
            self.drip(b"HTTP/1.0 200 " + b"O" * 200)
        if stall == "before":
            self.server.stalls_end.wait(20)
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        if location is not None:
            self.send_header("Location", location)
        self.end_headers()
        self.drip(body) if drip else self.wfile.write(body)
        if stall == "after":
            self.server.stalls_end.wait(20)

    def drip(self, data):
        for byte in data:
            self.wfile.write(bytes([byte]))
            if self.server.stalls_end.wait(0.1):
                return

    def log_message(self, *_):
        """Keeps standard error to what is tested."""


@pytest.fixture
def server(monkeypatch):
    """A web server on this machine that answers what the test has put there, else 404."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.stalls_end.set()
        running.shutdown()
