"""Attacks on the page that `mnst app` serves, by those who know its address and by those who don't.

After every batch the server answers at once, holds no more memory than before, has no more kernels
than it may, and nobody's code has run.
"""

import contextlib
import http.client
import json
import random
import socket
import struct
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import websocket
from pages import PROTOCOL, Page, Site, answer_to, closed_with, framed, message, until

pytest.importorskip("voila")

MOST_KERNELS = 4
OBJECTS = [b"shell", b"{}", b"{}", b"{}", b"{}"]


@pytest.fixture(scope="module")
def tripwire(tmp_path_factory):
    """A file that code of an attacker's would make."""
    return tmp_path_factory.mktemp("tripwire") / "ran"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    started = Site(tmp_path_factory.mktemp("site"))
    yield started
    started.end()


@pytest.fixture(scope="module")
def page(site):
    """A page whose kernel is through with loading."""
    opened = site.open()
    connection = opened.connect()  # as long as there is one, the kernel stays
    (kernel,) = site.kernels
    until(lambda: "profiler_plugin" in str(kernel.memory_maps()))  # the last that it loads
    time.sleep(3)
    connection.close()
    return opened


@pytest.fixture(autouse=True)
def unharmed(site, page, tripwire):
    """Sees to it that a batch has done nothing."""
    connection = connected(page)  # as long as there is one, the kernel stays
    before = site.memory
    yield
    began = time.monotonic()
    assert site.ask("/")[0] == 403
    assert time.monotonic() - began < 2
    connection.send_binary(message("kernel_info_request"))
    answer_to(connection, "kernel_info_reply")  # the kernel is free, too
    assert time.monotonic() - began < 10
    assert site.memory < before + 2**28
    assert len(site.kernels) <= MOST_KERNELS
    assert not tripwire.exists()
    connection.close()


def codes(page, messages, *, text=False):
    """Sends every message by a connection of its own; returns the codes with which these close."""

    def closes(sent):
        connection = page.connect()
        (connection.send if text else connection.send_binary)(sent)
        return closed_with(connection)

    with ThreadPoolExecutor(4) as senders:
        return list(senders.map(closes, messages))


def test_frames_that_lie(page, tried):
    dice = random.Random(13)
    good = message("comm_msg", {"comm_id": "a", "data": {}}, buffers=[b"picture"])
    counts = [0, 1, 5, 300, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1]
    lies = [count.to_bytes(8, "little") + good[8:] for count in counts]
    lies += [count.to_bytes(8, "little") + b"abcd" for count in counts]
    lies += [good[:length] for length in (0, 1, 7, 8, 9, 12, 15, 16, 40, 63, len(good) - 1)]
    lies += [good + b"\0", good * 2, bytes(1000), b"\xff" * 1000, dice.randbytes(5000)]
    for _ in range(30):
        offsets = sorted(dice.randrange(200) for _ in range(6))
        dice.shuffle(offsets)
        lies.append(framed(OBJECTS, offsets=offsets))
    for _ in range(20):
        offsets = [dice.choice([56, 61, 63, 65, 2**32, 2**63, 2**64 - 1]) for _ in range(6)]
        lies.append(framed(OBJECTS, offsets=offsets))
    # The older protocol, which has no offsets worth the name.
    lies += [struct.pack("!i", count) + b"abcd" for count in (1, -1, 2**31 - 1)]
    for lie, code in zip(lies, codes(page, lies), strict=True):
        assert code == 1002, lie[:80]
    tried("frames that lie", len(lies))


def test_objects_that_are_none(page, tried):
    deep = b"[" * 10**5 + b"]" * 10**5
    bad = [b"", b"{", b"[]", b"null", b'"text"', b"1", b'{"a": NaN}', b"\xff\xfe", b"{} {}", deep]
    bad += [b'{"a":' * 500 + b"1" + b"}" * 500, b'{"a": ' + b"9" * 10**5 + b"}"]
    good = [b"shell", header_of("comm_msg"), b"{}", b"{}", b"{}"]
    sent = [
        framed([*good[:place], part, *good[place + 1 :]]) for place in range(1, 5) for part in bad
    ]
    for name in ("msg_id", "msg_type", "session", "username", "date", "version"):
        sent += [message("comm_msg", **{name: value}) for value in (None, 1, ["comm_msg"])]
    for one, code in zip(sent, codes(page, sent), strict=True):
        assert code == 1007, one[:200]
    assert codes(page, [framed([*good[:4], b'{"a": "' + b"x" * 2**20 + b'"}'])]) == [1009]
    tried("objects that are none", len(sent) + 1)


def header_of(kind):
    names = ("msg_id", "session", "username", "date", "version")
    return json.dumps({"msg_type": kind, **dict.fromkeys(names, "x")}).encode()


