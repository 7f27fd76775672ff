"""Voila's server with doors: who may start a kernel, how many, what it is told, when it ends.

Everything is below a secret address, Voila's own handlers stand behind ours, and Jupyter's manager
of kernels behind `Kernels`. Voila is imported here, and comes with mnst[notebooks];
`mnst.studio.app` imports this file when it serves.
"""

from __future__ import annotations

import asyncio
import html
import re
from pathlib import Path
from typing import Any

from jupyter_events import EventLogger
from jupyter_server import CallContext
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado import web
from tornado.ioloop import IOLoop
from tornado.iostream import StreamClosedError
from traitlets import Instance
from traitlets.config import Config
from voila.app import Voila
from voila.shutdown_kernel_handler import VoilaShutdownKernelHandler
from voila.tornado.handler import TornadoVoilaHandler
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler

from mnst.studio import messages
from mnst.studio.widgets import UPLOAD_LIMIT

MOST_KERNELS = 4
"""How many pages can be open at once; each has a network in memory."""

_TO_CONNECT = 60  # seconds that a page has until it talks to its kernel,
_TO_RETURN = 10  # and those in which it may come back after its connection was lost
_TO_LEAVE = 2  # A page that is reloaded says goodbye, and is there again before it is gone.

# As many bytes at once as an upload has, and then so many a second; every message counts for a
# little more than it has.
_AT_ONCE = 2 * UPLOAD_LIMIT
_A_SECOND = 16 * 2**20
_A_MESSAGE = 2**16
_MOST_CONNECTIONS = 8  # to a kernel; a page has one, and others while that fades away
_MOST_BODY = 2**16  # bytes of a request; uploads come by the websocket

# The page takes nothing from elsewhere (Voila's asks a public server for icons), sends nothing
# there, and is shown in nobody's frame.
_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "frame-ancestors 'none'; form-action 'self'; base-uri 'self'"
)


class Kernels(AsyncMappingKernelManager):
    """Few kernels, and none whose page is gone."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._starting = 0
        # The kernels of pages, and of those that nobody talks to the timer that will end them.
        self._pages: dict[str, object] = {}

    async def _async_start_kernel(self, **options: Any) -> str:
        await self._wait_for_room()
        self._starting += 1
        try:
            kernel_id: str = await super()._async_start_kernel(**options)
        finally:
            self._starting -= 1
        self._pages[kernel_id] = None
        CallContext.get(CallContext.JUPYTER_HANDLER).kernel_id = kernel_id
        return kernel_id

    start_kernel = _async_start_kernel

    async def _wait_for_room(self) -> None:
        for _ in range(10 * _TO_LEAVE):
            if len(self) + self._starting < MOST_KERNELS:
                return
            await asyncio.sleep(0.1)
        raise web.HTTPError(
            503, f"{MOST_KERNELS} pages are open already: close one, and reload this one"
        )

    def connections(self, kernel_id: str) -> int:
        """Returns how many websockets lead to a kernel."""
        return int(self.kernel_model(kernel_id)["connections"])

    def notify_connect(self, kernel_id: str) -> None:
        """Is called when a page talks to its kernel."""
        super().notify_connect(kernel_id)
        self._keep(kernel_id)

    def notify_disconnect(self, kernel_id: str) -> None:
        """Is called when a connection is lost."""
        super().notify_disconnect(kernel_id)
        self.end_unless_used(kernel_id, _TO_RETURN)

    def end_unless_used(self, kernel_id: str, seconds: float) -> None:
        """Ends a kernel if nobody talks to it for so long."""
        if kernel_id in self._pages and kernel_id in self and not self.connections(kernel_id):
            self._keep(kernel_id)
            self._pages[kernel_id] = IOLoop.current().call_later(seconds, self.end, kernel_id)

    async def end(self, kernel_id: str) -> None:
        """Ends a kernel at once: there is nothing in it that anybody will miss."""
        self._keep(kernel_id)
        if self._pages.pop(kernel_id, self) is not self and kernel_id in self:
            await self.shutdown_kernel(kernel_id, now=True)

    def _keep(self, kernel_id: str) -> None:
        if timer := self._pages.get(kernel_id):
            IOLoop.current().remove_timeout(timer)
            self._pages[kernel_id] = None


class PageHandler(TornadoVoilaHandler):
    """The page; every one that is opened has a kernel of its own."""

    kernel_id = ""  # as soon as there is one

    async def get(self, path: str | None = None) -> None:
        """Writes the page, whose cells are run meanwhile."""
        # A browser says what it wants something for: no picture or frame starts a kernel.
        if self.request.headers.get("Sec-Fetch-Dest", "document") != "document":
            raise web.HTTPError(403, "this is a page, to be opened as one")
        patience = 0
        try:
            async for part in self.get_generator(path=path):
                self.write(part)
                await self.flush()
            patience = _TO_CONNECT
        except StreamClosedError:
            pass  # the browser has left
        finally:
            self.kernel_manager.end_unless_used(self.kernel_id, patience)

    def write_error(self, status_code: int, **options: Any) -> None:
        """Says in plain words why there is no page."""
        error = options.get("exc_info", (None, None))[1]
        reason = getattr(error, "log_message", None) or "this did not work out"
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(f"<!doctype html><title>mnst</title><p>{html.escape(reason)}</p>")


class ChannelsHandler(VoilaKernelWebsocketHandler):
    """The websocket by which a page talks to its kernel."""

    async def get(self, kernel_id: str) -> None:
        """Opens it, to a page of ours."""
        offered = self.request.headers.get("Sec-WebSocket-Protocol", "")
        if messages.PROTOCOL not in re.split(r",\s*", offered):
            raise web.HTTPError(400, f"speak {messages.PROTOCOL}")
        # ZeroMQ has it for a name.
        if not re.fullmatch(r"[\w-]{1,64}", self.get_argument("session_id", ""), re.ASCII):
            raise web.HTTPError(400, "give a session_id of up to 64 letters and digits")
        if self.kernel_manager.connections(kernel_id) >= _MOST_CONNECTIONS:
            raise web.HTTPError(503, "too many connections to this kernel")
        self._allowed, self._since = float(_AT_ONCE), IOLoop.current().time()
        self._refused = False
        await super().get(kernel_id)

    async def on_message(self, message: str | bytes) -> None:
        """Hands a message on, or closes; the next one is not read before this has returned."""
        if self._refused:
            return
        try:
            messages.check(message)
        except messages.MessageError as refused:
            self._refused = True
            self.close(refused.code, str(refused))
            return
        await self._wait_for_turn(len(message))
        if self.connection is not None:
            super().on_message(message)

    async def _wait_for_turn(self, size: int) -> None:
        """Sees to it that no more comes than a kernel can read."""
        now = IOLoop.current().time()
        self._allowed = min(_AT_ONCE, self._allowed + _A_SECOND * (now - self._since))
        self._since = now
        self._allowed -= size + _A_MESSAGE
        if self._allowed < 0:
            await asyncio.sleep(-self._allowed / _A_SECOND)


class ClosingHandler(VoilaShutdownKernelHandler):
    """Takes the last word of a tab that is closed."""

    def check_xsrf_cookie(self) -> None:
        """Asks for none: a page has no cookie then, and knows its kernel's name."""

    async def post(self, kernel_id: str) -> None:
        """Ends the page's kernel."""
        await self.kernel_manager.end(kernel_id)
        self.set_status(204)


