"""What errors and warnings say, and to whom: one line, to somebody who reads no tracebacks."""

from __future__ import annotations

import contextlib
import errno
import sys
from types import FrameType
from typing import Any


class WeightsError(RuntimeError):
    """Weights can't be had or don't fit; the message says what to do."""


class Listener:
    """Standard error, whatever has become of it: nothing ends because nobody can be told.

    It may be closed (`2>&-`), a pipe that nobody reads any more, or a file on a full disk.
    """

    def write(self, text: str) -> int:
        """Writes a text, if that can be done."""
        with contextlib.suppress(AttributeError, OSError, ValueError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """Does so, if it can be done."""
        with contextlib.suppress(AttributeError, OSError, ValueError):
            sys.stderr.flush()

    def isatty(self) -> bool:
        """True for a terminal."""
        with contextlib.suppress(AttributeError, ValueError):
            return sys.stderr.isatty()
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


LISTENER = Listener()


def tell(line: str) -> None:
    """Says a line on standard error."""
    print(line, file=LISTENER, flush=True)


def one_line(error: BaseException) -> str:
    """Returns an error's message in one line; its kind, if it has none.

    Example:
        >>> from mnst.errors import one_line
        >>> one_line(FileNotFoundError(2, "No such file or directory", "photo.jpg"))
        'photo.jpg: No such file or directory'
    """
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        full = "the disk is full" if error.errno == errno.ENOSPC else error.strerror
        return f"{error.filename}: {full}"
    return " ".join(str(error).split()) or type(error).__name__


def calls_within_mnst() -> int:
    """Returns how many calls lead from the caller's up to the first that isn't mnst's own.

    A warning's `stacklevel`, 1 and these, points at what the user wrote, however deep it arose.
    """
    frame: FrameType | None = sys._getframe(1)
    calls = 0
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "mnst":
        frame, calls = frame.f_back, calls + 1
    return calls
