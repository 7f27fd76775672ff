"""Checks of what a user gives: each returns what was given, or says in one line what would do."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from difflib import get_close_matches
from numbers import Integral
from typing import Any, TypeVar

T = TypeVar("T")


def check_whole(name: str, value: T, least: int = 1) -> T:
    """Returns a whole number that is large enough."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} is {value!r}: give a whole number, {least} or more")
    return value


def check_number(name: str, value: T, holds: Callable[[Any], bool], should: str) -> T:
    """Returns a finite number for which `holds` is true; `should` says it in words."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not holds(value):  # type: ignore[arg-type]
        raise ValueError(f"{name} is {value!r}: give a number, {should}")
    return value


def check_choice(name: str, value: T, choices: Collection[T]) -> T:
    """Returns one of several texts."""
    if value not in choices:
        raise ValueError(f"{name} is {value!r}: give one of {', '.join(map(str, choices))}")
    return value


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Returns a hint at the known name that is nearest, or nothing.

    Example:
        >>> from mnst.checks import did_you_mean
        >>> did_you_mean("gama", ["gamma", "sigma"])
        "; did you mean 'gamma'?"
    """
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
