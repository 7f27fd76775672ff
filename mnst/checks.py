"""Checks of what a user gives: each returns what was given, or says in one line what would do."""

from __future__ import annotations

import math
import os
import reprlib
from collections.abc import Callable, Collection
from difflib import get_close_matches
from numbers import Real
from pathlib import Path
from typing import Any

_TOO_MANY = 2**63  # for anything, and for what TensorFlow and files can hold

_IN_A_LINE = reprlib.Repr()
_IN_A_LINE.maxstring = _IN_A_LINE.maxother = _IN_A_LINE.maxlong = 80


def shown(value: object) -> str:
    """Returns a value as messages show it: in one line, and no longer than that.

    Example:
        >>> from mnst.checks import shown
        >>> shown([1, "two"]), len(shown("9" * 400))
        ("[1, 'two']", 80)
    """
    try:
        return " ".join(_IN_A_LINE.repr(value).split())
    except ValueError:  # Python writes no number of more than 4300 digits
        return f"a number of {type(value).__name__} that is too long to be shown"


def check_whole(name: str, value: Any, least: int = 1) -> int:
    """Returns a whole number that is large enough, of whatever type, as an int."""
    whole = _is_number(value) and value % 1 == 0  # which NaN and infinity are not
    if not whole or not least <= value < _TOO_MANY:
        raise ValueError(f"{name} is {shown(value)}: give a whole number, {least} or more")
    return int(value)


def check_number(name: str, value: Any, holds: Callable[[Any], bool], should: str) -> float:
    """Returns a finite number for which `holds` is true, as a float; `should` says it in words."""
    try:
        number = float(value) if _is_number(value) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or not holds(number):
        raise ValueError(f"{name} is {shown(value)}: give a number, {should}")
    return number


def _is_number(value: object) -> bool:
    """True for Python's numbers and NumPy's scalars; a truth value is none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def check_choice(name: str, value: Any, choices: Collection[str]) -> Any:
    """Returns one of several texts."""
    if not isinstance(value, str) or value not in choices:
        hint = did_you_mean(value, choices)
        raise ValueError(f"{name} is {shown(value)}: give one of {', '.join(choices)}{hint}")
    return value


def user_path(path: str | os.PathLike[str]) -> Path:
    """Returns the path that a user gave: `~` at its start is the home folder, everywhere alike.

    A file whose name really starts with `~` is given as `./~name`.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111, Path's raises where there is no home


def check_list(name: str, value: Any, of: str, least: int = 1) -> list[Any]:
    """Returns a list that is long enough, given one, a tuple or an array; `of` says of what."""
    several = isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) > 0
    if not several or len(value) < least:
        raise ValueError(f"{name} is {shown(value)}: give a list of {of}")
    return list(value)


def check_path(name: str, value: Any) -> Path:
    """Returns a path, given one or its text; see `user_path`."""
    if not isinstance(value, (str, os.PathLike)) or isinstance(os.fspath(value), bytes):
        raise TypeError(f"{name} is {shown(value)}: give a path")
    if not os.fspath(value) or "\0" in os.fspath(value):
        raise ValueError(f"{name} is {shown(os.fspath(value))}: give a path")
    return user_path(value)


def check_folder(name: str, value: Any) -> Path:
    """Returns the path of a folder that is there, or could be made."""
    folder = check_path(name, value)
    for each in (folder, *folder.parents):
        if os.path.lexists(each):
            if each.is_dir():
                break
            raise NotADirectoryError(f"{name} is {folder}: {each} is no folder; give another")
    return folder


def check_proportions(
    name: str,
    sides: tuple[int, int],
    of_picture: tuple[int, int],
    should: str = "give one of the same proportions",
) -> None:
    """Checks that one picture may be another of the same proportions, in another size.

    Where both were reduced from one original of sides a and b, none of the four is exact: whole
    pixels stand for r a and r b, and for s a and s b. A side may be the nearest whole number, the
    one below, the one above, or the nearest to the nearest, if it was reduced twice; a side that
    would be 0 is 1. So each is less than a pixel off: (h - 1) / (w + 1) < a / b < (h + 1) / (w - 1)
    for one, and likewise for H and W of the other. There is such an a / b for both if

        (h - 1) (W - 1) <= (H + 1) (w + 1)  and  (H - 1) (w - 1) <= (h + 1) (W + 1),

    and multiplied out the two are |h W - H w| <= h + w + H + W. What is let through that was not
    honest is stretched by no more than the pixels that rounding may have moved.

    Args:
        name: What to call the first in errors.
        sides: Its height and width, in pixels.
        of_picture: Those of the other.
        should: What would be right.
    """
    (height, width), (tall, wide) = sides, of_picture
    if abs(height * wide - tall * width) > height + width + tall + wide:
        raise ValueError(
            f"{name} is {width} x {height} pixels, but the picture is {wide} x {tall}; {should}"
        )


def settle(value: object, **fields: Any) -> None:
    """Sets fields of a frozen dataclass to what its checks returned."""
    for name, field in fields.items():
        object.__setattr__(value, name, field)


def did_you_mean(name: Any, known: Collection[str]) -> str:
    """Returns a hint at the known name that is nearest, or nothing.

    Example:
        >>> from mnst.checks import did_you_mean
        >>> did_you_mean("gama", ["gamma", "sigma"])
        "; did you mean 'gamma'?"
    """
    near = get_close_matches(name, known, n=1) if isinstance(name, str) else []
    return f"; did you mean {near[0]!r}?" if near else ""
