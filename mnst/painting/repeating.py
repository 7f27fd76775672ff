"""What it takes to paint a picture again: its options, and what photo and styles were.

`Result.settings` and saved files have both, so that `stylize(photo, styles, **settings["options"])`
paints the same picture, and one can tell whether photo and styles are the same.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np

from mnst import images
from mnst.painting.mixture import MAPS
from mnst.recipes import Recipe

_STARTS = ("content", "noise")

# What a picture looks like depends on them, but they may be files or arrays, which settings can't
# hold, or would tell others of.
_MAY_BE_LEFT_OUT = ("gamma", "sigma", "init", "backbone", "weights", "mask", "style_masks")

_KEPT = (
    "size",
    "precision",
    "style_size",
    "colours",
    "keep",
    "only",
    "localize",
    "seamless",
    "seed",
)


class Source(NamedTuple):
    """What a photo or a style was read from.

    Attributes:
        sha256: Of the file, or of an array's shape, type and numbers, in hex.
        name: The last part of its path or address; None, if it had none.
    """

    sha256: str
    name: str | None = None

    def as_dict(self, *, named: bool) -> dict[str, Any]:
        """Returns what settings have of it; its name is private, unless it is asked for."""
        return {"sha256": self.sha256, **({"name": self.name} if named and self.name else {})}


def source_of(picture: Any, fetched: Any = None) -> Source:
    """Returns what tells a picture that `mnst.load_image` takes from others.

    Args:
        picture: As it was given.
        fetched: What an address holds, if it is one.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it can't be read.
    """
    name = None
    if isinstance(picture, (str, os.PathLike)):
        path = os.fspath(picture)
        name = re.split(r"[/\\]", path.split("?")[0] if images.is_address(path) else path)[-1]
        if not isinstance(fetched, bytes):
            return Source(images.sha256(path), name)
    data = fetched if isinstance(fetched, bytes) else picture
    if isinstance(data, bytes):
        return Source(hashlib.sha256(data).hexdigest(), name)
    array = np.asarray(picture)
    digest = hashlib.sha256(f"{array.dtype}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return Source(digest.hexdigest())


def repeatable(options: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
    """Returns what settings have of the options: what `stylize` takes, and what can't be kept.

    Args:
        options: All of those of `stylize`, as they were given.
        recipe: With its steps and strength.

    Example:
        >>> from mnst import FINE
        >>> from mnst.painting.repeating import repeatable
        >>> found = repeatable({"gamma": 0.4, "mask": "me.png", "seed": 0}, FINE)
        >>> found["options"]["gamma"], found["options_left_out"]
        (0.4, ['mask'])
    """
    found: dict[str, Any] = {"recipe": recipe.as_dict()}
    left_out = []
    for name in _MAY_BE_LEFT_OUT:
        value = options.get(name)
        if value is None:
            continue
        plain = _plain(name, value)
        if plain is None:
            left_out.append(name)
        else:
            found[name] = plain
    for name in _KEPT:
        if options.get(name) is not None:
            found[name] = _number_or_text(options[name])
    return {"options": found, "options_left_out": left_out}


def _plain(name: str, value: Any) -> Any:
    """Returns an option as JSON holds it; None, if it can't, or has a name of somebody's file."""
    if isinstance(value, str):
        known = {"gamma": MAPS, "init": _STARTS, "sigma": ("auto",)}
        return value if name == "backbone" or value in known.get(name, ()) else None
    if name in ("gamma", "sigma"):
        return _numbers(name, value)
    return None


def _numbers(name: str, value: Any) -> Any:
    """Returns numbers, lists of them, and both by name; None for all else, such as pictures."""
    if isinstance(value, Mapping):
        each = {str(key): _plain(name, of) for key, of in value.items()}
        return None if None in each.values() else each
    if isinstance(value, (list, tuple, np.ndarray)) and np.ndim(np.asarray(value, object)) == 1:
        numbers = [_number_or_text(each) for each in value]
        return numbers if all(isinstance(each, (int, float)) for each in numbers) else None
    number = _number_or_text(value)
    return number if isinstance(number, (int, float)) else None


def _number_or_text(value: Any) -> Any:
    """Returns a value of Python's own for a number of whatever kind, or a list of such."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, Real):
        return int(value) if isinstance(value, Integral) else float(value)
    if isinstance(value, (list, tuple)):
        return [_number_or_text(each) for each in value]
    return value
