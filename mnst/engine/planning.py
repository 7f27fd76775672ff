"""What a run takes, in memory and time, and whether it has to be painted in tiles for that."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from mnst.checks import shown
from mnst.engine import devices
from mnst.engine.memory import PROCESS
from mnst.engine.tiled import Tiled
from mnst.engine.trainer import Trainer
from mnst.objective.losses import make_targets, style_targets
from mnst.recipes import Recipe

TILES = (1024, 768, 512, 384, 256, 128)
"""Sides of tiles, in pixels; the largest that fits is taken."""


class _Bytes(NamedTuple):
    """Bytes for each value that a network's layers hold of a pixel, the optimiser's apart."""

    whole: float  # painted as a whole, for each of its pixels
    picture: float  # painted in tiles, for each pixel of the picture,
    tile: float  # and for each pixel of a tile


# As benchmarks/large.py measures them with VGG19, whose layers hold 326.5 values of a pixel.
_BYTES = {
    "float32": _Bytes(2076 / 326.5, 318 / 326.5, 1950 / 326.5),
    "bfloat16": _Bytes(1126 / 326.5, 128 / 326.5, 1020 / 326.5),
}

OF_BORDERS = 1.35
"""How much more a network's layers hold where each is given the borders of a seamless picture."""

# For each value of what terms lay side by side over tiles: it is there in float32, with what is
# made of it and the gradient.
_OF_JOINED = 24

# For each value of what is brought to float32 to be measured: so is its gradient; but not all
# layers at a time.
_OF_WIDENED = 6.5

# Of what is kept of a style: it is there itself, and in turn stacked, mixed and compared.
_COPIES = 4

_PROBE = 320  # side of the picture that a step is timed on


class Load(NamedTuple):
    """What decides how much memory a pixel takes.

    Attributes:
        activations: How many values the network's layers hold of a pixel.
        precision: What the network computes in.
        arrays: How many float32 arrays of the picture's size the optimiser takes.
        joined: How many values of a pixel the layers hold that terms lay side by side over tiles.
        widened: How many values of a pixel the style's layers hold that are brought to float32
            to be measured: over all regions of the picture that masks make, or by terms that do.
        standing: Bytes that are taken whatever is painted: by styles, from `style_bytes`, and by
            the sizes before.
    """

    activations: float
    precision: devices.Precision
    arrays: int
    joined: float
    widened: float
    standing: int


def style_bytes(pictures: Sequence[np.ndarray], channels: Iterable[int]) -> int:
    """Returns the bytes that styles take, apart from what it takes to measure one.

    Args:
        pictures: The style images, which are held until they are measured.
        channels: Of each layer that a style is measured by; a Gram matrix of it is kept.
    """
    values = sum(of_layer**2 for of_layer in channels)
    return sum(picture.nbytes for picture in pictures) + len(pictures) * _COPIES * 4 * values


def parse_memory(memory: int | str | None) -> int | None:
    """Returns bytes, given bytes or a text such as "8GB", "500 MB" or "7.5 GiB"; None is None.

    Raises:
        ValueError: If it is none of these, or less than a byte.

    Example:
        >>> from mnst.engine.planning import parse_memory
        >>> parse_memory("8 GB"), parse_memory("1.5GiB")
        (8000000000, 1610612736)
    """
    if memory is None:
        return None
    if isinstance(memory, str):
        size = _read_bytes(memory)
    else:
        size = memory if isinstance(memory, Real) and not isinstance(memory, bool) else 0
    if not 1 <= size < 2**63:
        raise ValueError(f"memory is {shown(memory)}: give bytes, or a text such as '8GB'")
    return int(size)


