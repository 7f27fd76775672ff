"""What a run will take, in memory and time, and whether it has to be painted in tiles for that."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from mnst import images
from mnst.engine import devices
from mnst.networks import vgg
from mnst.networks.weights import fetch_weights, find_weights
from mnst.recipes import ARTICLE, Recipe, get_recipe

TILES = (1024, 768, 512, 384, 256, 128)
"""Sides of tiles, in pixels; the largest that fits is taken."""

# Bytes, as benchmarks/large.py measures them on a CPU: of the process with its network; for each
# pixel painted as a whole; and in tiles, for each pixel of the picture, and for each of a tile.
_PROCESS = 0.96e9
_WHOLE = {"float32": 2100, "bfloat16": 1150}
_PICTURE = {"float32": 390, "bfloat16": 200}
_TILE = {"float32": 1950, "bfloat16": 1020}

# L-BFGS remembers ten steps by two arrays each, and has a few to compute with.
_OPTIMIZER = {"adam": 0, "lbfgs": (2 * 10 + 6) * 12}

_CONTAINER = Path("/sys/fs/cgroup")

_PROBE = 320  # side of the picture that a step is timed on


@dataclass(frozen=True)
class Plan:
    """What a run will take.

    Attributes:
        height: Of the picture, in pixels.
        width: Of the picture, in pixels.
        steps: How many.
        tile: Side of its tiles, in pixels; None where it is painted as a whole.
        memory: Bytes at the most. On a GPU those of the GPU, else those of the whole process.
        limit: Bytes that it may take.
        seconds: Of all steps together.
        network: What measures, in which precision, on which device.
    """

    height: int
    width: int
    steps: int
    tile: int | None
    memory: int
    limit: int
    seconds: float
    network: str

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.width} x {self.height} pixels, {self.steps} steps, {self.network}",
                f"{tiles_named(self.tile)}: {self.memory / 1e9:.1f} GB of memory, where "
                f"{self.limit / 1e9:.1f} GB may be taken",
                f"{duration(self.seconds)}: {self.seconds / self.steps:.3g} s a step",
            ]
        )


def plan(
    photo: Any,
    *,
    recipe: Recipe | str = ARTICLE,
    steps: int | None = None,
    size: int = 512,
    backbone: str = "auto",
    weights: str | os.PathLike[str] | None = None,
    precision: str = "auto",
    memory: int | str | None = None,
) -> Plan:
    """Says what a run of `stylize` would take, without painting.

    It times a few steps on a small picture, so it takes seconds and wants the machine as idle as it
    will be then. How many styles there are makes no difference, unless each has its own mask.

    Args:
        photo: The content image, anything that `mnst.load_image` takes; its size is looked at.
        recipe: As in `stylize`, and so are the others.
        steps: How many steps.
        size: The longest that a long side may be, in pixels.
        backbone: Which network measures.
        weights: Path of its weights.
        precision: What it computes in.
        memory: What the run may take.

    Returns:
        The plan; printed, it is three lines.

    Raises:
        ValueError: If an option or the picture is out of range, or the memory too little.
        FileNotFoundError: If the photo or the weights aren't there.
        WeightsError: If the weights can't be had.

    Example:
        >>> import mnst
        >>> print(mnst.plan("photo.jpg", size=4096, memory="8GB"))  # doctest: +SKIP
        4096 x 3277 pixels, 100 steps, vgg19 in bfloat16 on CPU AMD EPYC, 2 cores
        in tiles of 1024 pixels: 4.9 GB of memory, where 8.0 GB may be taken
        2 h 20 min: 84 s a step
    """
    devices.check_precision(precision)
    allowed = parse_memory(memory)
    recipe = get_recipe(recipe)
    recipe = recipe if steps is None else recipe.replace(steps=steps)
    source = find_weights(weights, backbone=backbone)
    height, width = images.load_image(photo, size=size).shape[1:3]

    device, chosen = devices.device_name(), devices.resolve_precision(precision)
    limit = memory_limit() if allowed is None else allowed
    tile = find_tile(height, width, chosen, limit, recipe.optimizer)
    source = fetch_weights(source)
    extractor = vgg.build_layers(recipe.layers, source, chosen)
    surrogate = vgg.build_surrogate(recipe.layers, source, chosen, recipe.surrogate)
    a_step = seconds_a_step(extractor, surrogate, recipe, height, width, tile)
    return Plan(
        height=height,
        width=width,
        steps=recipe.steps,
        tile=tile,
        memory=memory_needed(height, width, chosen, tile, recipe.optimizer),
        limit=limit,
        seconds=recipe.steps * a_step,
        network=f"{source.backbone} in {chosen} on {device}",
    )


def parse_memory(memory: int | str | None) -> int | None:
    """Returns bytes, given bytes or a text such as "8GB", "500 MB" or "7.5 GiB"; None is None.

    Raises:
        ValueError: If it is none of these, or not above 0.

    Example:
        >>> from mnst.engine.planning import parse_memory
        >>> parse_memory("8 GB"), parse_memory("1.5GiB")
        (8000000000, 1610612736)
    """
    if memory is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([KMGT])(i?)B?|B)?\s*", str(memory), re.I)
    if isinstance(memory, bool) or found is None or not float(found[1]):
        raise ValueError(f"memory is {memory!r}: give bytes, or a text such as '8GB' or '7.5 GiB'")
    number, prefix, binary = found.groups()
    power = "KMGT".index(prefix.upper()) + 1 if prefix else 0
    base = 1024 if binary else 1000
    return int(float(number) * base**power)


def memory_limit() -> int:
    """Returns how many bytes a run may take, if nobody says: most of what is free.

    On a GPU that is most of the GPU's, since TensorFlow takes it for itself at the start.
    """
    of_gpu = devices.gpu_memory()
    if of_gpu is not None:
        return int(0.9 * of_gpu)
    free = [psutil.virtual_memory().available, *_left_to_container()]
    # What this process has already comes on top.
    return int(0.9 * min(free)) + int(psutil.Process().memory_info().rss)


def _left_to_container() -> list[int]:
    """Returns what Linux leaves to the container that this process runs in, if it is limited."""
    try:
        limit, used = ((_CONTAINER / f"memory.{name}").read_text() for name in ("max", "current"))
        return [int(limit) - int(used)]
    except (OSError, ValueError):  # no such files, or the limit is "max"
        return []


def memory_needed(
    height: int,
    width: int,
    precision: devices.Precision,
    tile: int | None,
    optimizer: str = "adam",
) -> int:
    """Estimates the bytes that a run takes at its most: on a CPU those of the process.

    Args:
        height: Of the picture, in pixels.
        width: Of the picture, in pixels.
        precision: What the network computes in.
        tile: Side of its tiles in pixels; None is the whole picture at once.
        optimizer: The recipe's.
    """
    process = 0 if devices.gpu_memory() is not None else _PROCESS
    pixels = height * width
    process += _OPTIMIZER[optimizer] * pixels
    if tile is None:
        return round(process + _WHOLE[precision] * pixels)
    # Tiles are made alike, and so may be smaller.
    of_tile = math.prod(math.ceil(side / math.ceil(side / tile)) for side in (height, width))
    return round(process + _PICTURE[precision] * pixels + _TILE[precision] * of_tile)


def find_tile(
    height: int,
    width: int,
    precision: devices.Precision,
    limit: int,
    optimizer: str = "adam",
) -> int | None:
    """Returns the side of the tiles that a picture has to be painted in; None if it fits whole.

    Raises:
        ValueError: If not even the smallest tiles fit.
    """
    for tile in (None, *TILES):
        if memory_needed(height, width, precision, tile, optimizer) <= limit:
            return tile
    least = memory_needed(height, width, precision, TILES[-1], optimizer)
    raise ValueError(
        f"{width} x {height} pixels take {least / 1e9:.1f} GB of memory at least, but only "
        f"{limit / 1e9:.1f} GB may be taken: give a smaller size, or more memory"
    )


def seconds_a_step(
    extractor: Any, surrogate: Any, recipe: Recipe, height: int, width: int, tile: int | None
) -> float:
    """Estimates the seconds of a step, from those of a small picture's."""
    from mnst.engine import training
    from mnst.engine.tiling import Tiled
    from mnst.objective import losses

    side = max(min(_PROBE, height, width), vgg.minimum_side(recipe.layers))
    trainer = training.Trainer(extractor, recipe, side, side, surrogate=surrogate)
    picture = np.random.default_rng(0).uniform(0, 255, (1, side, side, 3)).astype(np.float32)
    seen = trainer.view.statistics(picture)
    grams = losses.style_targets([seen], seen, recipe)
    targets = losses.make_targets(seen, grams, recipe, gamma=[1], sigma=[1])
    # One step compiles; then as many as hold one correction of a surrogate, if there is one.
    cycle = 2 if surrogate is None else recipe.correct_every
    ends = [record.seconds for record in trainer.run(picture, targets, steps=cycle + 2)]
    whole = (ends[cycle + 1] - ends[1]) / cycle * height * width / side**2
    return (
        whole if tile is None else whole * Tiled(extractor, recipe, tile=tile).work(height, width)
    )


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
