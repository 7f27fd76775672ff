"""Files, read and written: regular ones, written whole or not at all, told apart by contents."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from mnst.checks import user_path

try:
    import fcntl
except ImportError:  # Windows, where a file that is open can't be removed anyhow
    fcntl = None  # type: ignore[assignment]

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a link that leads back to itself",
}


def named(path: str | os.PathLike[str]) -> str:
    """Returns what a message calls a path, in one line whatever its letters are."""
    text = os.fspath(path)
    return text if text and text.isprintable() else repr(text)


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Opens a regular file to be read.

    A pipe that nobody writes to would be waited for, and a device need not end; so they, and
    `<(...)` of a shell, are refused.

    Raises:
        FileNotFoundError: If there is no such file.
        IsADirectoryError: If it is a folder.
        OSError: If it is no regular file, or can't be opened.
    """

    def unhesitating(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    try:
        file: BinaryIO = open(user_path(path), "rb", opener=unhesitating)  # noqa: SIM115
    except FileNotFoundError:
        raise FileNotFoundError(f"{named(path)}: there is no such file") from None
    except IsADirectoryError:
        raise IsADirectoryError(f"{named(path)}: is a folder; give a file") from None
    except (OSError, ValueError) as error:  # ValueError for what no file system can name
        raise _unusable(path, error) from None
    kind = _irregular(os.fstat(file.fileno()))
    if kind is not None:
        file.close()
        raise OSError(f"{named(path)}: is {kind}; give a regular file")
    return file


def check_place(path: str | os.PathLike[str]) -> Path:
    """Returns where a file of any kind would be written, or raises what stands against it.

    Raises:
        OSError: If it is something else than a regular file, or there is none and none can be
            made.
    """
    try:
        return _place(path)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is None:  # one of ours
            raise
        raise _unusable(path, error) from None


def _place(path: str | os.PathLike[str]) -> Path:
    if not os.fspath(path):
        raise FileNotFoundError("'': give the name of a file")
    # A link is followed: the file that it points to is replaced, not the link.
    target = Path(os.path.realpath(user_path(path)))
    try:
        found = target.lstat()
    except (FileNotFoundError, NotADirectoryError):
        found = None
    if found is not None and stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(f"{named(path)}: is a folder; give the name of a file in it")
    if os.fspath(path).endswith((os.sep, os.altsep or os.sep)):
        raise NotADirectoryError(f"{named(path)}: ends as a folder does; give the name of a file")
    kind = None if found is None else _irregular(found)
    if kind is not None:
        raise OSError(f"{named(path)}: is {kind}, which is not written over; give another name")
    if not target.parent.is_dir():
        folder = named(target.parent)
        raise FileNotFoundError(f"{named(path)}: there is no folder {folder}; make it first")
    if not os.access(target.parent, os.W_OK) or (found and not os.access(target, os.W_OK)):
        raise PermissionError(
            f"{named(path)}: can't be written; choose a place that you may write to"
        )
    return target


def _irregular(found: os.stat_result) -> str | None:
    """Returns in words what something is that is no regular file."""
    if stat.S_ISREG(found.st_mode):
        return None
    return _KINDS.get(stat.S_IFMT(found.st_mode), "not a regular file")


def _unusable(path: str | os.PathLike[str], error: OSError | ValueError) -> OSError:
    """Names the path in what the system says of it, as it was given and in one line."""
    if isinstance(error, OSError):
        code = error.errno or errno.EIO
        return OSError(code, os.strerror(code), named(path))
    return OSError(f"{named(path)}: no file can have such a name; give another")


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Opens a file beside a place, which takes the place once it is whole and on the disk.

    A process that is killed meanwhile leaves its part behind; who writes there next removes it.

    Raises:
        OSError: As `check_place`, or if the disk is full. What was there is left as it was.
    """
    target = check_place(path)
    try:
        _remove_abandoned_parts(target.parent)
        part, file = _new_part(target.parent)
        try:
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                if check_place(target).exists():  # which may have changed since
                    shutil.copymode(target, part)
                if fcntl is None:
                    file.close()
                part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        if error.errno is None:
            raise
        raise _unusable(path, error) from error


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes a file of any kind, whole or not at all; see `replacing`."""
    with replacing(path) as file:
        file.write(data)


def _new_part(folder: Path) -> tuple[Path, BinaryIO]:
    """Opens a new file, and locks it for as long as this process has it open."""
    while True:
        part = folder / f".mnst-{uuid.uuid4().hex[:12]}.part"
        file = open(part, "xb")  # noqa: SIM115, its caller closes it
        if _lock(file) is not False and part.exists():
            return part, file
        file.close()  # another process took it for an abandoned one, before it was locked


_LONG = 0.005  # seconds; five thousand files
_NEXT_LOOK: dict[Path, float] = {}  # of each folder, by the clock that is monotonic


def _remove_abandoned_parts(folder: Path) -> None:
    """Looks for them; where there are thousands of files, for a hundredth of the time."""
    if time.monotonic() < _NEXT_LOOK.get(folder, 0):
        return
    began = time.thread_time()
    for part in folder.glob(".mnst-*.part"):
        # One that is locked is being written.
        with contextlib.suppress(OSError), open_file(part) as file:
            if fcntl is None or _lock(file):
                part.unlink()
    taken = time.thread_time() - began
    if taken > _LONG:
        _NEXT_LOOK[folder] = time.monotonic() + 100 * taken


def _lock(file: BinaryIO) -> bool | None:
    """Locks a file; False if another process has it, None where files can't be locked."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems
        return None
    return True


def sha256(path: str | os.PathLike[str]) -> str:
    """Returns the SHA-256 of a file, in hex."""
    return file_digest(path, "sha256")


def file_digest(path: str | os.PathLike[str], algorithm: str) -> str:
    """Returns a file's digest by any of hashlib's algorithms, in hex."""
    digest: Any = hashlib.new(algorithm, usedforsecurity=False)
    with open_file(path) as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return str(digest.hexdigest())
