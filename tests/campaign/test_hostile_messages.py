"""Attacks on what `mnst app` serves, by those who know its address and by those who don't.

After every batch the server answers at once, holds no more memory than before, has no more threads,
and has written nothing but into its own folder.
"""

import contextlib
import json
import os
import random
import re
import socket
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import Client, Site, framed, picture, until
from websockets.exceptions import ConnectionClosed

from mnst.studio.messages import packed

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

UPLOAD = 12 * 2**20  # bytes of the largest file that visitors may send
AT_ONCE = 5  # seconds, on a machine that is busy otherwise


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("house")
    (made / "temporary").mkdir()
    (made / "damaged.tflite").write_bytes(b"....TFL3")
    return made


@pytest.fixture(scope="module")
def site(folder):
    """A server for visitors: its limits are the narrowest, and its rooms are of strangers."""
    options = ("--visitors", "64", "--backbone", "vgg19-lite", "--size", "64", "--steps", "2")
    places = {"TMPDIR": str(folder / "temporary"), "MNST_DEEPLAB": str(folder / "damaged.tflite")}
    started = Site(folder, *options, **places)
    yield started
    assert started.end() == 0, started.log.read_text()[-3000:]
    assert rooms(folder) == []
    assert "Traceback" not in started.log.read_text(), started.log.read_text()[-3000:]


@pytest.fixture(scope="module")
def known(site):
    """The headers of the visitor who attacks, in whose room TensorFlow was loaded already."""
    headers = site.visitor()
    with site.open(headers=headers) as page:
        page.hear(lambda page: page.state.get("styles"))
        page.do("photo", picture(1), name="a.png")
        page.hear(lambda page: page.frames)
        page.do("remove_style", style=page.state["styles"][0]["id"])
        page.do("remove_style", style=page.state["styles"][1]["id"])
        page.hear(lambda page: not page.state["styles"] and page.state["work"]["kind"] == "idle")
    return headers


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A server for whoever sits here, whose address is a secret."""
    started = Site(tmp_path_factory.mktemp("home"))
    yield started
    assert started.end() == 0
    assert "Traceback" not in started.log.read_text(), started.log.read_text()[-3000:]


@pytest.fixture(scope="module")
def bystander(site):
    """The headers of another visitor."""
    return site.visitor()


@pytest.fixture(autouse=True)
def unharmed(site, known, bystander, folder):
    """Sees to it that a batch has done nothing."""
    with site.open(headers=bystander) as page:
        page.hear(lambda page: page.state.get("styles"))
        before = site.memory, threads_but_of_rooms(site, folder), files(folder)
        yield
        began = time.monotonic()
        assert site.ask()[0] == 200
        stroke = 0.5 + random.random()
        page.do("set", controls={"stroke": stroke})
        page.hear(lambda page: page.state["controls"]["stroke"] == stroke)
        page.do("fetch", pictures=["exhibit:swirls/240"])
        page.hear(lambda page: page.pictures)
        assert time.monotonic() - began < AT_ONCE
    until(lambda: site.server.num_fds() < 60, 30)
    assert site.memory < before[0] + 2**28
    assert threads_but_of_rooms(site, folder) <= before[1] + 8  # those of pools
    assert files(folder) <= before[2]
    # It may still be loading TensorFlow, whose words another process passes on meanwhile.
    until(lambda: site.server.children(recursive=True) == [])


def threads_but_of_rooms(site, folder):
    """How many threads there are beyond the three that each room may have to read and write."""
    return site.server.num_threads() - 3 * len(rooms(folder))


def rooms(folder):
    return [path for path in (folder / "temporary").iterdir() if "visitor" in path.name]


def files(folder):
    """What lies in a folder, but for temporary files, of which visitors' rooms are made."""
    return {path for path in folder.rglob("*") if "temporary" not in path.parts}


def closes(site, known, sent):
    """Sends something by a connection of its own; returns the code with which that is closed."""
    with site.open(headers=known) as page:
        with contextlib.suppress(ConnectionClosed):
            page.link.send(sent)
        return page.closed_with()[0]


# Frames


