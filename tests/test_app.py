"""What `mnst app` says before it serves, and who may do what with it then."""

import json
import logging
import queue
import re
import socket
import sys
import urllib.request
from types import SimpleNamespace

import pytest
from pages import (
    Site,
    answer_to,
    closed_with,
    framed,
    free_port,
    message,
    until,
)

from mnst.cli import main
from mnst.studio import app, messages


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
    """Holds what was asked of every server that was to start; Voila takes seconds to import."""
    pytest.importorskip("voila")
    started = []

    def make_server(page, **asked):
        assert page.is_file()
        return SimpleNamespace(start=lambda: started.append(SimpleNamespace(**asked)))

    fake = SimpleNamespace(make_server=make_server)
    monkeypatch.setitem(sys.modules, "mnst.studio.server", fake)
    return started


@pytest.fixture
def opened(monkeypatch):
    """Holds the text of every file that a browser was to open."""
    read = queue.Queue()
    monkeypatch.setattr(app.webbrowser, "open", lambda at: read.put(text_of(at)))
    return read


def text_of(address):
    with urllib.request.urlopen(address) as file:
        return file.read().decode()


def test_without_a_port_the_next_free_one_is_taken(taken, served, monkeypatch, capsys):
    monkeypatch.setattr(app, "PORT", taken)
    assert main(["app", "--no-browser"]) == 0
    (server,) = served
    assert taken < server.port < taken + 50
    assert server.host == "127.0.0.1"
    said = re.fullmatch(r"(\S+)  \(Ctrl-C ends it\)\n", capsys.readouterr().err)
    assert said[1] == f"http://127.0.0.1:{server.port}/{server.secret}/"


def test_the_address_is_a_secret(served, opened, capsys, monkeypatch):
    """Another each time, and not in the browser's command line, which others can read."""
    monkeypatch.setattr(app.threading.Thread, "start", lambda self: self.run())
    assert [main(["app"]), main(["app"])] == [0, 0]
    first, second = (server.secret for server in served)
    assert first != second
    assert re.fullmatch("[0-9a-f]{32}", first)
    printed = capsys.readouterr().err.split("  ")[0]
    assert f"url={printed}" in opened.get_nowait()


def test_a_port_that_is_free_is_taken(served):
    free = free_port()
    assert main(["app", "--port", str(free), "--no-browser"]) == 0
    assert served[0].port == free


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


# Messages: what a page sends, and what none does

GOOD = message("comm_msg", {"comm_id": "a", "data": {}}, buffers=[b"picture", b""])
PARTS = [b"shell", b"{}", b"{}", b"{}", b"{}"]


def nested(depth):
    return json.loads("[" * depth + "]" * depth)


@pytest.mark.parametrize(
    "good",
    [
        GOOD,
        message("kernel_info_request"),
        message("comm_open", {"comm_id": "a", "target_name": "jupyter.widget.control"}),
        message("comm_msg", {"data": nested(30)}, buffers=[b"x"] * 256),
    ],
)
def test_what_widgets_send_is_let_through(good):
    messages.check(good)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (GOOD.decode("latin-1"), 1003),
        (b"", 1002),
        (0x7FFFFFFF.to_bytes(8, "little") + b"abcd", 1002),
        (GOOD[:-1], 1002),
        (GOOD + b"x", 1002),
        (framed(PARTS, count=2**63), 1002),
        (framed(PARTS, offsets=[56, 61, 63, 62, 67, 69]), 1002),
        (framed(PARTS, offsets=[56, 61, 63, 65, 67, 2**64 - 1]), 1002),
        (framed(PARTS, offsets=[0, 61, 63, 65, 67, 69]), 1002),
        (framed(PARTS[:4]), 1002),
        (framed([*PARTS, *[b""] * 257]), 1002),
        (framed(PARTS), 1007),  # a header that lacks everything
        (framed([b"shell", b"not JSON", b"{}", b"{}", b"{}"]), 1007),
        (framed([b"shell", b"\xff\xfe{}", b"{}", b"{}", b"{}"]), 1007),
        (message(None), 1007),
        (message({"a": 1}), 1007),
        (message("comm_msg", [1, 2]), 1007),
        (message("comm_msg", {"value": float("nan")}), 1007),
        (message("comm_msg", {"data": nested(40)}), 1007),
        (message("comm_msg").replace(b"{}", b"[" * 10**5 + b"]" * 10**5), 1002),
        (framed([*PARTS[:4], b"[" * 10**5 + b"]" * 10**5]), 1007),
        (message("comm_msg", {"data": "x" * 2**20}), 1009),
        (message("comm_msg", channel="control"), 1008),
        (message("execute_request", {"code": "1"}), 1008),
        (message("shutdown_request", {"restart": False}), 1008),
        (message("comm_open", {"comm_id": "a", "target_name": "jupyter.widget"}), 1008),
    ],
)
def test_what_no_page_sends_is_refused(bad, code):
    with pytest.raises(messages.MessageError) as refused:
        messages.check(bad)
    assert refused.value.code == code
    assert len(str(refused.value)) < 100  # it has to go into a closing frame


