"""The files of live pictures, `.npz`: what was learnt, the photo beneath, and how it came about."""

from __future__ import annotations

import contextlib
import io
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mnst import images
from mnst.checks import check_path

_KIND = "mnst live picture 1"

_LARGEST = 2**31  # bytes that a file may unpack to; 4096 pixels of four styles take half of that


def check_file(path: str | os.PathLike[str]) -> Path:
    """Returns where a live picture would be kept, or raises what stands against it."""
    if Path(path).suffix.lower() != ".npz":
        raise ValueError(f"{path}: the name must end in .npz")
    return images.check_place(path)


def write(
    path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], settings: Mapping[str, Any]
) -> None:
    """Writes a live picture, whole or not at all.

    Args:
        path: Ends in .npz.
        arrays: Of plain numbers, by name.
        settings: Anything that JSON can hold.
    """
    place, data = check_file(path), io.BytesIO()
    about = np.array(json.dumps({"kind": _KIND, "settings": settings}))
    np.savez_compressed(data, **arrays, about=about)  # type: ignore[arg-type]
    images.write_atomically(place, data.getvalue())


def read(
    path: str | os.PathLike[str], name: str = "path"
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Returns what `write` has written. Nothing that a file holds is run.

    Args:
        path: Of the file.
        name: What to call the path in errors.

    Raises:
        TypeError: If it is no path.
        FileNotFoundError: If there is no such file.
        OSError: If it can't be opened.
        ValueError: If it is damaged, or no such file.
    """
    with images.open_file(check_path(name, path)) as file, damage_named(path):
        with zipfile.ZipFile(file) as members:
            if sum(member.file_size for member in members.infolist()) > _LARGEST:
                raise ValueError("it unpacks to more than any live picture")
        file.seek(0)
        with np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        about = json.loads(str(arrays.pop("about")))
        if about["kind"] != _KIND:
            raise ValueError("it is of another kind")
        return arrays, dict(about["settings"])


@contextlib.contextmanager
def damage_named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Says of whatever is raised while a file is taken apart that the file is damaged."""
    try:
        yield
    except Exception:  # NumPy, zipfile and JSON raise what they please on a damaged file
        raise ValueError(
            f"{images.named(path)}: damaged, or no live picture of this version of mnst"
        ) from None