def _read_bytes(text: str) -> float:
    """Returns what a text says; 0, if nothing."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([KMGT])(i?)B?|B)?\s*", text, re.IGNORECASE)
    if found is None:
        return 0
    number, prefix, binary = found.groups()
    power = "KMGT".index(prefix.upper()) + 1 if prefix else 0
    return float(number) * (1024.0 if binary else 1000.0) ** power


def memory_needed(height: int, width: int, load: Load, tile: int | None) -> int:
    """Estimates the bytes that a run takes at its most: on a CPU those of the process.

    Args:
        height: Of the picture, in pixels.
        width: Of the picture, in pixels.
        load: What a pixel takes.
        tile: Side of its tiles in pixels; None is the whole picture at once.
    """
    process: float = 0 if devices.uses_gpu() else PROCESS
    pixels, value = height * width, _BYTES[load.precision]
    process += load.standing + kept_bytes(height, width, load)
    widened = _OF_WIDENED * load.widened
    if tile is None:
        return round(process + (value.whole * load.activations + widened) * pixels)
    # Tiles are made alike, and so may be smaller.
    of_tile = math.prod(math.ceil(side / math.ceil(side / tile)) for side in (height, width))
    of_values = value.picture * pixels + value.tile * of_tile
    process += _OF_JOINED * load.joined * pixels
    return round(process + of_values * load.activations + widened * of_tile)


def kept_bytes(height: int, width: int, load: Load) -> int:
    """Returns the bytes that an optimiser keeps of a picture, from its first step to its last."""
    return 3 * 4 * load.arrays * height * width


def find_tile(height: int, width: int, load: Load, limit: int) -> int | None:
    """Returns the side of the tiles that a picture has to be painted in; None if it fits whole.

    Raises:
        ValueError: If not even the smallest tiles fit.
    """
    for tile in (None, *TILES):
        if memory_needed(height, width, load, tile) <= limit:
            return tile
    least = memory_needed(height, width, load, TILES[-1])
    raise ValueError(
        f"{width} x {height} pixels take {least / 1e9:.1f} GB of memory at least, but only "
        f"{limit / 1e9:.1f} GB may be taken: give a smaller size, or more memory"
    )


class Pace:
    """How fast a network and a recipe are on this machine: timed on a small picture.

    Args:
        extractor: As the `Trainer` has it, and so are those that follow.
        surrogate: Or None.
        recipe: Losses and optimiser.
        side: The long side of the picture, in pixels: the small one is no larger.
        smallest: The shortest side that the network can see.
        seamless: As the `Trainer` has it.
    """

    def __init__(
        self,
        extractor: Any,
        surrogate: Any,
        recipe: Recipe,
        side: int,
        smallest: int,
        seamless: bool = False,
    ) -> None:
        self._extractor, self._recipe = extractor, recipe
        side = max(min(_PROBE, side), smallest)
        side = side // smallest * smallest if seamless else side
        trainer = Trainer(extractor, recipe, side, side, surrogate=surrogate, seamless=seamless)
        picture = np.random.default_rng(0).uniform(0, 255, (1, side, side, 3)).astype(np.float32)
        seen = trainer.evaluator.statistics(picture)
        styles = style_targets([seen], seen, recipe)
        targets = make_targets(seen, styles, recipe, gamma=[1], sigma=[1])
        # One step compiles; then as many as hold one correction of a surrogate, if there is one.
        cycle = 2 if surrogate is None else recipe.correct_every
        ends = [record.seconds for record in trainer.run(picture, targets, steps=cycle + 2)]
        self._of_pixel = (ends[cycle + 1] - ends[1]) / cycle / side**2

    def seconds_a_step(self, height: int, width: int, *, tile: int | None) -> float:
        """Estimates the seconds of a step.

        Args:
            height: Of what is painted, in pixels.
            width: Of what is painted, in pixels.
            tile: Side of its tiles; None is as a whole.
        """
        whole = self._of_pixel * height * width
        if tile is None:
            return whole
        return whole * Tiled(self._extractor, self._recipe, tile=tile).work(height, width)


def duration(seconds: float) -> str:
    """Says how long something takes, as people do.

    Example:
        >>> from mnst.engine.planning import duration
        >>> duration(40), duration(600), duration(8400)
        ('40 s', '10 min', '2 h 20 min')
    """
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def tiles_named(tile: int | None) -> str:
    """Says how a picture is painted."""
    return "as a whole" if tile is None else f"in tiles of {tile} pixels"
