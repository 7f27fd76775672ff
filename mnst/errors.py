"""What an error says to somebody who reads no tracebacks: one line."""

from __future__ import annotations

import errno


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
