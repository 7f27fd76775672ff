"""Many gammas: those along a crossfade's path, and those of a sweep; pictures read once for all."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mnst.checks import check_list
from mnst.objective.mixing import by_layer
from mnst.painting.mixture import GammaPicture, Mixture, read_gamma
from mnst.recipes import Recipe


def shares_of(gamma: Any, styles: int, photo: np.ndarray, sides: tuple[int, int]) -> Any:
    """Returns a gamma with its pictures read.

    Args:
        gamma: As in `stylize`, checked already.
        styles: How many styles there are.
        photo: For which maps are drawn, float32 [1, H, W, 3], 0..255.
        sides: Height and width whose proportions pictures have, and that they are brought to.

    Returns:
        The share of each style, float64 [K]; float32 [K, h, w], if it is a picture; and for a
        mapping a dict of these.

    Raises:
        ValueError: If a picture has other proportions, or leaves a pixel to no style.
        TypeError: If a picture is of no kind that `mnst.load_mask` takes.
        FileNotFoundError: If there is no such file.
        OSError: If a picture can't be read.
    """
    if isinstance(gamma, Mapping):
        return {name: shares_of(each, styles, photo, sides) for name, each in gamma.items()}
    read = read_gamma(gamma, styles)
    if isinstance(read, GammaPicture):
        return read.over(photo, sides).shares(*sides, "gamma").astype(np.float32)
    return np.array(read)


def plain(shares: Any) -> Any:
    """Returns shares as the simplest gamma that stands for them.

    Args:
        shares: As `shares_of` returns them.

    Returns:
        Of two styles that of the first alone: a float, or float32 [h, w]. Of others a tuple of
        floats, or float32 [K, h, w]. For a dict a dict of these.

    Example:
        >>> import numpy as np
        >>> from mnst.painting.gammas import plain
        >>> plain({"colour": np.array([0.25, 0.75]), "form": np.array([0.5, 0.25, 0.25])})
        {'colour': 0.25, 'form': (0.5, 0.25, 0.25)}
    """
    if isinstance(shares, Mapping):
        return {name: plain(each) for name, each in shares.items()}
    if len(shares) == 2:
        shares = shares[0]
    if shares.ndim > 1:
        return shares.astype(np.float32)
    return tuple(shares.tolist()) if shares.ndim else float(shares)


def read_apart(gamma: Any, styles: int) -> Any:
    """Returns a gamma with its pictures read in their own size, for photos that come later.

    Args:
        gamma: As in `stylize`, checked already.
        styles: How many styles there are.

    Returns:
        Numbers as `plain` has them; of a map its name; of pictures float32 [h, w], one or a list of
        one for each style; and for a mapping a dict of these.

    Raises:
        TypeError: If a picture is of no kind that `mnst.load_mask` takes.
        FileNotFoundError: If there is no such file.
        OSError: If a picture can't be read.
    """
    if isinstance(gamma, Mapping):
        return {name: read_apart(each, styles) for name, each in gamma.items()}
    read = read_gamma(gamma, styles)
    if not isinstance(read, GammaPicture):
        return plain(np.array(read))
    if not read.pictures:
        return read.name
    return read.pictures[0] if len(read.pictures) == 1 else [*read.pictures]


def as_given(gamma: Any, styles: int) -> Any:
    """Returns a gamma as it was given, with its numbers as floats and tuples of floats."""
    if isinstance(gamma, Mapping):
        return {name: as_given(each, styles) for name, each in gamma.items()}
    read = None if gamma is None else read_gamma(gamma, styles)
    if read is None or isinstance(read, GammaPicture):
        return gamma
    return read if np.ndim(gamma) else read[0]


def gamma_in_words(gamma: Any, picture: Callable[[Any], str]) -> str:
    """Says a gamma in few words; `picture` says those that are pictures.

    Example:
        >>> from mnst.painting.gammas import gamma_in_words
        >>> gamma_in_words({"colour": 0.25, "form": (0.0, 1.0)}, str)
        'colour 0.25, form 0, 1'
        >>> gamma_in_words("ramp.png", str)
        'gamma ramp.png'
    """

    def said(of: Any) -> str:
        if not is_numbers(of):
            return picture(of)
        return ", ".join(f"{share:.3g}" for share in as_shares(of)) or "equal"

    named = gamma if isinstance(gamma, Mapping) else {"gamma": gamma}
    return ", ".join(f"{name} {said(each)}" for name, each in named.items())


def as_shares(gamma: float | tuple[float, ...] | None) -> tuple[float, ...]:
    """Returns a gamma as shares: none, for equal ones."""
    if gamma is None:
        return ()
    return gamma if isinstance(gamma, tuple) else (gamma,)


def is_numbers(gamma: Any) -> bool:
    """True for a gamma without pictures and names: a share, a tuple of them, or None."""
    numbers = gamma if isinstance(gamma, tuple) else (gamma,)
    return gamma is None or all(isinstance(number, float) for number in numbers)


def crossed(gamma: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Returns every combination of several crossfaders, each with a list; the first moves fastest.

    Raises:
        ValueError: If one of them has no list.

    Example:
        >>> from mnst.painting.gammas import crossed
        >>> crossed({"colour": [0, 1], "form": [0.5]})
        [{'colour': 0, 'form': 0.5}, {'colour': 1, 'form': 0.5}]
    """
    lists = [
        check_list(f"gamma[{name!r}]", values, "gammas, as in [0, 0.5, 1]")
        for name, values in gamma.items()
    ]
    names = [*gamma][::-1]
    each = (dict(zip(names, values, strict=True)) for values in itertools.product(*lists[::-1]))
    return [{name: values[name] for name in gamma} for values in each]


