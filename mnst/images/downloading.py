"""Files from http(s) addresses: pictures, and whatever else is downloaded."""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import re
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any, BinaryIO

from mnst import __version__

LIMIT = 256 * 2**20  # bytes of a picture
SECONDS = 300  # that a picture may take in all
TIMEOUT = 30  # seconds without a byte


class DownloadError(OSError):
    """What an address holds didn't come.

    Attributes:
        reason: Why, in words.
        again: Whether another try may bring it.
    """

    def __init__(self, address: str, reason: str, again: bool = False) -> None:
        super().__init__(f"{without_password(address)}: can't be downloaded ({reason})")
        self.reason = reason
        self.again = again


def is_address(text: str) -> bool:
    """True for http(s) addresses, which TensorFlow Hub's and Kaggle's handles are, too."""
    return text.lower().startswith(("http://", "https://"))


def without_password(address: str) -> str:
    """Returns an address as it may be shown, without the name and the password in it."""
    scheme, mark, rest = address.partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" not in host and re.search(r":(?!\d*$)[^\]]*$", host):
        host = rest  # a password with a slash in it is against the rules, and a secret all the same
    return scheme + mark + rest[host.rfind("@") + 1 :]


def download(address: str) -> bytes:
    """Returns what an address holds, or raises what stands against it, in a line.

    Raises:
        DownloadError: If it can't be reached, breaks off, or takes too long.
        ValueError: If it is larger than `LIMIT`.
    """
    data = io.BytesIO()
    download_into(data, address, limit=LIMIT, seconds=SECONDS)
    return data.getvalue()


def download_into(
    file: BinaryIO,
    address: str,
    *,
    limit: int,
    seconds: float,
    timeout: float | None = None,
    arrived: Callable[[int, int | None], object] = lambda count, expected: None,
) -> None:
    """Writes what an address holds, just as it comes, into a file.

    Args:
        file: Where to; what is too much is not written.
        address: http(s), as are all that it leads to. A name and a password in it are sent there,
            and nowhere else.
        limit: Bytes that it may be.
        seconds: Seconds that it may take in all.
        timeout: Seconds that may pass without a byte; `TIMEOUT`, if not given.
        arrived: Called with the bytes that have come, and those announced, if they were.

    Raises:
        DownloadError: If it can't be reached, breaks off, or takes too long.
        ValueError: If it is larger than the limit.
    """
    timeout = TIMEOUT if timeout is None else timeout
    deadline = _Deadline(seconds)
    try:
        with deadline, _open(address, timeout, deadline) as response:
            count, announced = 0, response.length
            too_large = announced is not None and announced > limit
            while not too_large and (data := response.read1(2**16)):
                count += len(data)
                too_large = count > limit
                if not too_large:
                    file.write(data)
                    arrived(count, announced)
            missing = response.length  # what the server announced and did not send
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _failure(error, address, deadline) from None
    if too_large:
        shown = without_password(address)
        raise ValueError(f"{shown}: larger than {limit >> 20} MiB; give a smaller file")
    if missing or deadline.over:  # of what came without a length, the end may be missing, too
        raise _failure(http.client.IncompleteRead(b"", missing or None), address, deadline)


def _failure(error: Exception, address: str, deadline: _Deadline) -> DownloadError:
    """Says in one line why nothing came; a server's words are as long as it pleases."""
    cause = getattr(error, "reason", error)
    again = False
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        reason = f"{error.code} {error.reason}"
        again = error.code in (403, 429) or error.code >= 500
    elif deadline.over:
        reason = f"it takes longer than {deadline.seconds:g} seconds"
    elif isinstance(error, (http.client.InvalidURL, UnicodeError)):
        reason = "it is no address"  # what Python says of it may show a password
    else:
        reason = str(cause) or type(cause).__name__
        if isinstance(cause, http.client.IncompleteRead):
            missing = f", {cause.expected} bytes are missing" if cause.expected else ""
            reason = f"broken off{missing}"
        lost = (TimeoutError, ConnectionResetError, EOFError, http.client.HTTPException)
        again = isinstance(cause, lost)
    line = "".join(c for c in " ".join(reason.split()) if c.isprintable())
    return DownloadError(address, line[:200], again)


def _open(address: str, timeout: float, deadline: _Deadline) -> http.client.HTTPResponse:
    quoted = urllib.parse.quote(address, safe="%/:=&?~#+!$,;'@()*[]")  # letters beyond ASCII
    parts = urllib.parse.urlsplit(quoted)
    user, at, host = parts.netloc.rpartition("@")
    headers = {"User-Agent": f"mnst/{__version__}"}
    request = urllib.request.Request(parts._replace(netloc=host).geturl(), headers=headers)
    if at:
        token = base64.b64encode(urllib.parse.unquote_to_bytes(user)).decode()
        request.add_unredirected_header("Authorization", f"Basic {token}")
    opener = urllib.request.build_opener(_Redirects, _Plain(deadline), _Encrypted(deadline))
    response: http.client.HTTPResponse = opener.open(request, timeout=timeout)
    return response


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to http(s) alone; Python's follows to ftp, too."""

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        scheme = urllib.parse.urlsplit(headers.get("Location", "")).scheme
        if scheme not in ("", "http", "https"):
            said = f"leads to {scheme}:, which is not followed"
            raise urllib.error.HTTPError(req.full_url, code, said, headers, fp)
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


class _Deadline:
    """Ends connections when their time is over, however slowly bytes still come.

    Python's own time limit is that of a single byte, and begins anew with the next.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._shut)
        self._timer.daemon = True

    @property
    def over(self) -> bool:
        return time.monotonic() >= self._end

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def connection(self, kind: type[http.client.HTTPConnection]) -> Callable[..., Any]:
        """Returns what makes connections of a kind that end at the deadline."""
        sockets = self._sockets

        class Connection(kind):  # type: ignore[valid-type, misc]
            def connect(self) -> None:
                super().connect()
                sockets.append(self.sock)

        return Connection

    def _shut(self) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):  # it is closed already
                # Not SSLSocket's own, which forgets that it was encrypted.
                socket.socket.shutdown(each, socket.SHUT_RDWR)


class _Plain(urllib.request.HTTPHandler):
    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._connection = deadline.connection(http.client.HTTPConnection)

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connection, req)


class _Encrypted(urllib.request.HTTPSHandler):
    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._connection = deadline.connection(http.client.HTTPSConnection)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connection, req)
