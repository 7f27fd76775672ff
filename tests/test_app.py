"""`mnst app`: what it says before it serves, who may do what with it then, and what it keeps."""

import argparse
import contextlib
import json
import queue
import re
import socket
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from pages import SMALL, Site, free_port, picture, until
from websockets.exceptions import ConnectionClosed

import mnst
from mnst.cli import build_parser, main
from mnst.studio import app

HOSTING = Path(__file__).parent.parent / "hosting"
SOON = 30  # seconds in which it answers or ends, on a machine that is busy otherwise

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")


# What it says before it serves


@pytest.fixture
def taken():
    """A port of this machine on which somebody else serves."""
    with socket.socket() as other:
        other.bind((app.HOME, 0))
        other.listen()
        yield other.getsockname()[1]


@pytest.fixture
def served(monkeypatch, tmp_path):
    """Holds what every server that was to start was asked; it has ended at once."""
    from mnst.studio import server

    started, studios = [], []

    def run(rooms, *, ready, **asked):
        ready()
        started.append(SimpleNamespace(rooms=rooms, **asked))

    monkeypatch.setenv("MNST_STUDIO", str(tmp_path / "studio"))
    monkeypatch.setattr(server, "AtHome", studios.append)
    monkeypatch.setattr(server, "make_app", lambda rooms, **asked: asked)
    monkeypatch.setattr(server, "run", run)
    yield started
    for studio in studios:
        studio.close()


@pytest.fixture
def opened(monkeypatch):
    """Holds the text of every file that a browser was to open."""
    read = queue.Queue()
    monkeypatch.setattr(app.webbrowser, "open", lambda at: read.put(text_of(at)))
    monkeypatch.setattr(app.threading, "Thread", AtOnce)
    return read


class AtOnce(threading.Thread):
    """Has nobody wait for a thread, which may find that what it was to open is gone."""

    def start(self):
        if self.daemon and self._target.__module__ == __name__:
            self.run()
        else:
            super().start()


def text_of(address):
    with urllib.request.urlopen(address) as file:
        return file.read().decode()


def said_by(capsys):
    return re.fullmatch(r"(\S+)  \(Ctrl-C ends it\)\n", capsys.readouterr().err)[1]


def test_a_taken_port_is_said_in_a_line(taken, capsys):
    assert main(["app", "--port", str(taken), "--no-browser"]) == 2
    said = f"mnst: port {taken} is taken, or not yours to use: give another --port\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("port", ["0", "65536", "-1"])
def test_what_is_no_port(port, capsys):
    assert main(["app", f"--port={port}"]) == 2
    said = f"mnst: port is {port}: give one of 1 to 65535, such as 8866\n"
    assert capsys.readouterr().err == said


def test_without_a_port_the_next_free_one_is_taken(taken, served, monkeypatch, capsys):
    monkeypatch.setattr(app, "PORT", taken)
    assert main(["app", "--no-browser", *SMALL]) == 0
    (server,) = served
    assert taken < server.port < taken + 50
    assert server.host == "127.0.0.1"
    assert said_by(capsys) == f"http://127.0.0.1:{server.port}/{server.rooms['secret']}/"


def test_the_address_is_a_secret(served, opened, capsys):
    """Another each time, and not in the browser's command line, which others can read."""
    free = free_port()
    addresses = []
    for _ in range(2):
        assert main(["app", "--port", str(free), *SMALL]) == 0
        addresses.append(said_by(capsys))
        assert f"url={addresses[-1]}" in opened.get_nowait()
    assert len(set(addresses)) == 2
    for address in addresses:
        assert re.fullmatch(rf"http://127\.0\.0\.1:{free}/[0-9a-f]{{32}}/", address)
    assert all(server.rooms["hosts"] == ("127.0.0.1", "localhost") for server in served)


def test_for_visitors_it_is_none_and_nothing_is_opened(served, opened, capsys):
    free = free_port()
    line = ["app", "--visitors", "3", "--host", "0.0.0.0", "--port", str(free), *SMALL]
    assert main(line) == 0
    assert said_by(capsys) == f"http://0.0.0.0:{free}/"
    assert served[0].host == "0.0.0.0"
    assert served[0].rooms == {}  # no secret, and whatever it is called
    assert opened.empty()


