"""Servers that are slow, endless, lying or spiteful; each on a port of this machine.

What they send is either the whole picture, or refused in one line that names the address, shows no
password and comes in time. Nothing is left running, and nothing is warned of.
"""

import base64
import contextlib
import gc
import gzip
import io
import socket
import threading
import time

import numpy as np
import pytest
from PIL import Image

import mnst
from mnst.images import downloading

TIMEOUT, TOTAL = 0.4, 1.2  # seconds: without a byte, and in all
LIMIT = 100_000


def picture():
    data = io.BytesIO()
    Image.fromarray(np.full((24, 32, 3), 99, np.uint8)).save(data, "PNG")
    return data.getvalue()


PNG = picture()


@contextlib.contextmanager
def serving(answer):
    """Runs `answer(send, head)` for each connection; gives the port."""
    listening = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def talk(connection):
        # Whoever is asked may hang up, which ends what is said to them.
        with contextlib.suppress(OSError), connection:
            head = b""
            while b"\r\n\r\n" not in head:
                part = connection.recv(2**16)
                if not part:
                    return
                head += part

            def send(*parts, pause=0.0):
                for part in parts:
                    connection.sendall(part)
                    if pause and ended.wait(pause):
                        return

            answer(send, head, ended)

    def listen():
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        ended.set()
        listening.shutdown(socket.SHUT_RDWR)  # which ends `accept`
        listening.close()


def ok(body=PNG, *lines, length=None, status=b"200 OK", version=b"HTTP/1.1"):
    """An answer, as bytes."""
    lines = [b"Content-Length: %d" % (len(body) if length is None else length), *lines]
    lines = [line for line in lines if line]
    return (
        version
        + b" "
        + status
        + b"\r\n"
        + b"".join(line + b"\r\n" for line in lines)
        + (b"Connection: close\r\n\r\n" + body)
    )


def says(*parts, pause=0.0):
    return lambda send, head, ended: send(*parts, pause=pause)


def drips(data):
    return says(*(bytes([byte]) for byte in data), pause=0.05)


def forever(start, part, pause=0.0):
    def answer(send, head, ended):
        send(start)
        while not ended.is_set():
            send(part, pause=pause)

    return answer


def silent(*parts):
    def answer(send, head, ended):
        send(*parts)
        ended.wait(10)

    return answer


def leads_to(place, status=b"302 Found"):
    line = b"Location: " + place.encode("latin-1")
    return says(ok(b"", line, status=status))


