"""What the figures of both sources need."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mnst import images, paintings
from mnst.checks import check_folder, check_list, check_number, user_path
from mnst.painting.scene import style_list
from mnst.sweeping.outcome import Sweep

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAMMAS = tuple(round(0.1 * k, 1) for k in range(11))
SIZE = 256  # pixels: the sources' figures take thirty runs


@dataclass(frozen=True)
class Claim:
    """Something that a source says, as a number that could have come out otherwise.

    Attributes:
        claim: In words.
        source: Where it is said.
        there: The source's own number, or what it says in place of one.
        measure: What the number here is.
        here: That number.
        within: The least and the most that agree with the claim, as given before it was measured.

    Example:
        >>> from mnst.figures import Claim
        >>> print(Claim("they are balanced", "fig. 8", "0", "log ratio", 0.2, (-0.05, 0.05)))
        [ ] they are balanced (fig. 8: 0): log ratio 0.2, not from -0.05 to 0.05
    """

    claim: str
    source: str
    there: str
    measure: str
    here: float
    within: tuple[float, float]

    @property
    def holds(self) -> bool:
        """Whether the number agrees with the claim; what could not be measured does not."""
        least, most = self.within
        return least <= self.here <= most

    @property
    def tolerance(self) -> str:
        """What agrees, in words."""
        least, most = self.within
        if math.isinf(least):
            return f"at most {most:.3g}"
        if math.isinf(most):
            return f"at least {least:.3g}"
        return f"{least:.3g}" if least == most else f"from {least:.3g} to {most:.3g}"

    def __str__(self) -> str:
        mark, verb = ("x", "") if self.holds else (" ", "not ")
        said = f"{self.claim} ({self.source}: {self.there})"
        return f"[{mark}] {said}: {self.measure} {self.here:.3g}, {verb}{self.tolerance}"


def at_least(value: float) -> tuple[float, float]:
    """Returns what agrees with a claim that a number is so large."""
    return value, math.inf


def at_most(value: float) -> tuple[float, float]:
    """Returns what agrees with a claim that a number is so small."""
    return -math.inf, value


def with_defaults(photo: Any, styles: Any) -> tuple[Any, Any]:
    """Returns the pictures that were given, and in place of None those that are at hand."""
    if photo is None:
        from matplotlib import cbook

        photo = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    return photo, [paintings.swirls(), paintings.glass()] if styles is None else styles


def check_gammas(gammas: Sequence[float]) -> None:
    """Checks the gammas of all runs before the first of them; see `check_numbers`."""
    check_numbers("gammas", gammas, lambda share: 0 <= share <= 1, "between 0 and 1")


def check_numbers(
    name: str, values: Sequence[float], holds: Callable[[float], bool], should: str
) -> None:
    """Checks that there are two numbers or more, for each of which `holds` is true.

    Raises:
        ValueError: If that isn't so.
    """
    for k, value in enumerate(check_list(name, values, "two numbers or more", 2)):
        check_number(f"{name}[{k}]", value, holds, should)


def subfolder(folder: str | os.PathLike[str] | None, name: str) -> Path | None:
    """Returns where one of several sweeps keeps its runs, if they are kept.

    Raises:
        ValueError: If the path is empty.
        TypeError: If it is no path.
        NotADirectoryError: If there is a file in its place.
    """
    return None if folder is None else check_folder("folder", folder) / name


def input_pictures(photo: Any, styles: Sequence[Any], size: int) -> Image.Image:
    """Returns the photo and the styles side by side, in the size of the runs."""
    given = {"photo": photo} | {f"styles[{k}]": style for k, style in enumerate(style_list(styles))}
    pictures = [
        images.to_uint8(images.load_image(picture, size=size, name=images.name_of(name, picture)))
        for name, picture in given.items()
    ]
    return Image.fromarray(images.side_by_side(pictures))


def in_two_rows(runs: Sweep, width: int) -> Image.Image:
    """Returns the contact sheet of a sweep over gamma."""
    return runs.grid(columns=math.ceil(len(runs) / 2), width=width)


def new_figure(width: float, height: float) -> Figure:
    """Returns an empty figure, in inches, that pyplot knows nothing of."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_figures(
    folder: str | os.PathLike[str], figures: dict[str, Image.Image | Figure]
) -> list[Path]:
    """Writes figures by name as PNG into a folder, and returns their paths."""
    place = user_path(folder)
    place.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        if isinstance(figure, Image.Image):
            images.save_image(place / f"{name}.png", np.asarray(figure))
        else:
            with images.replacing(place / f"{name}.png") as file:
                figure.savefig(file, format="png", dpi=120)
    return [place / f"{name}.png" for name in figures]