class OutsideHandler(web.RequestHandler):
    """Whoever comes without the secret."""

    def get(self) -> None:
        """Says where the page is, but not the address."""
        self.set_status(403)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish("Open the whole address that `mnst app` has printed: it is a secret one.\n")


_IN_PLACE_OF = {
    TornadoVoilaHandler: PageHandler,
    VoilaKernelWebsocketHandler: ChannelsHandler,
    VoilaShutdownKernelHandler: ClosingHandler,
}


class Server(Voila):
    """Serves one notebook, below a secret address."""

    # Jupyter's managers look for it here. Without it every kernel has one of its own, whose logger
    # Python's logging keeps for ever.
    event_logger = Instance(EventLogger, ())

    def init_handlers(self) -> list[Any]:
        """Returns Voila's, with ours in the place of some, and none beyond the address."""
        found = [
            (pattern, _IN_PLACE_OF.get(handler, handler), *rest)
            for pattern, handler, *rest in super().init_handlers()
            if pattern.startswith(self.base_url)
        ]
        return [*found, ("/", OutsideHandler)]

    def listen(self) -> None:
        """Serves until Ctrl-C; Voila's own would take requests of 100 MB, and try other ports."""
        self.app.listen(
            self.port,
            self.ip,
            max_body_size=_MOST_BODY,
            body_timeout=10,
            idle_connection_timeout=60,
        )
        self.ioloop = IOLoop.current()
        try:
            self.ioloop.start()
        except KeyboardInterrupt:
            pass
        finally:
            self.stop()


def make_server(notebook: Path, *, host: str, port: int, secret: str) -> Any:
    """Returns a server of this notebook at http://host:port/secret/, to be started."""
    config = Config()
    config.Voila.ip = host
    config.Voila.port = port
    config.Voila.base_url = f"/{secret}/"
    config.Voila.log_level = "ERROR"
    config.Voila.tornado_settings = {
        # Voila answers to any name. A page elsewhere whose name is made to lead here (DNS
        # rebinding) would be of the same origin as ours.
        "allow_remote_access": False,
        "headers": {"Content-Security-Policy": _POLICY, "Referrer-Policy": "same-origin"},
        # An upload is one message; styles can be several files.
        "websocket_max_message_size": 2 * UPLOAD_LIMIT,
    }
    config.VoilaConfiguration.file_allowlist = []  # no file but the page
    config.VoilaConfiguration.show_tracebacks = False
    config.VoilaConfiguration.allow_template_override = "NO"
    config.VoilaConfiguration.allow_theme_override = "NO"
    config.VoilaConfiguration.multi_kernel_manager_class = Kernels
    config.VoilaConfiguration.http_keep_alive_timeout = 2  # soon sees that a browser has left
    # A kernel listens on ports of this machine, which others on it could listen to. Older
    # Jupyters can't encrypt, and pass over it.
    config.MappingKernelManager.transport_encryption = "auto"
    server = Server(config=config, config_file_paths=[])
    server.notebook_path = str(notebook)
    server.initialize([])
    return server
