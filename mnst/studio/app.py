"""The crossfader as a web page for whoever sits at this machine: `mnst app`.

Voila serves a notebook of a few lines, `app.ipynb`; `mnst.studio.server` says what it may do.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import secrets
import shutil
import socket
import tempfile
import threading
import webbrowser
from pathlib import Path
from typing import Any

from mnst.errors import tell

NOTEBOOK = Path(__file__).with_name("app.ipynb")
"""The page, as a notebook."""

ADDRESS = "127.0.0.1"
PORT = 8866  # Voila's own
_PORTS = 50  # how many to try, where none was asked for


def serve(*, port: int | None = None, browser: bool = True) -> None:
    """Serves the page on this machine, until Ctrl-C.

    Its address is another each time, and a secret: whoever knows it can use the page.

    Args:
        port: Where; the first free one from 8866 on, if not given.
        browser: Open a browser on it.

    Raises:
        ImportError: If Voila or ipywidgets isn't installed.
        OSError: If the port is taken.
        ValueError: If it isn't a port.
    """
    chosen = _free_port(port)
    make_server = _server().make_server
    secret = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="mnst-app-") as folder:
        # A folder with nothing else in it is Voila's root and the kernel's working folder.
        root = Path(folder, "page")
        root.mkdir()
        page = Path(shutil.copy(NOTEBOOK, root))
        server = make_server(page, host=ADDRESS, port=chosen, secret=secret)
        # It warns of timeouts that Jupyter chooses.
        logging.getLogger("tornado").setLevel(logging.ERROR)
        address = f"http://{ADDRESS}:{chosen}/{secret}/"
        tell(f"{address}  (Ctrl-C ends it)")
        if browser:
            _open_browser(address, Path(folder, "open.html"))
        server.start()


def _open_browser(address: str, file: Path) -> None:
    """Opens a browser by way of a file of ours, since others can read its command line."""
    file.write_text(f'<meta http-equiv="refresh" content="1;url={address}">')
    threading.Thread(target=webbrowser.open, args=(file.as_uri(),), daemon=True).start()


def _free_port(port: int | None) -> int:
    """Returns the port to serve on, or raises what stands against it."""
    if port is not None and not 1 <= port <= 65535:
        raise ValueError(f"port is {port}: give one of 1 to 65535, such as {PORT}")
    for tried in [port] if port is not None else range(PORT, PORT + _PORTS):
        with contextlib.suppress(OSError), socket.socket() as probe:
            # As servers do: a port whose last connections are still fading away is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((ADDRESS, tried))
            return tried
    if port is not None:
        raise OSError(f"port {port} is taken, or not yours to use: give another --port")
    raise OSError(f"ports {PORT} to {PORT + _PORTS - 1} are all taken: give another --port")


def _server() -> Any:
    """Returns our server, which needs Voila, or says how to get it."""
    try:
        import ipywidgets  # noqa: F401
        import voila  # noqa: F401
    except ImportError:
        raise ImportError("the page needs Voila: pip install 'mnst[notebooks]'") from None
    return importlib.import_module("mnst.studio.server")