WRONG = {
    "--visitors=0": "visitors is 0: give a whole number, 1 or more",
    "--host=0.0.0.0": "host is '0.0.0.0', which is for visitors: say how many",
    "--steps=0": "steps is 0: give a whole number",
    "--size=-1": "size is -1: give a whole number",
    "--recipe=fien": "did you mean 'fine'?",
    "--backbone=vgg91": "did you mean 'vgg19'?",
    "--precision=float": "precision is 'float': give",
    "--gamma=0.5": "--gamma",
}


@pytest.mark.parametrize("given", WRONG)
def test_what_is_wrong_is_said_before_anything_is_served(served, refused, given):
    assert WRONG[given] in refused("app", "--no-browser", given)
    if "=0.0" not in given:
        assert WRONG[given] in refused("app", "--visitors=2", given)
    assert served == []


class Without:
    """Finds no module of a library, as if it weren't installed."""

    def __init__(self, library):
        self._library = library

    def find_spec(self, name, *_):
        if name == self._library:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize("missing", ["starlette", "uvicorn", "websockets", "platformdirs"])
def test_what_is_missing_is_said_with_how_to_get_it(missing, monkeypatch, capsys):
    def run(self):
        raise AssertionError("it serves")

    monkeypatch.setattr("uvicorn.Server.run", run)
    monkeypatch.delenv("MNST_STUDIO", raising=False)
    monkeypatch.delitem(sys.modules, "mnst.studio.server", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Without(missing), *sys.meta_path])
    assert main(["app", "--no-browser", "--port", str(free_port())]) == 2
    said = rf"mnst: the (page|studio) needs {missing}: pip install 'mnst\[app\]'.*\n"
    assert re.fullmatch(said, capsys.readouterr().err)


# A real server, for whoever sits at this machine


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    started = Site(tmp_path_factory.mktemp("site"))
    yield started
    assert ends(started) == 0


@pytest.fixture
def start(tmp_path):
    """Starts servers that keep things in one folder, one after the other."""
    started = []

    def begin(*options, **environment):
        started.append(Site(tmp_path, *options, **environment))
        return started[-1]

    yield begin
    for each in started:
        each.kill()


@pytest.fixture
def page(site):
    with site.open() as opened:
        opened.hear(is_there)
        yield opened


def ends(site):
    """Ends a server by Ctrl-C, which takes seconds and leaves nothing; returns the exit code."""
    family = [site.server, *site.server.children(recursive=True)]
    began = time.monotonic()
    code = site.end()
    assert time.monotonic() - began < SOON
    assert psutil.wait_procs(family, timeout=SOON)[1] == []
    assert "Traceback" not in site.log.read_text(), site.log.read_text()
    return code


def is_there(page):
    """Whether a page was told all, with the styles that lie there to begin with."""
    return page.state.get("styles") and not page.state["busy_opening"]


def is_told(page):
    """Whether a page was told something; styles take seconds to be drawn."""
    return "styles" in page.state


def has_photo(name):
    return lambda page: page.state.get("photo") and page.state["photo"]["name"] == name


def fails(page, *parts, **message):
    """Has a page ask for something; returns the error, which is then taken away."""
    page.do(message.pop("do"), *parts, **message)
    page.hear(lambda page: page.state["error"])
    said = page.state["error"]["text"]
    page.do("dismiss")
    page.hear(lambda page: page.state["error"] is None)
    return said


def test_the_page_and_its_files(site):
    code, text = site.ask()
    assert code == 200
    assert site.headers["Content-Type"].startswith("text/html")
    assert site.headers["Set-Cookie"] is None
    asked_for = set(re.findall(r'(?:href|src)="([^":]+)"', text))
    assert {"studio.css", "start.js"} <= asked_for
    for name in asked_for | {"studio.js"}:
        code, text = site.ask(name)
        assert code == 200, name
        assert text
        kind = "text/css" if name.endswith("css") else "text/javascript"
        assert site.headers["Content-Type"].startswith(kind)


def test_pages_may_load_nothing_from_elsewhere_and_are_kept_by_nobody(site):
    for path in ("", "studio.js", "studio.css"):
        assert site.ask(path)[0] == 200
        rules = {
            words[0]: words[1:]
            for words in map(str.split, site.headers["Content-Security-Policy"].split(";"))
        }
        assert rules["default-src"] == rules["base-uri"] == ["'none'"]
        assert rules["script-src"] == rules["connect-src"] == ["'self'"]
        assert not any(":/" in source or source == "*" for of in rules.values() for source in of)
        assert site.headers["X-Content-Type-Options"] == "nosniff"
        assert site.headers["Referrer-Policy"] == "no-referrer"
        assert site.headers["Cache-Control"] == "no-store"


