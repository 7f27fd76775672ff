"""The studio as a web page: `mnst app`, for whoever sits at this machine, or for visitors."""

from __future__ import annotations

import errno
import importlib
import secrets
import socket
import tempfile
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnst.checks import check_whole, shown
from mnst.errors import tell
from mnst.painting.options import StudioOptions
from mnst.painting.signatures import takes

if TYPE_CHECKING:
    from typing_extensions import Unpack

HOME = "127.0.0.1"
PORT = 8866
_PORTS = 50  # how many to try, where none was asked for


@takes(StudioOptions, size=1024)
def serve(
    *,
    port: int | None = None,
    browser: bool = True,
    visitors: int | None = None,
    host: str | None = None,
    **options: Unpack[StudioOptions],
) -> None:
    """Serves the studio until Ctrl-C.

    At home its address is another each time, and a secret: whoever knows it can use the page. What
    is painted is kept on this machine; docs/studio.md says where.

    Args:
        port: Where; the first free one from 8866 on, if not given.
        browser: Open a browser on it.
        visitors: Serve so many visitors at a time, each in a room of their own, of which nothing is
            kept. They take turns at the machine.
        host: The address to be reached at, for visitors; 127.0.0.1, if not given.
        **options: Those of `StudioOptions`.

    Raises:
        ImportError: If Starlette or uvicorn isn't installed.
        OSError: If the port is taken.
        ValueError: If an option is out of range.
    """
    if visitors is not None:
        check_whole("visitors", visitors)
    elif host is not None:
        raise ValueError(f"host is {shown(host)}, which is for visitors: say how many, or leave it")
    server, chosen = _server(), _free_port(port, host or HOME)
    if visitors is not None:
        rooms = server.ForVisitors(visitors, options)
        address = f"http://{host or HOME}:{chosen}/"
        app, upload = server.make_app(rooms), server.FOR_VISITORS.upload
    else:
        from mnst.studio.store import Store, default_folder
        from mnst.studio.studio import Limits, Studio

        secret, upload = secrets.token_hex(16), Limits().upload
        address = f"http://{HOME}:{chosen}/{secret}/"
        rooms = server.AtHome(Studio(Store(default_folder()), options=options))
        app = server.make_app(rooms, secret=secret, hosts=(HOME, "localhost"))
    with tempfile.TemporaryDirectory(prefix="mnst-app-") as folder:

        def ready() -> None:
            tell(f"{address}  (Ctrl-C ends it)")
            if browser and visitors is None:
                _open_browser(address, Path(folder, "open.html"))

        server.run(app, host=host or HOME, port=chosen, upload=upload, ready=ready)


def _open_browser(address: str, file: Path) -> None:
    """Opens a browser by way of a file of ours, since others can read its command line."""
    file.write_text(f'<meta http-equiv="refresh" content="0;url={address}">')
    threading.Thread(target=webbrowser.open, args=(file.as_uri(),), daemon=True).start()


def _free_port(port: int | None, host: str) -> int:
    """Returns the port to serve on, or raises what stands against it."""
    if port is not None and not 1 <= port <= 65535:
        raise ValueError(f"port is {port}: give one of 1 to 65535, such as {PORT}")
    for tried in [port] if port is not None else range(PORT, PORT + _PORTS):
        try:
            with socket.socket() as probe:
                # As servers do: a port whose last connections are still fading away is free.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, tried))
                return tried
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise OSError(f"host is {shown(host)}: {error.strerror or error}") from None
    if port is not None:
        raise OSError(f"port {port} is taken, or not yours to use: give another --port")
    raise OSError(f"ports {PORT} to {PORT + _PORTS - 1} are all taken: give another --port")


def _server() -> Any:
    """Returns our server, or says how to get what it needs."""
    try:
        return importlib.import_module("mnst.studio.server")
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "mnst":
            raise
        raise ImportError(f"the page needs {error.name}: pip install 'mnst[app]'") from None
