"""The studio on a page: a server for whoever sits at this machine, or for visitors.

It serves a page, its scripts, and a websocket by which they talk. At home there is one studio, and
its address is a secret. For visitors there is a room for each, with a studio of its own, which
costs nothing before something is asked of it; they take turns at the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hmac
import logging
import secrets
import shutil
import socket
import tempfile
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import uvicorn
import websockets  # noqa: F401, uvicorn serves pages without it, but no connections
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from mnst.painting.options import StudioOptions
from mnst.studio import page
from mnst.studio.background import checked
from mnst.studio.messages import MessageError, packed, unpacked
from mnst.studio.store import Store
from mnst.studio.studio import Limits, Page, Studio
from mnst.studio.turns import Turns
from mnst.studio.wishes import MOST_STYLES

_MOST_WAITING = 128 * 2**20  # bytes that a page has not taken yet
_GRACE = 2  # seconds that connections have to end
_FULL = "All places are taken. Come back in a few minutes."

_COOKIE = "mnst"
_TO_RETURN = 900.0  # seconds in which a visitor finds everything as it was
_TIDIED_EVERY = 60.0  # seconds
_MOST_OF_A_REASON = 120  # bytes that a connection may be closed with

FOR_VISITORS = Limits(upload=12 * 2**20, learning=45.0, orders=2, paintings=12, visitors=True)
"""What a visitor may take."""

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' "
    "'unsafe-inline'; img-src 'self' blob: data:; media-src blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Rooms(Protocol):
    """Where studios are."""

    def enter(self, visitor: str) -> Studio | None:
        """Returns the studio of a visitor; None, if there is no room."""

    def leave(self, visitor: str, *, returns: bool) -> None:
        """Is called when a page of a visitor is closed; not all of them can find back."""

    def tidy(self) -> None:
        """Is called now and then."""

    def close(self) -> None:
        """Ends all of them."""


class AtHome:
    """One studio, for all pages.

    Args:
        studio: That one.
    """

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    def enter(self, visitor: str) -> Studio | None:
        """Returns it."""
        return self._studio

    def leave(self, visitor: str, *, returns: bool) -> None:
        """Keeps it as it is."""

    def tidy(self) -> None:
        """Keeps it as it is."""

    def close(self) -> None:
        """Ends it."""
        self._studio.close()


@dataclass(eq=False)
class _Room:
    studio: Studio
    folder: Path
    seen: float  # when somebody was in it last


class ForVisitors:
    """A room for each visitor, of which nothing is left when they have gone for a while.

    Args:
        most: How many there may be at a time.
        options: Those of `StudioOptions`.
    """

    def __init__(self, most: int, options: StudioOptions) -> None:
        checked(options)
        self._most, self._options = most, options
        self._turns = Turns()
        self._lock = threading.Lock()  # guards what follows
        self._rooms: dict[str, _Room] = {}

    def enter(self, visitor: str) -> Studio | None:
        """Returns the room of a visitor, making one if there is place."""
        with self._lock:
            if visitor not in self._rooms and len(self._rooms) < self._most:
                self._rooms[visitor] = self._new_room()
            room = self._rooms.get(visitor)
            if room is None:
                return None
            room.seen = time.monotonic()
            return room.studio

    def _new_room(self) -> _Room:
        folder = Path(tempfile.mkdtemp(prefix="mnst-visitor-"))
        studio = Studio(
            Store(folder), options=self._options, turns=self._turns, limits=FOR_VISITORS
        )
        return _Room(studio, folder, time.monotonic())

    def leave(self, visitor: str, *, returns: bool) -> None:
        """Ends the room of a visitor who can't find back, without a cookie."""
        with self._lock:
            room = self._rooms.get(visitor)
            if room is not None:
                room.seen = time.monotonic()
        if not returns:
            self._end([visitor])

    def tidy(self) -> None:
        """Ends the rooms of those who have been gone for a while."""
        before = time.monotonic() - _TO_RETURN
        with self._lock:
            empty = [name for name, room in self._rooms.items() if not room.studio.pages]
            gone = [name for name in empty if self._rooms[name].seen < before]
        self._end(gone)

    def _end(self, visitors: Sequence[str]) -> None:
        with self._lock:
            rooms = [self._rooms.pop(name) for name in visitors if name in self._rooms]
        for room in rooms:  # which may take as long as a step does
            room.studio.close()
            shutil.rmtree(room.folder, ignore_errors=True)

    def close(self) -> None:
        """Ends all of them."""
        self._end(list(self._rooms))