def test_frames_that_lie(site, known, tried):
    dice = random.Random(13)
    good = packed({"do": "photo", "name": "a.png"}, [b"picture"])
    counts = [0, 1, 5, 300, 2**16, 2**18, 2**18 + 1, 2**31 - 1, 2**31, 2**32 - 1]
    lies = [count.to_bytes(4, "little") + good[4:] for count in counts]
    lies += [count.to_bytes(4, "little") + b"abcd" for count in counts]
    lies += [good[:length] for length in (0, 1, 3, 4, 5, 12, 40, len(good) - 1)]
    lies += [good + b"\0", good * 2, bytes(1000), b"\xff" * 1000, dice.randbytes(5000), "text", ""]
    sizes = [[-1], [2**31], [2**63], [10**400], [7.0], ["7"], [True] * 7, [7, 2**64], [[7]], {}]
    lies += [framed(json.dumps({"message": {"do": "x"}, "sizes": of}).encode()) for of in sizes]
    deep = b"[" * 10**5 + b"]" * 10**5
    texts = [b"", b"{", b"[]", b"null", b"NaN", b"1e999", b"\xff\xfe", deep, b"9" * 10**5]
    texts += [b'{"a":' * 500 + b"1" + b"}" * 500, b'{"message":{"do":"x","a":NaN},"sizes":[]}']
    texts += [b'{"message":{"do":"x","a":' + b"[" * 40 + b"]" * 40 + b'},"sizes":[]}']
    texts += [b'{"message":' + value + b',"sizes":[]}' for value in (b"{}", b"1", b'{"do":1}')]
    lies += [framed(text) for text in texts]
    with ThreadPoolExecutor(4) as senders:
        codes = list(senders.map(lambda lie: closes(site, known, lie), lies))
    assert codes == [1008] * len(lies)
    tried("frames that lie", len(lies))


@settings(max_examples=100)
@given(st.binary(max_size=300), st.integers(0, 2**32 - 1))
def test_frames_of_whatever_bytes(site, known, tried, data, length):
    tried("frames of whatever bytes", 2)
    assert closes(site, known, data) == 1008
    assert closes(site, known, framed(data, length=length)) == 1008


def test_frames_that_are_too_large(site, known, tried):
    for size in (4 * UPLOAD + 2**20 + 1, 2**27):
        assert closes(site, known, bytes(size)) in (1006, 1009)
        tried("frames that are too large")


def test_broken_websockets(site, known, tried):
    """Frames that no library would send."""
    frames = [
        b"\x82\xff" + b"\xff" * 8 + b"mask",
        b"\x82\xfe\x00",
        b"\x83\x80mask",
        b"\xf2\x80mask",
    ]
    frames += [b"\x82\x05naked", b"\x89\xfe\x01\x00mask", b"\x80\x80mask", b"\x88\x81maskx"]
    frames += [b"\x02\x80mask" * 100, b"\xc2\x84maskabcd", b"GET / HTTP/1.1\r\n\r\n", bytes(1000)]
    for frame in frames:
        # It hangs up as soon as it knows.
        with site.open(headers=known) as page, contextlib.suppress(OSError):
            page.link.socket.sendall(frame)
            page.link.socket.shutdown(socket.SHUT_WR)
    tried("broken websockets", len(frames))


# Who may talk


def test_addresses_of_those_who_do_not_know_it(home, tried):
    secret = home.address.split("/")[3]
    wrong = [secret[:-1] + ("1" if secret[-1] == "0" else "0"), secret[:-1], secret + "0"]
    wrong += [secret[::-1] + "x", secret.upper() + "A", "0" * 32, "%00", "%c3%a9", "%ff", "..", "*"]
    wrong += [f"x/{secret}", f"%2e%2e/{secret[:-1]}", secret.replace(secret[0], "%zz")]
    for name in wrong:
        for file in ("", "studio.js", "link", "../etc/passwd"):
            code, text = home.ask_raw("GET", f"/{name}/{file}")
            assert code in (307, 400, 404), (name, file)
            assert secret.encode() not in text
            assert b"<script" not in text
        tried("wrong addresses", 4)
        assert home.refuses(path=f"../{name}/link") in (403, 404), name
        tried("wrong addresses")


def test_paths(home, site, tried):
    secret = home.address.split("/")[3]
    up = ["..", "%2e%2e", "..%2f..", "%252e%252e", "..%5c..", "....//....", ".%00./", "//", "/./"]
    files = ["etc/passwd", "studio.py", "__init__.py", "left.json", "paintings", "index.html"]
    for served, below in ((home, f"/{secret}/"), (site, "/")):
        for way in up:
            for file in files:
                for path in (below + f"{way}/" * 4 + file, below + "studio.js/" + way + "/" + file):
                    code, text = served.ask_raw("GET", path)
                    assert code in (307, 400, 404), path
                    assert b"root:" not in text
                    assert b"import" not in text
                    tried("paths")


