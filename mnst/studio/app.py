"""The crossfader as a web page for whoever sits at this machine: `mnst app`.

Voila serves a notebook of a few lines, `app.ipynb`. What it could serve beyond that is turned off.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from mnst.studio.widgets import UPLOAD_LIMIT

NOTEBOOK = Path(__file__).with_name("app.ipynb")
"""The page, as a notebook."""

ADDRESS = "127.0.0.1"
PORT = 8866  # Voila's own
_PORTS = 50  # how many to try, where none was asked for

# The page takes nothing from elsewhere (Voila's asks a public server for icons), sends nothing
# there, and is shown in nobody's frame.
_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "frame-ancestors 'none'; form-action 'self'; base-uri 'self'"
)


def serve(*, port: int | None = None, browser: bool = True) -> None:
    """Serves the page on this machine, until Ctrl-C.

    Args:
        port: Where; the first free one from 8866 on, if not given.
        browser: Open a browser on it.

    Raises:
        ImportError: If Voila or ipywidgets isn't installed.
        OSError: If the port is taken.
        ValueError: If it isn't a port.
    """
    chosen = _free_port(port)
    voila = _voila()
    # A folder with nothing else in it is Voila's root and the kernel's working folder.
    with tempfile.TemporaryDirectory(prefix="mnst-app-") as folder:
        page = shutil.copy(NOTEBOOK, folder)
        server = voila.Voila(config=_config(chosen, browser), config_file_paths=[])
        server.notebook_path = page
        server.initialize([])
        # It warns of timeouts that Jupyter chooses.
        logging.getLogger("tornado").setLevel(logging.ERROR)
        print(f"http://{ADDRESS}:{chosen}/  (Ctrl-C ends it)", file=sys.stderr, flush=True)
        server.start()


def _config(port: int, browser: bool) -> Any:
    from traitlets.config import Config

    config = Config()
    config.Voila.ip = ADDRESS
    config.Voila.port = port
    config.Voila.port_retries = 0
    config.Voila.open_browser = browser
    config.Voila.log_level = "ERROR"
    config.Voila.tornado_settings = {
        # Voila answers to any name. A page elsewhere whose name is made to lead here (DNS
        # rebinding) would be of the same origin as ours, and could talk to its kernels.
        "allow_remote_access": False,
        "headers": {"Content-Security-Policy": _POLICY},
        # An upload is one message; styles can be several files.
        "websocket_max_message_size": 2 * UPLOAD_LIMIT,
    }
    config.VoilaConfiguration.file_allowlist = []  # no file but the page
    config.VoilaConfiguration.show_tracebacks = False
    config.VoilaConfiguration.allow_template_override = "NO"
    config.VoilaConfiguration.allow_theme_override = "NO"
    # A page that is closed and left open would keep its kernel, and that a network, in memory.
    config.MappingKernelManager.cull_idle_timeout = 3600
    config.MappingKernelManager.cull_interval = 60
    return config


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


def _voila() -> Any:
    """Returns Voila's application, or says how to get it."""
    try:
        import ipywidgets  # noqa: F401
        from voila import app
    except ImportError:
        raise ImportError("the page needs Voila: pip install 'mnst[notebooks]'") from None
    return app
