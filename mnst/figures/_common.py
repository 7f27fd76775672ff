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
    """Something that a source says, and what came out here.

    Attributes:
        claim: In words.
        source: What the source found.
        here: What was measured here.
        holds: Whether the measurement agrees with the claim.
    """

    claim: str
    source: str
    here: str
    holds: bool

    def __str__(self) -> str:
        return f"[{'x' if self.holds else ' '}] {self.claim}: {self.source}; here {self.here}"


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