def test_methods_and_headers(home, site, tried):
    path = home.address.partition(str(home.port))[2]
    methods = [
        "POST",
        "PUT",
        "DELETE",
        "PATCH",
        "OPTIONS",
        "TRACE",
        "CONNECT",
        "PROPFIND",
        "X" * 99,
    ]
    for served, place in ((home, path), (site, "/"), (site, "/link"), (home, "/nowhere")):
        for method in methods:
            assert served.ask_raw(method, place)[0] in (307, 400, 404, 405), (method, place)
            tried("methods")
        assert served.ask_raw("HEAD", place)[1] == b""
    hosts = [
        "elsewhere.example",
        "127.0.0.1.nip.io",
        "0.0.0.0",
        "[::2]",
        "x" * 2000,
        "a:b:c",
        "-",
        "",
    ]
    hosts += [f"10.0.0.1:{home.port}", "127.0.0.1@elsewhere.example", "LOCALHOST.example"]
    for host in hosts:
        assert home.ask_raw("GET", path, {"Host": host})[0] == 400, host
        own = f"http://{host}"
        assert home.refuses(origin=own, headers={"Host": host}) in (400, 403), host
        tried("names of others", 2)
    origins = ["", "null", "http://elsewhere.example", "http://127.0.0.1:1", "http://127.0.0.1"]
    origins += [f"http://localhost:{home.port}", f"http://127.0.0.1:{home.port}.example", "x" * 999]
    origins += [
        f"http://127.0.0.1:{home.port}/",
        f"http://a@127.0.0.1:{home.port}",
        "file://",
        "://",
    ]
    for origin in origins:
        assert home.refuses(origin=origin) == site.refuses(origin=origin) == 403, origin
        tried("pages of others", 2)


def test_cookies(site, known, folder, tried):
    """Whatever a visitor is called, it is never a path, and none is led into another's room."""
    names = [
        "../../escaped",
        "/etc/passwd",
        "%2e%2e",
        "a" * 5000,
        "",
        "\t",
        '"quoted"',
        "é",
        "a=b;c",
    ]
    mine = known["Cookie"].partition("=")[2]
    names += [mine.upper(), mine[:-1], mine + "x", f" {mine[1:]}", f"{mine[:-1]}\\"]
    for name in names:
        headers = {"Cookie": f"mnst={name}".encode().decode("latin-1")}
        with site.open(headers=headers) as page:
            page.hear(lambda page: page.ended or page.state.get("styles") is not None)
            if not page.ended:
                assert page.state["photo"] is None, name
        tried("cookies")
    assert not any("escaped" in str(path) for path in folder.rglob("*"))