def chunked(*parts, head=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"):
    return says(head + b"Connection: close\r\n\r\n" + b"".join(parts))


def piece(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

READ = {
    "as it should be": says(ok()),
    "HTTP/1.0": says(ok(version=b"HTTP/1.0")),
    "no length": says(b"HTTP/1.0 200 OK\r\n\r\n" + PNG),
    "a wrong type": says(ok(PNG, b"Content-Type: text/html; charset=klingon")),
    "no reason": says(ok(status=b"200 ")),
    "bytes in pairs": says(*(ok()[k : k + 2] for k in range(0, len(ok()), 2)), pause=0.001),
    "too short a length": says(ok(PNG + b"more", length=len(PNG))),
    "chunks": chunked(piece(PNG[:9]), piece(PNG[9:]), b"0\r\n\r\n"),
    "chunks with a tail": chunked(piece(PNG), b"0\r\nTail: yes\r\n\r\n"),
    "chunks with words": chunked(b"%x;a=b\r\n%s\r\n0\r\n\r\n" % (len(PNG), PNG)),
    "many headers": says(ok(PNG, *(b"X-%d: y" % k for k in range(90)))),
    "a cookie": says(ok(PNG, b"Set-Cookie: a=b; Secure")),
    "a negative length": says(ok(PNG, length=-5)),
    "a length of words": says(ok(PNG, b"Content-Length: many")),
    "continue first": says(b"HTTP/1.1 100 Continue\r\n\r\n", ok()),
}  # fmt: skip

REFUSED = {
    "silent": (silent(), "timed out"),
    "silent in the status": (silent(b"HTTP/1.1 20"), "timed out"),
    "silent in the head": (silent(b"HTTP/1.1 200 OK\r\nA: "), "timed out"),
    "silent in the body": (silent(ok(PNG, length=9000)), "timed out"),
    "drips the status": (drips(b"HTTP/1.1 200 " + b"O" * 900), "longer than"),
    "drips the head": (drips(b"HTTP/1.1 200 OK\r\n" + 90 * b"A: b\r\n"), "longer than"),
    "drips the body": (drips(ok(bytes(900))), "longer than"),
    "drips a chunk's length": (forever(CHUNKED + b"9;", b"a", 0.05), "longer than"),
    "continues for ever": (forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.01), "longer than"),
    "drips chunks": (forever(CHUNKED, b"1\r\na\r\n", 0.05), "longer than"),
    "endless body": (forever(b"HTTP/1.0 200 OK\r\n\r\n", bytes(2**14)), "larger than"),
    "endless chunks": (forever(CHUNKED, piece(bytes(2**14))), "larger than"),
    "endless status": (forever(b"HTTP/1.1 200 ", b"O" * 2**12), "can't be downloaded"),
    "endless header": (forever(b"HTTP/1.1 200 OK\r\nA: ", b"b" * 2**12), "can't be downloaded"),
    "endless headers": (forever(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"), "can't be downloaded"),
    "a huge length": (says(ok(PNG, length=10**15)), "larger than"),
    "a length of 30 digits": (says(ok(PNG, length=10**30)), "larger than"),
    "too long a length": (says(ok(PNG, length=len(PNG) + 7)), "7 bytes are missing"),
    "closes at once": (says(), "can't be downloaded"),
    "closes in the status": (says(b"HTTP/1.1 2"), "can't be downloaded"),
    "closes in the head": (says(b"HTTP/1.1 200 OK\r\nContent-Le"), "not a picture|can't be"),
    "closes in the body": (says(ok()[:-9]), "9 bytes are missing"),
    "closes in a chunk": (chunked(b"%x\r\n" % len(PNG), PNG[:9]), "broken off"),
    "closes before the last chunk": (chunked(piece(PNG)), "broken off|can't be"),
    "a chunk's length in words": (chunked(b"many\r\n", PNG), "can't be downloaded"),
    "a negative chunk": (chunked(b"-5\r\n", PNG), "can't be downloaded|not a picture"),
    "a chunk of exabytes": (chunked(b"f" * 15 + b"\r\n", PNG), "broken off"),
    "packed, unasked": (
        says(ok(gzip.compress(PNG), b"Content-Encoding: gzip")), "not a picture",
    ),
    "a bomb, packed": (
        says(ok(gzip.compress(bytes(10**7)), b"Content-Encoding: gzip")), "not a picture",
    ),
    "no HTTP": (says(b"220 ftp.example.org ready\r\n"), "can't be downloaded"),
    "noise": (says(np.random.default_rng(3).bytes(3000)), "can't be downloaded"),
    "a status of words": (says(b"HTTP/1.1 fine\r\n\r\n"), "can't be downloaded"),
    "status 99": (says(ok(status=b"099 What")), "can't be downloaded"),
    "status 999": (says(ok(status=b"999 What")), "999 What"),
    "escapes in the reason": (says(ok(status=b"404 \x1b[2J\x07 gone")), "404"),
    "a page in the reason": (says(ok(status=b"404 " + b"gone " * 9000)), "404 gone"),
    "a page": (says(ok(b"<html>Sign in</html>", b"Content-Type: image/png")), "not a picture"),
    "nothing": (says(ok(b"")), "not a picture"),
    "no content": (says(ok(b"", status=b"204 No Content")), "not a picture"),
    "half a picture": (says(ok(PNG[:-30])), "damaged"),
    "PostScript": (says(ok(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")), "not a picture"),
    **{
        f"status {status}": (says(ok(b"x", status=b"%d Said" % status)), f"{status} Said")
        for status in (400, 401, 402, 403, 404, 405, 407, 410, 416, 418, 429, 451,
                       500, 501, 502, 503, 504, 511)
    },
    "leads nowhere": (says(ok(b"", status=b"302 Found")), "302"),
    "leads to ftp": (leads_to("ftp://127.0.0.1:1/a.png"), "leads to ftp:"),
    "leads to ftp, for good": (leads_to("ftp://127.0.0.1:1/a.png", b"308 There"), "leads to ftp:"),
    "leads to FTP": (leads_to("FTP://127.0.0.1:1/a.png"), "leads to ftp:"),
    "leads to a file": (leads_to("file:///etc/hostname"), "leads to file:"),
    "leads to data": (leads_to("data:image/png;base64,AAAA"), "leads to data:"),
    "leads to gopher": (leads_to("gopher://127.0.0.1:1/"), "leads to gopher:"),
    "leads to javascript": (leads_to("javascript:alert(1)"), "leads to javascript:"),
    "leads to itself": (leads_to("/photo.png"), "30[12]|infinite"),
    "leads to another port": (leads_to("http://127.0.0.1:1/a.png"), "refused"),
    "leads to no port": (leads_to("http://127.0.0.1:port/a.png"), "can't be downloaded"),
    "leads to half an address": (leads_to("http://[::1/a.png"), "can't be downloaded"),
    "leads with a password": (leads_to("http://user:hunter2@127.0.0.1:1/"), "can't be downloaded"),
    "leads to noise": (leads_to("\x01\xff"), "can't be downloaded|not a picture"),
    "leads to no host": (leads_to("http:///a.png"), "can't be downloaded"),
    "several choices": (leads_to("/photo.png", b"300 Choose"), "300"),
    "use a proxy": (leads_to("http://127.0.0.1:1/", b"305 Use Proxy"), "305"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(downloading, "TIMEOUT", TIMEOUT)
    monkeypatch.setattr(downloading, "SECONDS", TOTAL)
    monkeypatch.setattr(downloading, "LIMIT", LIMIT)


@pytest.mark.parametrize("answer", READ.values(), ids=READ)
def test_answers_that_hold_a_picture(tried, answer):
    with serving(answer) as port:
        read = mnst.load_image(f"http://127.0.0.1:{port}/photo.png")
    np.testing.assert_array_equal(read, np.full((1, 24, 32, 3), 99))
    tried("servers that are odd")


@pytest.mark.parametrize(("answer", "reason"), REFUSED.values(), ids=REFUSED)
def test_answers_that_do_not(tried, capfd, answer, reason):
    threads = threading.active_count()
    started = time.monotonic()
    with serving(answer) as port:
        address = f"http://user:hunter2@127.0.0.1:{port}/photo.png"
        with pytest.raises((OSError, ValueError), match=reason) as caught:
            mnst.load_image(address)
    assert time.monotonic() - started < TOTAL + 5 * TIMEOUT
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith(f"http://127.0.0.1:{port}/photo.png: ")
    assert len(message) < 400
    assert "hunter2" not in message
    del caught
    gc.collect()  # a connection that was left open makes a warning now, and fails the test
    assert capfd.readouterr() == ("", "")
    deadline = time.monotonic() + 5
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= threads
    tried("servers that are hostile")


def test_redirects_that_take_turns_end(tried):
    """Each is another address, so that no loop is seen; and each takes its time."""
    asked = []

    def answer(send, head, ended):
        asked.append(head)
        ended.wait(0.05)
        send(ok(b"", b"Location: /%d" % len(asked), status=b"302 Found"))

    with serving(answer) as port, pytest.raises(OSError, match="can't be downloaded"):
        mnst.load_image(f"http://127.0.0.1:{port}/photo.png")
    assert len(asked) < 30
    tried("servers that are hostile")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_password_stays_with_its_server(tried, status):
    heads = []

    def there(send, head, ended):
        heads.append(head)
        send(ok())

    with serving(there) as second:
        place = b"Location: http://127.0.0.1:%d/photo.png" % second

        def here(send, head, ended):
            heads.append(head)
            send(ok(b"", place, status=b"%d Moved" % status))

        # Python before 3.11 does not know status 308.
        with serving(here) as first, contextlib.suppress(OSError):
            mnst.load_image(f"http://user:hunter2@127.0.0.1:{first}/photo.png")
    token = base64.b64encode(b"user:hunter2")
    assert token in heads[0]
    assert all(token not in head for head in heads[1:])
    tried("servers that are hostile")