def test_there_is_nothing_elsewhere(site):
    secret = site.address.split("/")[3]
    almost = secret[:-1] + ("1" if secret[-1] == "0" else "0")
    for path in ("/", "/studio.js", f"/{almost}/", f"/{almost}/studio.js", f"/{secret}0/", "/x/"):
        code, text = site.ask(path)
        assert code == 404, path
        assert secret not in text
    assert site.ask("nothing.js")[0] == site.ask("../")[0] == 404
    assert site.ask(method="POST", body=b"")[0] == 405


def test_a_name_elsewhere_that_leads_here_is_none_of_its_names(site):
    assert site.ask(Host=f"localhost:{site.port}")[0] == 200
    for host in ("elsewhere.example", f"127.0.0.1.elsewhere.example:{site.port}"):
        assert site.ask(Host=host)[0] == 400


def test_only_its_own_page_is_connected(site):
    secret = site.address.split("/")[3]
    almost = secret[:-1] + ("1" if secret[-1] == "0" else "0")
    others = ["", "null", "http://elsewhere.example", "http://127.0.0.1:1"]
    assert [site.refuses(origin=origin) for origin in others] == [403] * 4
    assert site.refuses(path=f"../{almost}/link") == 403
    assert site.refuses() is None


def test_two_pages_see_the_same_and_a_reload_finds_it(site, page):
    with site.open() as other:
        other.hear(is_there)
        other.do("photo", picture(1), name="<b>my_photo.png")
        page.hear(has_photo("<b>my photo"))
        page.do("set", controls={"form": [0.25, 0.75]})
        other.hear(lambda page: page.state["controls"]["form"] == [0.25, 0.75])
        assert page.state["photo"] == other.state["photo"]
        assert (page.state["photo"]["width"], page.state["photo"]["height"]) == (32, 24)
        page.do("fetch", pictures=[page.state["photo"]["picture"], "nothing/240"])
        page.hear(lambda page: len(page.pictures) == 2)
        assert page.pictures["nothing/240"] is None
    with site.open() as reloaded:
        reloaded.hear(has_photo("<b>my photo"))
        known = {name: of for name, of in page.state.items() if name not in ("work", "qualities")}
        assert {name: reloaded.state[name] for name in known} == known


def test_what_is_wrong_is_said_in_words(page):
    broken = fails(page, b"no picture", do="photo", name="mine.jpg")
    assert re.match("Mine.*picture", broken, re.IGNORECASE)
    assert "<" not in broken
    assert fails(page, do="add_styles", gallery="gone").startswith("This picture is not on offer")
    assert fails(page, do="set", controls={"stroke": 9}).startswith("Stroke is 9: give")
    assert fails(page, do="show", painting="gone") == "This painting is gone"
    assert fails(page, do="remove_style", style="gone") == "This style is gone"
    many = [picture(seed) for seed in range(5)]
    said = fails(page, *many, do="add_styles", names=["a.png"] * 5)
    assert said == "4 styles are the most: remove one first"


def test_a_file_that_is_too_large_is_said_so_and_what_is_larger_ends_its_connection(site, page):
    limit = page.state["limits"]["upload"]
    said = fails(page, bytes(limit + 1), do="photo", name="a.png")
    assert said == "The file has 32 MB: give one of at most 32 MB"
    with site.open() as other:
        with contextlib.suppress(ConnectionClosed):  # as soon as it is known how long it is
            other.link.send(bytes(5 * limit))
        assert other.closed_with()[0] in (1006, 1009)  # if that was still heard


def test_what_no_page_says_ends_its_connection(site):
    for sent in (b"", b"\xff" * 50, "text"):
        with site.open() as other:
            other.link.send(sent)
            assert other.closed_with() == (1008, "a text of a wrong length")
    with site.open() as other:
        other.do("dance")
        assert other.closed_with() == (1008, "there is nothing like 'dance' to do")


def test_who_reads_nothing_keeps_nobody_waiting(site, page):
    with site.open(max_queue=1) as deaf:
        for _ in range(200):
            deaf.do("fetch", pictures=["exhibit:swirls/240"] * 20)
        page.do("fetch", pictures=["exhibit:glass/240"])
        assert page.hear(lambda page: "exhibit:glass/240" in page.pictures) < SOON
        assert site.ask()[0] == 200
        before = site.memory
        page.do("set", controls={"stroke": 0.8})
        assert page.hear(lambda page: page.state["controls"]["stroke"] == 0.8) < SOON
    assert site.memory < before + 2**28