def test_broken_requests(site, tried):
    requests = [b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20000, b"\0" * 1000, b"GET /" + b"a" * 10**6]
    requests += [b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"GET\r\n\r\n", b"\r\n" * 1000]
    requests += [b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n"]
    requests += [b"PRI * HTTP/2.0", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00" + bytes(512)]
    requests += [b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n" + bytes(10**6)]
    requests += [
        b"GET /link HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    ]
    for request in requests:
        visitor = socket.create_connection(("127.0.0.1", site.port), timeout=30)
        with visitor, contextlib.suppress(ConnectionError):
            visitor.sendall(request)
    tried("broken requests", len(requests))


def test_half_open_sockets(site, known, tried):
    """Hundreds that say nothing, half of a request, or half of a frame."""
    idle = [socket.create_connection(("127.0.0.1", site.port), timeout=30) for _ in range(200)]
    for visitor in idle[::2]:
        visitor.sendall(b"GET / HTTP/1.1\r\nHost: loc")
    pages = [site.open(headers=known) for _ in range(20)]
    for page in pages:
        page.link.socket.sendall(b"\x82\xff\x00\x00\x00\x00\x00\xff\xff\xffmask")
    assert site.ask()[0] == 200
    for visitor in idle:
        visitor.close()
    for page in pages:
        page.link.socket.shutdown(socket.SHUT_RDWR)
        page.close()
    tried("half-open sockets", 220)


def test_connections_by_the_hundred(site, known, tried):
    """Opened and dropped, some without a word, some in the midst of one."""

    def come(number):
        page = site.open(headers=known)
        if number % 3 == 0:
            page.do("hello")
        if number % 3 == 1:
            page.link.socket.close()
        page.close()
        tried("connections")

    with ThreadPoolExecutor(8) as crowd:
        list(crowd.map(come, range(300)))


# Too much of what is right


FLOODS = {
    "fetches": [packed({"do": "fetch", "pictures": ["x"] * 20000})] * 3,
    "pictures": [packed({"do": "fetch", "pictures": ["exhibit:swirls/240"] * 1000})] * 20,
    "hellos": [packed({"do": "hello"})] * 3000,
    "moves": [packed({"do": "set", "controls": {"stroke": 0.5 + k / 3000}}) for k in range(3000)],
    "wishes": [packed({"do": do}) for do in ("paint", "film", "stop", "undo", "clear")] * 200,
    "uploads": [packed({"do": "photo", "name": "a"}, [bytes(UPLOAD)])] * 20,
}


@pytest.mark.parametrize("reads", [True, False], ids=["reads", "reads nothing"])
@pytest.mark.parametrize("flood", FLOODS)
def test_floods(site, known, tried, flood, reads):
    tried("floods", len(FLOODS[flood]))
    before = site.memory
    with site.open(headers=known, max_queue=None if reads else 1) as page:
        with contextlib.suppress(ConnectionClosed):
            for sent in FLOODS[flood]:
                page.link.send(sent)
                assert site.memory < before + 2**29
        began = time.monotonic()
        assert site.ask()[0] == 200
        assert time.monotonic() - began < AT_ONCE
        page.link.socket.shutdown(socket.SHUT_RDWR)


# What is no picture


def png_of(width, height, data=b""):
    """The head of a PNG of these sides, and whatever follows."""

    def chunk(kind, content):
        checked = kind + content
        return len(content).to_bytes(4, "big") + checked + zlib.crc32(checked).to_bytes(4, "big")

    sides = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    body = [chunk(b"IHDR", sides), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def bad_uploads():
    whole = picture(1)
    yield from (
        b"",
        b"\0",
        b"GIF89a",
        b"<svg/>",
        b"%PDF-1.7",
        b"#!/bin/sh\n",
        b"PK\3\4" + bytes(99),
    )
    yield from (whole[:-1000], whole[:60], whole[:100] + bytes(900), picture(1, kind="JPEG")[:300])
    yield from (png_of(2**31 - 1, 2**31 - 1), png_of(0, 0), png_of(60000, 60000), png_of(10**6, 1))
    # A whole one that is empty, of 900 megapixels in 3 MB.
    yield png_of(30000, 30000, zlib.compress(bytes(30000 * 3 + 1) * 3000, 1))
    yield bytes(UPLOAD + 1)
    yield b"P6\n99999 99999\n255\n" + bytes(100)


def test_uploads_that_are_no_pictures(site, known, tried):
    before = site.memory
    with site.open(headers=known) as page:
        page.hear(lambda page: page.state)
        styles = page.state["styles"]  # which tests before have left
        for data in bad_uploads():
            for do, named in (("photo", {"name": "a.png"}), ("add_styles", {"names": ["a.png"]})):
                page.do("dismiss")
                page.hear(lambda page: page.state["error"] is None)
                page.do(do, data, **named)
                page.hear(lambda page: page.state["error"] and not page.state["busy_opening"])
                said = page.state["error"]["text"]
                assert len(said.splitlines()) == 1, said
                assert "Traceback" not in said
                assert "/" not in said.replace("image/", "")
                tried("uploads that are no pictures")
        page.do("dismiss")
        assert page.state["styles"] == styles
    assert site.memory < before + 2**28


NAMES = ["../../../escaped.png", "/etc/passwd", "a\0b", "\r\n\x1b[31m", "\u202egnp.a", "C:\\a.png"]
NAMES += ["<img src=x onerror=alert(1)>", "x" * 10**5, "\ud800", "%2e%2e%2fx", "", " ", ".", "CON"]
NAMES += [None, 1, [], {}, True, 10**400, "{0}%s%n", "\U0001f431" * 99]


def test_names(site, known, tried):
    with site.open(headers=known) as page:
        page.hear(lambda page: page.state)
        for seed, name in enumerate(NAMES):
            page.do("photo", picture(100 + seed), name=name)
            before = page.state["photo"]
            page.hear(lambda page, before=before: page.state["photo"] != before)
            called = page.state["photo"]["name"]
            assert 0 < len(called) <= 60
            assert called.isprintable()
            tried("names")


# Whatever may be asked for, in any order


DOING = [
    "hello",
    "fetch",
    "photo",
    "add_styles",
    "remove_style",
    "move_style",
    "set",
    "paint",
    "stop",
]
DOING += ["film", "show", "compare", "paint_like", "repeat", "forget", "undo", "clear", "download"]
DOING += [
    "find_people",
    "dismiss",
    "",
    "_tell",
    "close",
    "__class__",
    "é" * 90,
    "\ud800",
    "x" * 999,
]
NAMED = [
    "name",
    "names",
    "sample",
    "gallery",
    "style",
    "to",
    "controls",
    "painting",
    "seconds",
    "kind",
]
NAMED += [
    "times",
    "as",
    "pictures",
    "form",
    "colour",
    "linked",
    "strength",
    "stroke",
    "keep_people",
]
NAMED += ["keep_colours", "quality"]
ODD = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
ODD |= st.sampled_from(
    ["hopper", "swirls", "commons-99", "webp", "mp4", "png", "draft", "large", "style-1", "style-2"]
)
ODD |= st.sampled_from([2, 3, 4, 0.5, 1.0, -1, 2**63, 10**300, 1e308, [0.5, 0.5], [1.0], ["a.png"]])
VALUES = ODD | st.lists(ODD, max_size=4) | st.dictionaries(st.sampled_from(NAMED), ODD, max_size=4)
# No names of pictures that are downloaded: nobody's server is to be asked a thousand times.
ASKED = st.tuples(
    st.sampled_from(DOING),
    st.dictionaries(st.sampled_from(NAMED), VALUES, max_size=4),
    st.lists(st.sampled_from([b"", b"x", picture(1), picture(2)]), max_size=3),
)


# What Python says, which are no words for people.
PYTHON = re.compile(r"Traceback|<class|object is not|unhashable|not supported|must be|\bindices\b")


@settings(max_examples=100)
@given(st.lists(ASKED, min_size=5, max_size=25))
def test_anything_in_any_order(site, known, tried, asked):
    """Ends in a state, in a word about what was wrong, or in a hang-up that says why."""
    page = site.open(headers=known)
    try:
        for do, named, parts in asked:
            tried("odd wishes")
            text = json.dumps({"message": {**named, "do": do}, "sizes": list(map(len, parts))})
            try:
                page.link.send(framed(text.encode(), *parts))
            except ConnectionClosed:
                assert page.closed_with()[0] == 1008
                page.close()
                page = site.open(headers=known)
        with contextlib.suppress(ConnectionClosed):
            page.do("fetch", pictures=["the end"])
            page.hear(lambda page: "the end" in page.pictures)
            page.do("dismiss")
        left = site.open(headers=known)
        with left:
            left.hear(lambda page: page.state)
            error = left.state["error"]
            assert error is None or not PYTHON.search(error["text"])
            left.do("clear")
            left.do("stop")
    finally:
        page.close()


# Places


def test_nothing_of_a_visitor_is_found_by_guessing(site, known, tried):
    with site.open(headers=known) as page:
        page.hear(lambda page: page.state)
        page.do("photo", picture(50), name="mine.png")
        page.hear(lambda page: page.state["photo"] and page.state["photo"]["name"] == "mine")
        mine = page.state["photo"]["picture"]
    ways = [
        mine,
        f"{mine.partition('/')[0]}/240",
        "entry:../../left/full",
        "entry:/etc/passwd/full",
    ]
    ways += [f"people:{mine}", "exhibit:../x/240", "entry:*/full", "/etc/passwd", "\ud800", "", "/"]
    with Client(site, headers=site.visitor()) as other:
        other.hear(lambda page: page.state)
        other.do("fetch", pictures=ways)
        other.hear(lambda page: len(page.pictures) == len(ways))
        assert set(other.pictures.values()) == {None}
    tried("pictures of others", len(ways))
    assert not os.path.lexists("/escaped.png")
