"""A burst of hot, straight-edged shards, as of leaded glass."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mnst.paintings._common import Floats, canvas_side, palette, ramp

FIRE = palette("160810 540822 a80e3a d0181e ea3e14 f8841e fac45c fcecc8")

ROSE = palette("0e0612 38082c 760846 b00a54 d61658 ec425c f89c70 fef0d6")

LEAD = (18, 8, 12)


def glass(*, size: int = 512, seed: int = 1916) -> NDArray[np.uint8]:
    """Paint a burst of leaded glass: hatched shards of red, orange, magenta and cream.

    Args:
        size: Width and height in pixels, at least 32.
        seed: Seed of every cut and colour.

    Returns:
        RGB, uint8 [size, size, 3], 0 to 255; the same size and seed give the same bytes.

    Raises:
        ValueError: If size is below 32.

    Example:
        >>> from mnst.paintings import glass
        >>> glass(size=64).dtype
        dtype('uint8')
    """
    side = canvas_side(size)
    rng = np.random.default_rng(seed)
    canvas = Image.new("RGB", (side, side), LEAD)
    draw = ImageDraw.Draw(canvas)
    focus = rng.uniform((0.35, 0.3), (0.65, 0.6))
    beams = _fan(focus, rng)
    for beam in beams:
        shine = rng.normal(0, 0.2)
        for shard in _shatter(beam, focus, rng):
            for strip, ink in _hatch(shard, focus, shine, rng):
                draw.polygon((strip * side).ravel().tolist(), fill=ink)
            _lead(draw, shard, side, 0.0022 + 0.024 * _area(shard) ** 0.5)
    for beam in beams:
        _lead(draw, beam, side, 0.008)
    return np.array(canvas.resize((size, size), Image.Resampling.LANCZOS))


def _cut(shape: Floats, through: Floats, angle: float) -> tuple[Floats, Floats]:
    """Cut a convex polygon along a line; a side with no area has fewer than three corners."""
    offset = (shape - through) @ (-np.sin(angle), np.cos(angle))
    # A corner on the line belongs to both sides; rounding must not put it on one.
    offset[np.abs(offset) < 1e-9] = 0.0
    following = np.roll(offset, -1)
    crossed = offset * following < 0
    share = offset / np.where(crossed, offset - following, 1.0)
    crossing = shape + share[:, None] * (np.roll(shape, -1, axis=0) - shape)
    corners = np.stack([shape, crossing], axis=1).reshape(-1, 2)
    kept = np.stack([np.full(len(shape), True), crossed], axis=1).ravel()
    where = np.stack([offset, np.zeros(len(shape))], axis=1).ravel()
    return corners[kept & (where <= 0)], corners[kept & (where >= 0)]


def _area(shape: Floats) -> float:
    x, y = shape.T
    return float(abs(x @ np.roll(y, 1) - y @ np.roll(x, 1))) / 2


def _fan(focus: Floats, rng: np.random.Generator) -> list[Floats]:
    beams = [np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])]
    for angle in np.arange(7) * np.pi / 7 + rng.uniform(-0.2, 0.2, 7):
        beams = [part for beam in beams for part in _cut(beam, focus, angle) if len(part) > 2]
    return beams


def _shatter(beam: Floats, focus: Floats, rng: np.random.Generator) -> Iterator[Floats]:
    """Split a beam again and again, into many splinters and a few broad shards."""
    pieces = [beam]
    while pieces:
        piece = pieces.pop()
        if _area(piece) < max(0.0009, min(rng.pareto(1.1) * 0.0028, 0.013)):
            yield piece
            continue
        through = rng.dirichlet(np.full(len(piece), 3.0)) @ piece
        x, y = through - focus
        angle = np.arctan2(y, x) + rng.choice([np.pi / 2, np.pi / 4, -np.pi / 4])
        parts = _cut(piece, through, angle + rng.normal(0, 0.25))
        pieces += [part for part in parts if len(part) > 2]


def _hatch(
    shard: Floats, focus: Floats, shine: float, rng: np.random.Generator
) -> Iterator[tuple[Floats, tuple[int, ...]]]:
    """Slice a shard into straight strips, alternately lighter and darker, with their inks."""
    centre = shard.mean(axis=0)
    x, y = centre - focus
    reach = np.hypot(x, y)
    tone = np.clip(1.02 - 1.2 * reach + shine + rng.normal(0, 0.13), 0.04, 0.95)
    palette = ROSE if rng.uniform() < 0.12 + 0.3 * reach else FIRE
    contrast, slope = rng.choice([0.03, 0.06, 0.15]), rng.normal(0, 0.25)
    angle = np.arctan2(y, x) + rng.choice([0, np.pi / 2, 0.6, -0.6])
    pitch = rng.choice([0.004, 0.006, 0.009, 0.013])
    normal = np.array([-np.sin(angle), np.cos(angle)])
    first, last = np.sort((shard - centre) @ normal)[[0, -1]]
    at, rest = first, shard
    while len(rest) > 2:
        at += pitch * rng.uniform(0.6, 1.4)
        # A slight turn per cut makes wedges, as a gouge does, instead of ruled lines.
        strip, rest = _cut(rest, centre + normal * at, angle + rng.normal(0, 0.03))
        contrast = -contrast
        fade = slope * ((at - first) / (last - first) - 0.5)
        ink = ramp(palette, tone + fade + contrast + rng.normal(0, 0.04))
        if len(strip) > 2:
            yield strip, tuple(ink.astype(int).tolist())


def _lead(draw: ImageDraw.ImageDraw, shard: Floats, side: int, width: float) -> None:
    outline = np.vstack([shard, shard[:1]]) * side
    draw.line(outline.ravel().tolist(), fill=LEAD, width=round(width * side))