def test_messages_that_would_run_code(page, tripwire, tried):
    code = f"open({str(tripwire)!r}, 'w').write('ran')"
    contents = {
        "execute_request": {"code": code, "silent": False, "user_expressions": {"a": code}},
        "complete_request": {"code": f"({code}).", "cursor_pos": len(code) + 3},
        "inspect_request": {"code": code, "cursor_pos": 1, "detail_level": 1},
        "is_complete_request": {"code": code},
        "history_request": {"hist_access_type": "tail", "n": 10},
        "debug_request": {"type": "request", "command": "evaluate", "arguments": {"a": code}},
        "input_reply": {"value": code},
        "apply_request": {"code": code},
        "shutdown_request": {"restart": True},
        "interrupt_request": {},
        "create_subshell_request": {},
        "usage_request": {},
    }
    channels = ("shell", "control", "stdin", "x" * 1000)
    sent = [
        message(kind, content, channel=channel)
        for kind, content in contents.items()
        for channel in channels
    ]
    data = {"state": {"_model_name": "HTMLModel", "value": code}, "module": "os"}
    for target in ("jupyter.widget", "jupyter.widget.version", "os.system", "", None, 1):
        opening = {"comm_id": "x", "target_name": target, "target_module": "os", "data": data}
        sent.append(message("comm_open", opening))
    for one, code in zip(sent, codes(page, sent), strict=True):
        assert code == 1008, one[:400]
    tried("messages that would run code", len(sent))


def test_text_and_other_protocols(page, tripwire, tried):
    code = f"open({str(tripwire)!r}, 'w')"
    header = json.loads(header_of("execute_request"))
    old = {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}}
    texts = ["", "{}", "[" * 10**5, "x" * 2**20, json.dumps({**old, "content": {"code": code}})]
    texts += [json.dumps({**old, "header": None}), "\0", "null", "1e999", '{"channel": null}']
    assert codes(page, texts, text=True) == [1003] * len(texts)
    offers = [
        (),
        ("",),
        ("v2.kernel.websocket.jupyter.org",),
        (PROTOCOL.upper(),),
        (PROTOCOL + "x",),
    ]
    for offer in offers:
        assert refused(page, subprotocols=offer) == 400
    tried("text, and other protocols", len(texts) + len(offers))


def refused(page, **options):
    """Returns the code with which a connection is refused."""
    with pytest.raises(websocket.WebSocketBadStatusException) as error:
        page.connect(**options)
    return error.value.status_code


def test_connections_of_others(site, page, tried):
    origins = [
        "null",
        "http://elsewhere.example",
        "http://127.0.0.1:1",
        "http://127.0.0.1",
        "file://",
    ]
    origins += [
        f"http://localhost:{site.port}",
        f"http://127.0.0.1:{site.port}.example",
        "x" * 1000,
    ]
    for origin in origins:
        assert refused(page, origin=origin) == 403, origin
    hosts = ["elsewhere.example", "127.0.0.1.example", f"10.0.0.1:{site.port}", "[::2]", "0.0.0.0"]
    for host in hosts:
        assert refused(page, host=host, origin=f"http://{host}") == 403, host
    sessions = ["", "x" * 65, "x" * 5000, "../..", "%00", "a b", "é", "%0d%0aX:y"]
    for session in sessions:
        assert refused(page, session=session) in (400, 404), session
    names = [str(uuid.uuid4()), "a-b-c-d-e", page.kernel.upper(), page.kernel[:-1], "0-0-0-0-0"]
    for name in names:
        assert refused(Page(site, name)) == 404, name
    many = [page.connect() for _ in range(7)]
    assert refused(page) == 503
    for connection in many:
        connection.close()
    tried("connections of others", sum(map(len, (origins, hosts, sessions, names))) + 1)


def test_floods_of_good_messages(site, page, tried):
    """A kernel that has enough to do is told no more, and the others are not kept waiting."""
    control = {"comm_id": "a", "target_name": "jupyter.widget.control", "data": {}}
    floods = {
        "comm_open": [message("comm_open", {**control, "comm_id": str(k)}) for k in range(500)],
        "comm_msg": [message("comm_msg", {"comm_id": str(k), "data": {}}) for k in range(1000)],
        "comm_close": [message("comm_close", {"comm_id": str(k)}) for k in range(500)],
        "large": [message("comm_msg", {"comm_id": "no"}, buffers=[bytes(2**24)])] * 8,
        "buffers": [message("comm_msg", {"comm_id": "no"}, buffers=[b"x"] * 256)] * 50,
    }
    for flood in floods.values():
        connection = page.connect()
        for sent in flood:
            connection.send_binary(sent)
        began = time.monotonic()
        assert site.ask("/")[0] == 403
        assert time.monotonic() - began < 2
        connection.send_binary(message("kernel_info_request"))
        answer_to(connection, "kernel_info_reply")
        connection.close()
    tried("floods", len(floods))
    too_long = page.connect()
    with contextlib.suppress(ConnectionError):  # it hangs up as soon as it knows how long
        too_long.send_binary(bytes(65 * 2**20))
    with contextlib.suppress(ConnectionError, websocket.WebSocketException):
        assert closed_with(too_long) == 1009
    too_long.shutdown()
    tried("floods")


def connected(page):
    """Connects as soon as there is room: those that broke off before take a moment to be gone."""
    found = []

    def connects():
        with contextlib.suppress(websocket.WebSocketBadStatusException):
            found.append(page.connect())
        return found

    until(connects, 10)
    return found[0]