# A real server


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("voila")
    started = Site(tmp_path_factory.mktemp("site"))
    yield started
    started.end()


@pytest.fixture
def page(site):
    opened = site.open()
    yield opened
    opened.beacon()
    until(lambda: not site.kernels)


@pytest.mark.slow
def test_a_count_of_offsets_in_twelve_bytes_only_ends_its_connection(site, page):
    before = site.server.memory_info().rss
    connection = page.connect()
    connection.send_binary(0x7FFFFFFF.to_bytes(8, "little") + b"abcd")
    assert closed_with(connection) == 1002
    assert site.ask("/")[0] == 403  # it answers
    assert site.server.memory_info().rss < before + 2**26


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"subprotocols": ()}, 400),
        ({"subprotocols": ("another",)}, 400),
        ({"session": ""}, 400),
        ({"session": "x" * 300}, 400),
        ({"origin": "http://elsewhere.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "elsewhere.example"}, 403),
    ],
)
def test_who_is_no_page_of_ours_is_not_connected(page, options, code):
    import websocket

    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        page.connect(**options)
    assert refused.value.status_code == code


@pytest.mark.slow
def test_only_who_knows_the_address_starts_a_kernel(site):
    secret = site.address.split("/")[3]
    almost = secret[:-1] + ("1" if secret[-1] == "0" else "0")
    for path in ("/", "/voila/render/app.ipynb", f"/{almost}/", f"/{secret}0/", f"/{secret[:-1]}/"):
        assert site.ask(path)[0] in (403, 404), path
    # A browser that wants a picture, and a name elsewhere that is made to lead here.
    assert site.ask(Sec_Fetch_Dest="image")[0] == 403
    assert site.ask(Host="elsewhere.example")[0] == 403
    assert site.ask(method="POST", body=b"")[0] in (403, 405)
    assert site.kernels == []


@pytest.mark.slow
def test_a_large_request_is_refused_before_it_is_there(site):
    with socket.create_connection(("127.0.0.1", site.port), timeout=60) as visitor:
        visitor.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n")
        assert visitor.recv(12) == b"HTTP/1.1 400"


@pytest.mark.slow
def test_kernels_are_few_and_end_with_their_pages(site):
    pages = [site.open() for _ in range(4)]
    code, text = site.ask()
    assert code == 503
    assert "4 pages are open already: close one" in text
    assert len(site.kernels) == 4
    # One says goodbye while it is reloaded; that has no cookie, and is no other site's.
    assert pages[0].beacon(Origin="http://elsewhere.example") == 404
    assert pages[0].beacon(Origin=f"http://127.0.0.1:{site.port}") == 204
    reloaded = site.open()
    for opened in (*pages[1:], reloaded):
        opened.beacon()
    until(lambda: not site.kernels)


@pytest.mark.slow
def test_a_lost_connection_can_come_back_and_its_kernel_ends_if_it_does_not(site, page):
    for _ in range(2):
        connection = page.connect()
        connection.send_binary(message("kernel_info_request"))
        answer_to(connection, "kernel_info_reply")
        connection.close()
    assert until(lambda: not site.kernels) > 5


@pytest.mark.slow
def test_who_leaves_before_the_page_is_there_leaves_no_kernel(site):
    with socket.create_connection(("127.0.0.1", site.port)) as visitor:
        path = site.address.partition(str(site.port))[2]
        visitor.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        until(lambda: site.kernels)
    until(lambda: not site.kernels, 30)


@pytest.mark.slow
def test_nobody_else_on_the_machine_hears_what_a_kernel_says(site, page):
    zmq = pytest.importorskip("zmq")
    (kernel,) = site.kernels
    file = next(word for word in kernel.cmdline() if word.endswith(".json"))
    with open(file) as opened:
        said = json.load(opened)
    if "curve_publickey" not in said:
        pytest.skip("this Jupyter can't encrypt")
    with zmq.Context() as context, context.socket(zmq.SUB) as listener:
        listener.linger = 0
        listener.connect(f"tcp://127.0.0.1:{said['iopub_port']}")
        listener.subscribe(b"")
        connection = page.connect()
        connection.send_binary(message("kernel_info_request"))
        answer_to(connection, "kernel_info_reply")
        assert listener.poll(1000) == 0
        connection.close()


@pytest.mark.slow
def test_python_keeps_no_logger_of_a_kernel():
    pytest.importorskip("voila")
    from jupyter_server.services.kernels.kernelmanager import ServerKernelManager

    from mnst.studio.server import Kernels, Server

    def make_kernel():
        assert ServerKernelManager(parent=kernels).event_logger
        return len(logging.root.manager.loggerDict)

    kernels = Kernels(parent=Server())
    assert make_kernel() == make_kernel() == make_kernel()
