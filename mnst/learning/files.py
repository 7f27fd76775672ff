"""The files of live pictures, `.npz`: what was learnt, the photo beneath, and how it came about."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from mnst.checks import check_path
from mnst.images import arrays

_KIND = arrays.Kind("live picture", 1)

_LARGEST = 2**31  # bytes that a file may unpack to; 4096 pixels of four styles take half of that


def write(
    path: str | os.PathLike[str], parts: Mapping[str, np.ndarray], settings: Mapping[str, Any]
) -> None:
    """Writes a live picture, whole or not at all; see `mnst.images.arrays.write_arrays`."""
    arrays.write_arrays(path, _KIND, parts, settings, packed=True)


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
    with arrays.opened_arrays(check_path(name, path), _KIND, _LARGEST) as (stored, settings):
        return {part: stored[part] for part in stored if part != "about"}, settings


def damage_named(path: str | os.PathLike[str]) -> contextlib.AbstractContextManager[None]:
    """Says of whatever is raised while a file is taken apart that the file is damaged."""
    return arrays.damage_named(path, _KIND)