def test_broken_websockets(site, page, tried):
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
        connection = connected(page)
        connection.sock.sendall(frame)
        connection.shutdown()
    tried("broken websockets", len(frames))


def test_addresses(site, page, tried):
    secret = site.address.split("/")[3]
    up = ["..", "%2e%2e", "..%2f..", "%252e%252e", "..%5c..", "....//....", ".%00./"]
    below = ["voila/files", "voila/static", "voila/templates/lab/static", "voila/labextensions"]
    below += ["voila/api/themes", "voila/templates", "static", "files", "nbextensions"]
    paths = [f"/{secret}/{part}/" + f"{way}/" * 6 + "etc/passwd" for part in below for way in up]
    paths += [f"/{secret}/{part}//etc/passwd" for part in below]
    others = [
        "app.ipynb",
        "voila/render/app.ipynb",
        "voila/tree",
        "voila/tree/",
        "api",
        "api/kernels",
    ]
    others += ["api/contents", "api/sessions", "api/terminals", "api/kernelspecs", "lab", "tree"]
    others += ["login", "logout", "api/spec.yaml", "metrics", "voila/files/app.ipynb", "api/me"]
    others += [f"api/kernels/{page.kernel}/{verb}" for verb in ("restart", "interrupt", "execute")]
    paths += [f"/{secret}/{other}" for other in others] + [f"/{other}" for other in others]
    paths += [
        f"/{secret[:-1]}/",
        f"/{secret}",
        f"/{secret[::-1]}/",
        f"//{secret}/../",
        "/%00",
        "/*",
    ]
    for path in paths:
        code, text = raw(site, "GET", path)
        assert code in (301, 302, 400, 403, 404, 405, 500), (path, code)
        assert b"root:" not in text, path
        assert b'"cells"' not in text, path
    tried("addresses", len(paths))


def test_methods_and_headers(site, page, tried):
    secret = site.address.split("/")[3]
    methods = ["HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"]
    places = [f"/{secret}/", "/", f"/{secret}/voila/static/voila.js", "/nowhere"]
    for method in methods:
        for place in places:
            assert raw(site, method, place)[0] in (200, 204, 400, 403, 404, 405, 500), (
                method,
                place,
            )
    purposes = ["image", "iframe", "script", "style", "empty", "object", "embed", "worker", "x"]
    for purpose in purposes:
        assert site.ask(Sec_Fetch_Dest=purpose)[0] == 403
    hosts = ["elsewhere.example", "127.0.0.1.nip.io", "0.0.0.0", "[::2]", "x" * 2000, "a:b:c", "-"]
    for host in hosts:
        assert site.ask(Host=host)[0] in (400, 403), host
    kernels = [
        f"voila/api/shutdown/{name}" for name in ("x", str(uuid.uuid4()), "../..", page.kernel)
    ]
    for path in kernels:
        assert site.ask(path, "POST", b"", Origin="http://elsewhere.example")[0] in (403, 404)
    delete = f"api/kernels/{page.kernel}"
    for cookie in ("", "_xsrf=1", "_xsrf=2|a|b|1", 'username-127-0-0-1="2|1:0|x"', "x" * 5000):
        assert site.ask(delete, "DELETE", Cookie=cookie)[0] == 403, cookie
    tried("methods and headers", len(methods) * len(places) + 16 + len(kernels) + 5)


def raw(site, method, path):
    """Asks for a path just as it stands; urllib would tidy it."""
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_broken_requests(site, tried):
    requests = [b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000, b"\0" * 1000, b"GET /" + b"a" * 10**5]
    requests += [b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"GET\r\n\r\n", b"\r\n" * 1000]
    requests += [
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
        b"PRI * HTTP/2.0",
    ]
    requests += [b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n" + bytes(10**6)]
    for request in requests:
        visitor = socket.create_connection(("127.0.0.1", site.port), timeout=30)
        with visitor, contextlib.suppress(ConnectionError):
            visitor.sendall(request)
    idle = [socket.create_connection(("127.0.0.1", site.port), timeout=30) for _ in range(100)]
    assert site.ask("/")[0] == 403
    for visitor in idle:
        visitor.close()
    tried("broken requests", len(requests) + len(idle))


def test_more_pages_than_there_may_be(site, page, tried):
    """Some are opened in full, some left at once; none is left over."""
    path = site.address.partition(str(site.port))[2]
    hurried = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    for _ in range(10):
        with socket.create_connection(("127.0.0.1", site.port)) as visitor:
            visitor.sendall(hurried)
    until(lambda: len(site.kernels) == 1)
    pages = [site.open() for _ in range(MOST_KERNELS - 1)]
    for _ in range(3):
        assert site.ask()[0] == 503
        assert len(site.kernels) == MOST_KERNELS
    for opened in pages:
        assert [opened.beacon(), opened.beacon()] == [204, 204]  # a kernel ends but once
    until(lambda: len(site.kernels) == 1)
    tried("pages too many", 10 + 3 + 3)
