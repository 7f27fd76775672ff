"""Functions whose `**options` are of a kind: names checked, defaults filled in, shown in help."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast, get_args, get_type_hints

from mnst.checks import did_you_mean

Takes = TypeVar("Takes", bound=Callable[..., Any])


def defaults(kind: type) -> dict[str, Any]:
    """Returns the defaults of a kind of options, by name."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: get_args(hint)[1] for name, hint in hints.items()}


def takes(kind: type, **changes: Any) -> Callable[[Takes], Takes]:
    """Makes a function, or a class, whose `**options` are of a kind check and complete them.

    Its signature and its docstring, where they say `**options`, then have them one by one.

    Args:
        kind: A `TypedDict` whose annotations are `Annotated` with the defaults, and whose
            docstring, or those of its bases, describe its options.
        **changes: Other defaults, for functions that reproduce somebody's figures.
    """
    standing = {**defaults(kind), **changes}

    def decorate(target: Takes) -> Takes:
        if isinstance(target, type):
            target.__init__ = decorate(target.__init__)  # type: ignore[misc]
            target.__doc__ = _with_options(target.__doc__, kind, standing)
            return target
        return cast(Takes, _completing(target, kind, standing))

    return decorate


def _completing(function: Any, kind: type, standing: dict[str, Any]) -> Any:
    parameters = inspect.signature(function).parameters.values()
    own = [p for p in parameters if p.kind is not p.VAR_KEYWORD]
    known = {*standing, *(p.name for p in own)}

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        for name in options.keys() - known:
            called = function.__qualname__.removesuffix(".__init__")
            raise TypeError(f"{called}() has no option {name!r}{did_you_mean(name, known)}")
        return function(*args, **{**standing, **options})

    # Without annotations, which would make it long: type checkers read the function's own.
    shown = [p.replace(annotation=p.empty) for p in own]
    shown += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value)
        for name, value in standing.items()
    ]
    call.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    call.__doc__ = _with_options(function.__doc__, kind, standing)
    return call


def described(text: str | None) -> dict[str, str]:
    """Returns what a docstring says of each argument or attribute, by name, each in one line.

    Example:
        >>> from mnst.painting.options import GammaOption
        >>> from mnst.painting.signatures import described
        >>> described(GammaOption.__doc__)["gamma"][:32]
        'The share of style 1 of two, in '
    """
    return {name: " ".join(entry.split()[1:]) for name, entry in _entries(text).items()}


def _entries(text: str | None) -> dict[str, str]:
    """Returns the lines of each argument or attribute in a docstring, by name."""
    clean = inspect.cleandoc(text or "") + "\n"
    section = re.search(r"^(?:Args|Attributes):\n((?: .*\n|\n)*)", clean, re.MULTILINE)
    found = re.findall(r"^( {4}(\w+): .*\n(?: {8}.*\n)*)", section[1] if section else "", re.M)
    return {name: entry for entry, name in found}


def _with_options(text: str | None, kind: type, names: Iterable[str]) -> str | None:
    """Returns a docstring with what is said of the options in place of its `**options`."""
    if text is None:
        return None
    # A TypedDict does not know its bases: they are looked for in its module.
    kinds = [of for of in vars(inspect.getmodule(kind)).values() if isinstance(of, type)]
    said = {name: entry for of in kinds for name, entry in _entries(of.__doc__).items()}
    entries = "".join(said[name] for name in names)
    clean = inspect.cleandoc(text) + "\n"
    return re.sub(r"^ {4}\*\*options: .*\n(?: {8}.*\n)*", lambda _: entries, clean, flags=re.M)
