"""Files, written whole or not at all, and told apart by their contents."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from pathlib import Path


def check_place(path: str | os.PathLike[str]) -> Path:
    """Returns where a file of any kind would be written, or raises what stands against it."""
    # A link is followed: the file that it points to is replaced, not the link.
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"{path}: is a folder; give the name of a file in it")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {target.parent}; make it first")
    if not os.access(target.parent, os.W_OK) or (
        target.exists() and not os.access(target, os.W_OK)
    ):
        raise PermissionError(f"{path}: can't be written; choose a place that you may write to")
    return target


def write_atomically(target: Path, data: bytes) -> None:
    """Writes a file beside its place and moves it there once it is whole and on the disk."""
    part = target.with_name(f".mnst-{uuid.uuid4().hex[:12]}.part")
    try:
        with open(part, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, part)
        part.replace(target)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from error
    finally:
        part.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file, in hex."""
    return file_digest(path, "sha256")


def file_digest(path: Path, algorithm: str) -> str:
    """Returns a file's digest by any of hashlib's algorithms, in hex."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()