def stations_of(path: Any, styles: int, recipe: Recipe, frames: int) -> list[Any]:
    """Returns the gammas that a path leads through, after checking all but their pictures.

    Args:
        path: As in `crossfade`.
        styles: How many styles there are.
        recipe: Whose layers.
        frames: How many frames there are: of a function, each is a station.

    Raises:
        ValueError: If there are fewer than two styles or stations, or one is no gamma.
    """
    named = stations_on(path, styles, frames)
    for name, each in named.items():
        Mixture.of(each, styles, recipe, name=name)
    return [*named.values()]


def stations_on(path: Any, styles: int, frames: int) -> dict[str, Any]:
    """Returns what a path leads through, by what errors call it, before it is checked.

    Raises:
        ValueError: If there are fewer than two styles or stations.
    """
    if styles < 2:
        raise ValueError("a crossfade leads from style to style: give two or more")
    if path is None:
        path = [*np.eye(styles)[::-1]]
    if callable(path):
        times = (k / (frames - 1) for k in range(frames))
        return {f"path({t:.4g})": path(t) for t in times}
    listed = check_list("path", path, "two gammas or more, as in [0, 1], or a function", 2)
    return {f"path[{k}]": each for k, each in enumerate(listed)}


def brought_together(
    stations: Sequence[Any], groups: Mapping[str, Sequence[str]], further: Iterable[str] = ()
) -> list[Any]:
    """Returns stations, all of them by the same names where one of them has names.

    Args:
        stations: From `stations_of`.
        groups: The layers of the style, by the names of groups; see `Recipe.groups`.
        further: Layers that are in no group.

    Example:
        >>> from mnst.painting.gammas import brought_together
        >>> brought_together([0, {"colour": 1}], {"colour": ["a"], "form": ["b", "c"]})
        [{'colour': 0, 'form': 0}, {'colour': 1, 'form': None}]
    """
    names = {name for each in stations if isinstance(each, Mapping) for name in each}
    if not names:
        return [*stations]
    # Where groups are enough, each of them is as good as a layer.
    if names <= {*groups}:
        groups, further = {group: [group] for group in groups}, ()
    return [by_layer(each, groups, further) for each in stations]


def along(stations: Sequence[Any], frames: int) -> Iterator[Any]:
    """Yields gammas from the first station to the last, evenly, passing by those between.

    Args:
        stations: Two or more, as `shares_of` returns them, or dicts by the same names.
        frames: How many gammas to yield, two or more.

    Yields:
        The same kinds. Between two stations it is their mean, weighted by how near they are; with
        a picture on one side it is a picture.

    Example:
        >>> import numpy as np
        >>> from mnst.painting.gammas import along
        >>> [shares.tolist() for shares in along([np.array([0, 1]), np.array([1, 0])], 3)]
        [[0, 1], [0.5, 0.5], [1, 0]]
    """
    for k in range(frames):
        # In whole numbers, so that a frame that is a station's is that station, exactly.
        passed, beyond = divmod(k * (len(stations) - 1), frames - 1)
        gamma = stations[passed]
        if beyond:
            gamma = _between(gamma, stations[passed + 1], beyond / (frames - 1))
        yield gamma


def _between(one: Any, other: Any, part: float) -> Any:
    if isinstance(one, Mapping):
        return {name: _between(one[name], other[name], part) for name in one}
    deepest = max(one.ndim, other.ndim)
    one, other = (each.reshape(each.shape + (1,) * (deepest - each.ndim)) for each in (one, other))
    # In float64: rounded to float32, a part and what it lacks may be more than 1 together.
    return (1 - part) * np.float64(one) + part * np.float64(other)