def test_a_restart_finds_the_table(start):
    first = start()
    with first.open() as page:
        page.hear(is_told)
        page.do("add_styles", picture(2), picture(3), names=["first.png", "second.png"])
        page.do("photo", picture(4), name="kept.png")
        page.hear(lambda page: len(page.state["styles"]) > 1 and page.state["photo"])
        page.do("set", controls={"form": [0.75, 0.25], "quality": "draft", "stroke": 1.5})
        page.hear(lambda page: page.state["controls"]["quality"] == "draft")
        # TensorFlow is on its way, and the page still there.
        assert ends(first) == 0
        assert page.closed_with()[0] in (1001, 1012)
    second = start()
    assert second.address.split("/")[3] != first.address.split("/")[3]
    with second.open() as again:
        again.hear(is_told)
        assert again.state["photo"] == page.state["photo"]
        assert [style["name"] for style in again.state["styles"]] == ["first", "second"]
        assert again.state["controls"] == page.state["controls"]
    assert ends(second) == 0


# Paintings


def paints(page, seed=4):
    """Has a page paint a photo of its own; returns what the history says of it."""
    page.do("photo", picture(seed), name="photo.png")
    page.hear(has_photo("photo"))
    page.do("set", controls={"quality": "draft"})
    page.do("paint")
    page.hear(lambda page: page.state["history"] and page.state["work"]["kind"] != "painting")
    return page.state["history"][0]


@pytest.mark.slow
def test_a_painting_is_kept_through_reload_and_restart(start, tmp_path):
    first = start()
    with first.open() as page:
        page.hear(is_there)
        painted = paints(page)
        assert page.state["showing"] == painted["id"]
        page.do("set", controls={"form": [0.1, 0.9]})  # the slider moves
        page.hear(lambda page: page.state["showing"] is None)
        assert page.state["history"] == [painted]
        page.do("download", painting=painted["id"])
        page.hear(lambda page: page.files)
    with first.open() as reloaded:
        reloaded.hear(is_there)
        assert reloaded.state["history"] == [painted]
    assert ends(first) == 0
    second = start()
    with second.open() as again:
        again.hear(is_there)
        assert again.state["history"] == [painted]
        again.do("fetch", pictures=[painted["picture"]])
        again.hear(lambda page: page.pictures.get(painted["picture"]))
    assert ends(second) == 0
    (name, data) = page.files[0]
    file = tmp_path / name
    file.write_bytes(data)
    assert name == "photo in Swirls and Glass.png"
    assert mnst.load_image(file).shape == (1, 24, 32, 3)
    assert mnst.read_settings(file)["gamma"] == pytest.approx([0.5, 0.5])


@pytest.mark.slow
def test_ctrl_c_in_the_midst_of_a_painting(start, tmp_path):
    at_work = start(*SMALL[:-2], "--steps", "100000")
    with at_work.open() as page:
        page.hear(is_there)
        page.do("photo", picture(5), name="photo.png")
        page.hear(has_photo("photo"))
        page.do("paint")
        page.hear(lambda page: any(of["of"] == "painting" for of, _ in page.frames))
        assert ends(at_work) == 0
    kept = {path.name for path in (tmp_path / "studio").rglob("*") if path.is_file()}
    assert not any(name.endswith((".tmp", ".part", ".partial")) for name in kept)


@pytest.mark.slow
def test_pages_that_come_and_go_leave_nothing(site):
    with site.open() as page:
        page.hear(is_there)
    before = site.server.num_threads(), site.server.num_fds()
    for _ in range(20):
        with site.open() as page:
            page.hear(is_there)
    # It may still be loading TensorFlow, whose words another process passes on meanwhile.
    until(lambda: site.server.children(recursive=True) == [])
    until(lambda: site.server.num_fds() <= before[1] + 1)
    assert site.server.num_threads() <= before[0] + 6  # those of a pool


# Visitors


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    folder = tmp_path_factory.mktemp("house")
    (folder / "rooms").mkdir()
    started = Site(folder, "--visitors", "2", *SMALL, TMPDIR=str(folder / "rooms"))
    started.rooms = folder / "rooms"
    yield started
    assert ends(started) == 0
    assert rooms(started) == []
    assert not (folder / "studio").exists()


def rooms(house):
    return [path for path in house.rooms.iterdir() if path.name.startswith("mnst-visitor-")]


@pytest.fixture(scope="module")
def visitors(house):
    """The headers of two visitors; after them the house is full."""
    return [house.visitor(), house.visitor()]