def make_app(rooms: Rooms, *, secret: str = "", hosts: tuple[str, ...] = ()) -> Starlette:
    """Returns the server's application.

    Args:
        rooms: Where studios are.
        secret: The first part of the page's address; without one, it is the address itself.
        hosts: By what names it may be called; none are all. A page elsewhere could otherwise be
            led here under a name of its own, and read what it is told.
    """
    files: dict[str, tuple[str, Callable[[], str]]] = {
        "": ("text/html", page.document),
        "start.js": ("text/javascript", page.start),
        "studio.js": ("text/javascript", page.module),
        "studio.css": ("text/css", page.style),
    }

    async def serve(request: Request, *, file: str) -> Response:
        if not _knows(request, secret):
            return PlainTextResponse("There is nothing here.", 404, _HEADERS)
        kind, read = files[file]
        response = Response(read(), headers=_HEADERS, media_type=kind)
        if not file and not secret:
            _name_visitor(request, response)
        return response

    async def link(websocket: WebSocket) -> None:
        if not _knows(websocket, secret) or not _from_own_page(websocket):
            await websocket.close(1008)
            return
        await websocket.accept()
        known = websocket.cookies.get(_COOKIE)
        visitor = known or secrets.token_hex(16)
        studio = await asyncio.to_thread(rooms.enter, visitor)
        if studio is None:
            await websocket.send_bytes(packed({"is": "end", "text": _FULL}))
            await websocket.close()
            return
        try:
            await _talk(websocket, studio)
        finally:
            await asyncio.to_thread(rooms.leave, visitor, returns=known is not None)

    @contextlib.asynccontextmanager
    async def living(_: Starlette) -> AsyncIterator[None]:
        tidying = asyncio.create_task(_tidy(rooms))
        yield
        tidying.cancel()
        await asyncio.to_thread(rooms.close)

    at = "/{secret}" if secret else ""
    return Starlette(
        routes=[
            *(Route(f"{at}/{file}", functools.partial(serve, file=file)) for file in files),
            WebSocketRoute(f"{at}/link", link),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))] if hosts else [],
        lifespan=living,
    )


async def _tidy(rooms: Rooms) -> None:
    while True:
        await asyncio.sleep(_TIDIED_EVERY)
        await asyncio.to_thread(rooms.tidy)


def _knows(connection: HTTPConnection, secret: str) -> bool:
    """Whether an address has the secret in it."""
    given = connection.path_params.get("secret", "")
    return hmac.compare_digest(given.encode(), secret.encode())


def _from_own_page(websocket: WebSocket) -> bool:
    """Whether it is our page that talks: browsers say where a script comes from."""
    origin = websocket.headers.get("origin", "")
    return origin.partition("://")[2] == websocket.headers.get("host", "") != ""


def _name_visitor(request: Request, response: Response) -> None:
    """Gives a visitor a name, by which their room is found again."""
    if _COOKIE in request.cookies:
        return
    # A page within another's, as demos are shown, keeps a cookie only so.
    within = "SameSite=None; Secure; Partitioned"
    where = within if request.url.scheme == "https" else "SameSite=Lax"
    name = secrets.token_hex(16)
    response.headers["Set-Cookie"] = f"{_COOKIE}={name}; HttpOnly; Path=/; {where}"


class _Outbox:
    """What a page is still to be told; of pictures of now, only the last.

    Args:
        loop: In which it is sent.

    Attributes:
        full: Set when the page takes too little of what it is told.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[bytes] = deque()
        self._frame: bytes | None = None
        self._bytes = 0  # of what waits
        self._filled = asyncio.Event()
        self.full = asyncio.Event()

    def put(self, message: dict[str, Any], parts: list[bytes]) -> None:
        """Takes a message, from any thread."""
        data = packed(message, parts)
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._put, message["is"] == "frame", data)

    def _put(self, passing: bool, data: bytes) -> None:
        if passing:
            self._frame = data
        elif self._bytes + len(data) > _MOST_WAITING:
            self.full.set()
        else:
            self._waiting.append(data)
            self._bytes += len(data)
        self._filled.set()

    async def next(self) -> bytes:
        """Waits for a message."""
        while not self._waiting and self._frame is None:
            self._filled.clear()
            await self._filled.wait()
        if self._waiting:
            data = self._waiting.popleft()
            self._bytes -= len(data)
            return data
        frame, self._frame = self._frame, None
        assert frame is not None
        return frame


async def _talk(websocket: WebSocket, studio: Studio) -> None:
    """Carries messages between a page and its studio, until one of them ends it."""
    outbox = _Outbox(asyncio.get_running_loop())
    page = await asyncio.to_thread(studio.join, outbox.put)
    ways = [
        asyncio.create_task(_listen(websocket, studio, page)),
        asyncio.create_task(_tell(websocket, outbox)),
        asyncio.create_task(outbox.full.wait()),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        studio.leave(page)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _listen(websocket: WebSocket, studio: Studio, page: Page) -> None:
    while True:
        received = await websocket.receive()
        if received["type"] == "websocket.disconnect":
            return
        try:
            message, parts = unpacked(received.get("bytes") or b"")
            await asyncio.to_thread(studio.do, page, message, parts)
        except MessageError as error:
            reason = str(error).encode()[:_MOST_OF_A_REASON].decode(errors="ignore")
            await websocket.close(1008, reason)
            return


async def _tell(websocket: WebSocket, outbox: _Outbox) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # it has gone meanwhile
        while True:
            await websocket.send_bytes(await outbox.next())


def run(app: Starlette, *, host: str, port: int, upload: int, ready: Callable[[], None]) -> None:
    """Serves until Ctrl-C.

    Args:
        app: What.
        host: The address to be reached at.
        port: The port.
        upload: Bytes of the largest file that is taken.
        ready: Called once it can be reached.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        ws_max_size=MOST_STYLES * upload + 2**20,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=_GRACE,
        server_header=False,
        # Behind a web server that speaks https to visitors.
        proxy_headers=True,
        forwarded_allow_ips="*",
    )

    # Which warns of every page that has gone while it was told something.
    logging.getLogger("asyncio").setLevel(logging.ERROR)

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready()

    with contextlib.suppress(KeyboardInterrupt):
        Server(config).run()
