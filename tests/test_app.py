"""What `mnst app` says before it serves; test_browser.py has the page itself."""

import json
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mnst.cli import main
from mnst.studio import app


@pytest.fixture
def taken():
    """A port of this machine on which somebody else serves."""
    with socket.socket() as other:
        other.bind((app.ADDRESS, 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_taken_port_is_said_in_a_line(taken, capsys):
    assert main(["app", "--port", str(taken), "--no-browser"]) == 2
    said = f"mnst: port {taken} is taken, or not yours to use: give another --port\n"
    assert capsys.readouterr().err == said


@pytest.fixture
def served(monkeypatch):
    """Holds the configuration of every server that Voila was to start."""
    started = []

    class Voila:
        def __init__(self, *, config, config_file_paths):
            self.config = config.Voila

        def initialize(self, arguments):
            assert Path(self.notebook_path).is_file()

        def start(self):
            started.append(self.config)

    monkeypatch.setitem(sys.modules, "voila", SimpleNamespace(app=SimpleNamespace(Voila=Voila)))
    return started


def test_without_a_port_the_next_free_one_is_taken(taken, served, monkeypatch, capsys):
    monkeypatch.setattr(app, "PORT", taken)
    assert main(["app", "--no-browser"]) == 0
    (config,) = served
    assert taken < config.port < taken + 50
    assert (config.ip, config.open_browser) == ("127.0.0.1", False)
    assert capsys.readouterr().err == f"http://127.0.0.1:{config.port}/  (Ctrl-C ends it)\n"


def test_a_port_that_is_free_is_taken(served):
    with socket.socket() as probe:
        probe.bind((app.ADDRESS, 0))
        free = probe.getsockname()[1]
    assert main(["app", "--port", str(free)]) == 0
    assert (served[0].port, served[0].open_browser) == (free, True)


@pytest.mark.parametrize("port", ["0", "65536", "-1"])
def test_what_is_no_port(port, capsys):
    assert main(["app", f"--port={port}"]) == 2
    said = f"mnst: port is {port}: give one of 1 to 65535, such as 8866\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("missing", ["voila", "ipywidgets"])
def test_without_voila_it_says_how_to_get_it(missing, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(["app", "--no-browser"]) == 2
    said = "mnst: the page needs Voila: pip install 'mnst[notebooks]'\n"
    assert capsys.readouterr().err == said


def test_the_notebook_comes_with_the_package_and_without_outputs():
    notebook = json.loads(app.NOTEBOOK.read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in code)
    assert "paths=False" in code[0]["source"][-1]