def test_visitors_are_named_once(house, visitors):
    assert visitors[0] != visitors[1]
    assert house.ask()[0] == 200
    cookie = house.headers["Set-Cookie"]
    assert re.fullmatch(r"mnst=[0-9a-f]{32}; HttpOnly; Path=/; SameSite=Lax", cookie)
    assert house.ask(**visitors[0])[0] == 200
    assert house.headers["Set-Cookie"] is None
    # Within another's page, over https, as demos are shown.
    assert house.ask(X_Forwarded_Proto="https")[0] == 200
    assert house.headers["Set-Cookie"].endswith("; SameSite=None; Secure; Partitioned")


def test_visitors_cost_nothing_before_they_ask_for_something(house, visitors):
    with house.open(headers=visitors[0]) as one, house.open(headers=visitors[1]) as two:
        for page in (one, two):
            page.hear(is_told)
            assert page.state["limits"]["visitors"]
            assert page.state["limits"]["forget_at_end"]
            assert page.state["work"]["kind"] == "idle"
        assert not any("tensorflow" in of.path for of in house.server.memory_maps())
        assert house.memory < 2**29
        assert len(rooms(house)) == 2


def test_a_house_that_is_full_says_so(house, visitors):
    for known in visitors:
        house.open(headers=known).close()
    with house.open(headers=house.visitor()) as third:
        third.hear(lambda page: page.ended)
        assert third.ended == "All places are taken. Come back in a few minutes."
    with house.open(headers=visitors[1]) as second:  # who was there finds the door open
        second.hear(is_told)


def test_a_visitor_who_comes_twice_at_once_has_one_room(start, tmp_path):
    (tmp_path / "rooms").mkdir()
    empty = start("--visitors", "8", *SMALL, TMPDIR=str(tmp_path / "rooms"))
    empty.rooms = tmp_path / "rooms"
    known = empty.visitor()
    with ThreadPoolExecutor(6) as pool:
        pages = list(pool.map(lambda _: empty.open(headers=known), range(6)))
    for page in pages:
        page.hear(is_told)
    assert len(rooms(empty)) == 1
    pages[0].do("set", controls={"stroke": 0.7})
    for page in pages:
        page.hear(lambda page: page.state["controls"]["stroke"] == 0.7)
        page.close()
    assert ends(empty) == 0


@pytest.mark.slow
def test_visitors_see_nothing_of_each_other_and_take_turns(house, visitors):
    with house.open(headers=visitors[0]) as one, house.open(headers=visitors[1]) as two:
        two.hear(is_told)
        one.hear(is_told)
        one.do("photo", picture(6), name="private.png")
        one.hear(lambda page: page.frames)  # at work, and learning
        two.do("photo", picture(7), name="other.png")
        two.hear(lambda page: page.state["waiting"])
        assert two.state["waiting"] == "Somebody else is before you"
        assert two.frames == []
        assert "private" not in json.dumps(two.state)
        names = [one.state["photo"]["picture"], "entry:../left/full", "people:x/0"]
        two.do("fetch", pictures=names)
        two.hear(lambda page: len(page.pictures) == 3)
        assert set(two.pictures.values()) == {None}
        assert one.state["waiting"] is None
        # Who is at work ends in less than a minute, and then it is the other's turn.
        two.hear(lambda page: page.frames and page.state["waiting"] is None)
        assert one.state["photo"]["name"] == "private"
    with house.open(headers=visitors[0]) as reloaded:
        reloaded.hear(has_photo("private"))
        said = fails(reloaded, bytes(12 * 2**20 + 1), do="photo", name="a.png")
        assert said == "The file has 12 MB: give one of at most 12 MB"


# The folder for hosts


def test_the_command_line_for_hosts_is_one():
    text = (HOSTING / "Dockerfile").read_text()
    line = json.loads(re.search(r"^CMD (\[.*\])$", text, re.MULTILINE)[1])
    assert line[:2] == ["mnst", "app"]
    try:
        asked = build_parser().parse_args(line[1:])
    except (SystemExit, argparse.ArgumentError) as error:
        pytest.fail(str(error))
    assert (asked.visitors, asked.host, asked.port, asked.browser) == (8, "0.0.0.0", 7860, False)
    assert f"EXPOSE {asked.port}" in text
    assert "echo mnst)[app,video]" in text
    readme = (HOSTING / "README.md").read_text()
    assert f"app_port: {asked.port}" in readme
    assert " ".join(line) in readme
