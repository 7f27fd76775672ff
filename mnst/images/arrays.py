"""Files of arrays, `.npz`: of what kind they are and how they came about stands in them, too."""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnst.images.files import check_place, named, open_file, replacing

_LONGEST = 2**27  # bytes that settings may unpack to; a record of a run takes some 1500


@dataclass(frozen=True)
class Kind:
    """What a file of arrays holds.

    Attributes:
        name: What messages call it.
        version: Of its format; files of another are refused.
    """

    name: str
    version: int

    @property
    def written(self) -> str:
        """What its files say of it."""
        return f"mnst {self.name} {self.version}"


def check_arrays_place(path: str | os.PathLike[str]) -> Path:
    """Returns where a file of arrays would be written, or raises what stands against it.

    Raises:
        ValueError: If the name does not end in .npz.
        OSError: As `check_place`.
    """
    if Path(path).suffix.lower() != ".npz":
        raise ValueError(f"{named(path)}: the name must end in .npz")
    return check_place(path)


def write_arrays(
    path: str | os.PathLike[str],
    kind: Kind,
    arrays: Mapping[str, Any],
    settings: Mapping[str, Any],
    *,
    packed: bool = False,
) -> None:
    """Writes a file of arrays, whole or not at all.

    Args:
        path: Ends in .npz.
        kind: What it holds.
        arrays: Of plain numbers, by name; or variables, of which one at a time is copied.
        settings: Anything that JSON can hold.
        packed: Smaller, and far slower to write.

    Raises:
        ValueError: If the name does not end in .npz.
        OSError: If the file can't be written. What was there before is left as it was.
    """
    about = np.array(json.dumps({"kind": kind.written, "settings": settings}))
    write = np.savez_compressed if packed else np.savez
    with replacing(check_arrays_place(path)) as file:
        write(file, **arrays, about=about)


@contextlib.contextmanager
def opened_arrays(
    path: str | os.PathLike[str], kind: Kind, largest: int
) -> Iterator[tuple[Mapping[str, np.ndarray], dict[str, Any]]]:
    """Opens what `write_arrays` has written. Nothing that a file holds is run.

    Args:
        path: Of the file.
        kind: What it should hold.
        largest: How many bytes its arrays may unpack to.

    Yields:
        The arrays, "about" among them, each read when it is asked for; and the settings. Whatever
        is raised while they are looked at says that the file is damaged.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it can't be opened.
        ValueError: If it is damaged, or of another kind.
    """
    with open_file(path) as file, damage_named(path, kind):
        with zipfile.ZipFile(file) as members:
            sizes = {member.filename: member.file_size for member in members.infolist()}
        about = sizes.pop("about.npy")
        if about > _LONGEST or sum(sizes.values()) > largest:
            raise ValueError("it unpacks to more than any of its kind")
        file.seek(0)
        with np.load(file, allow_pickle=False) as stored:
            said = json.loads(str(stored["about"]))
            if said["kind"] != kind.written:
                raise ValueError("it is of another kind")
            yield stored, dict(said["settings"])


@contextlib.contextmanager
def damage_named(path: str | os.PathLike[str], kind: Kind) -> Iterator[None]:
    """Says of whatever is raised while a file is taken apart that the file is damaged."""
    try:
        yield
    except Exception:  # NumPy, zipfile and JSON raise what they please on a damaged file
        raise ValueError(
            f"{named(path)}: damaged, or no {kind.name} of this version of mnst"
        ) from None
