"""What errors and warnings say, and to whom: one line, to somebody who reads no tracebacks."""

from __future__ import annotations

import errno
import sys
from types import FrameType


class WeightsError(RuntimeError):
    """Weights can't be had or don't fit; the message says what to do."""


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
