"""`python -m mnst` is the command `mnst`."""

import contextlib
import os
import sys
import threading

from mnst.backend import keep_memory
from mnst.cli import main


def run() -> None:
    """Runs a command, and ends the process."""
    if "app" not in sys.argv:  # which stays, and shall not hold what it does not need
        keep_memory()
    code = main()
    if any(thread.name.startswith("mnst ") for thread in threading.enumerate()):
        # The studio was closed, and all that was to be kept or removed is by now. But TensorFlow is
        # within a step that takes longer than one waits, and would end with SIGABRT where the
        # interpreter is taken down; or a server keeps silent that a download waits for.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError, ValueError):  # it may be closed
                stream.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    run()
