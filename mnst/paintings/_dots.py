"""A bright riverside of small round dabs."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from mnst.paintings._common import Floats, bump, canvas_side, palette, ramp

# The inks of `dots`, in complementary pairs: green and violet, pink and turquoise, orange and blue.
INKS = (
    palette("35581c 6a9a28 a8cc3c d6e878 f6f8c0"),
    palette("3c2a78 6a4cae 9a7cd0 c4aee8 ece0f8"),
    palette("8a2458 d0508a f08cb0 f8bcd0 fde6ea"),
    palette("0c5a62 1c98a0 54c8c4 9ce4dc d8f6ee"),
    palette("8c3a14 d8641c f69a3e fcc684 feeccc"),
    palette("1c2c78 2c58b8 5c8ee0 9cc0f0 d8e8fa"),
)

SKIES, HILLS, GRASS, WATER, LEAVES, BLOOMS = range(6)

# For each of these, in percent, how often each ink is taken in the shade, and in the light.
MIX = np.array(
    [
        [[0, 12, 10, 22, 8, 48], [6, 4, 22, 6, 56, 6]],
        [[2, 40, 10, 10, 4, 34], [14, 22, 24, 10, 22, 8]],
        [[18, 34, 3, 22, 3, 20], [62, 10, 6, 2, 20, 0]],
        [[4, 16, 10, 46, 2, 22], [2, 6, 42, 28, 20, 2]],
        [[12, 34, 3, 22, 5, 24], [52, 6, 6, 8, 28, 0]],
        [[6, 40, 26, 16, 0, 12], [22, 10, 44, 0, 24, 0]],
    ]
)

# Count and width of the dabs. Wide ones close the ground; those on top leave each other room.
DABS = ((8000, 0.018), (8000, 0.015), (9000, 0.008), (6000, 0.012), (5500, 0.01), (3500, 0.007))


def dots(*, size: int = 512, seed: int = 1886) -> NDArray[np.uint8]:
    """Paint a sunny riverside in small round dabs of pure colours that mix in the eye.

    Args:
        size: Width and height in pixels, at least 32.
        seed: Seed of the composition and of every dab.

    Returns:
        RGB, uint8 [size, size, 3], 0 to 255; the same size and seed give the same bytes.

    Raises:
        ValueError: If size is below 32.

    Example:
        >>> from mnst.paintings import dots
        >>> dots(size=64).shape
        (64, 64, 3)
    """
    side = canvas_side(size)
    rng = np.random.default_rng(seed)
    river = _Riverside(rng)
    canvas = Image.new("RGB", (side, side), (246, 236, 214))
    draw = ImageDraw.Draw(canvas)
    for count, width in DABS:
        at = _spread(count, rng)
        _dab(draw, at * side, width * side, river.colour(at, rng), rng)
    if rng.uniform() < 0.5:
        canvas = ImageOps.mirror(canvas)
    return np.array(canvas.resize((size, size), Image.Resampling.LANCZOS))


class _View(NamedTuple):
    """What is seen at each point: the kind of thing, how bright it is and how lit by the sun."""

    zone: NDArray[np.int_]
    tone: Floats
    light: Floats

    def cover(
        self,
        where: NDArray[np.bool_],
        zone: NDArray[np.int_] | int,
        tone: Floats | float,
        light: Floats | float,
    ) -> None:
        self.zone[where] = np.broadcast_to(zone, where.shape)[where]
        self.tone[where] = np.broadcast_to(tone, where.shape)[where]
        self.light[where] = np.broadcast_to(light, where.shape)[where]


class _Riverside:
    """The landscape that the dabs of `dots` take their colours from."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.horizon = rng.uniform(0.36, 0.42)
        self.sun = rng.uniform((0.6, 0.13), (0.8, 0.2))
        self.phase = rng.uniform(0, 2 * np.pi, 6)
        tall, slim = rng.uniform((0.02, 0.014), (0.075, 0.03), (15, 2)).T
        far = np.stack([rng.uniform(0.36, 1.02, 15), self.horizon - 0.8 * tall, slim, tall], -1)
        turn, out = rng.uniform((0, 0), (2 * np.pi, 1), (26, 2)).T
        x, y = 0.17 * np.cos(turn) * out**0.5, 0.15 * np.sin(turn) * out**0.5
        reach = rng.uniform(0.045, 0.08, 26)
        near = np.stack([0.14 + x, 0.22 + y, reach, 0.85 * reach], axis=-1)
        # Ellipses: poplars on the far bank, then the boughs of a great tree, the top ones last.
        self.crowns = np.vstack([far, near[np.argsort(-y)]])

    def wave(self, x: Floats, phase: int) -> Floats:
        a, b, c = self.phase[phase : phase + 3]
        wave = np.sin(5 * x + a) + 0.6 * np.sin(11 * x + b) + 0.35 * np.sin(23 * x + c)
        return np.asarray(0.5 * wave)

    def sky(self, x: Floats, y: Floats) -> _View:
        gap = np.hypot(x - self.sun[0], y - self.sun[1])
        glow, disc = np.exp(-((gap / 0.3) ** 1.2)), gap < 0.045
        rings = np.cos(75 * gap) * np.exp(-gap / 0.2)
        drift = 24 * y + 1.44 * self.wave(x, 0) + 2 * x + self.phase[3]
        cloud = np.sin(drift) * np.sin(5 * x + 7 * y + self.phase[4])
        low = np.clip(y / self.horizon, 0, 1)
        tone = 0.46 + 0.4 * glow + 0.1 * rings + 0.1 * cloud + 0.2 * low + disc
        light = 0.9 * glow + 0.25 * rings + 0.35 * cloud + 0.4 * low**2 - 0.1 + disc
        view = _View(np.full(x.shape, SKIES), tone, light)
        hills = y > self.horizon - 0.06 - 0.05 * self.wave(x, 1)
        view.cover(hills, HILLS, 0.42 + 0.3 * glow, 0.1 + 0.8 * glow)
        return view

    def far_bank(self, x: Floats, y: Floats) -> _View:
        """The sky and all that stands before it, as far down as the water."""
        view = self.sky(x, y)
        view.cover(y > self.horizon - 0.012, GRASS, 0.72, 0.85)
        for *centre, width, height in self.crowns:
            right, down = (x - centre[0]) / width, (y - centre[1]) / height
            lit = 0.5 + 0.32 * (right - down)
            view.cover(right**2 + down**2 < 1, LEAVES, 0.06 + 0.58 * lit, 1.4 * lit - 0.2)
        return view

    def scene(self, x: Floats, y: Floats) -> _View:
        view = self.far_bank(x, y)
        deep = np.clip((y - self.horizon) / (1 - self.horizon), 0, 1)
        # The logarithm draws the ripples closer together towards the horizon.
        phase = 53 * np.log(0.04 + deep) + 3 * self.wave(x, 0)
        ripple = (0.008 + 0.035 * deep) * np.sin(phase)
        mirrored = self.horizon - 0.75 * (y - self.horizon) - 0.016
        zone, tone, light = self.far_bank(x + ripple, mirrored + ripple)
        water = (y > self.horizon + 0.004) & (view.zone != LEAVES)
        zone = np.where(zone == SKIES, WATER, zone)
        view.cover(water, zone, 0.85 * tone + 0.03 + 3 * ripple, 0.9 * light - 0.05 + 10 * ripple)
        self.meadow(view, x, y, deep)
        return view

    def meadow(self, view: _View, x: Floats, y: Floats, deep: Floats) -> None:
        inland = y - self.horizon - 0.05 - 0.45 * (3 - 2 * x) * x**2 - 0.025 * self.wave(x, 2)
        beneath = ((x + 0.25 * y - 0.275) / 0.26) ** 2 + ((y - 0.69) / 0.06) ** 2
        shade = 1.1 * np.exp(-np.maximum(inland, 0) / (0.012 + 0.02 * x))
        shade += 1.6 * np.exp(-(beneath**2))
        shade += 1.2 * bump(y - 0.05 * self.wave(x, 1), 1.0, 0.07)
        shade += 0.6 * np.sin(40 * deep**0.6 + 3 * self.wave(x, 1))
        lit = 0.5 - 0.5 * np.tanh(2 * (shade - 0.6))
        view.cover(inland > 0, GRASS, 0.24 + 0.46 * lit, lit)
        patch = np.sin(31 * x + 9 * y + self.phase[0])
        patch *= np.sin(50 * deep**0.5 + 5 * x + self.phase[5])
        view.zone[(inland > 0) & (patch > 0.55)] = BLOOMS
        trunk = np.abs(x - 0.15 - 0.03 * np.sin(9 * y)) < 0.012 + 0.02 * deep
        trunk &= (np.abs(y - 0.465) < 0.215) & (view.zone != LEAVES)
        view.cover(trunk, HILLS, 0.1, 0.3)

    def colour(self, at: Floats, rng: np.random.Generator) -> Floats:
        # The painter's eye is not exact either: edges of things are loose, those of dabs are not.
        x, y = (at + rng.normal(0, 0.003, at.shape)).T
        zone, tone, light = self.scene(x, y)
        light = np.clip(light, 0, 1)[:, None]
        share = (1 - light) * MIX[zone, 0] + light * MIX[zone, 1]
        # Inks differ in hue at one tone, never blended: the eye mixes them, the picture does not.
        pick = (share.cumsum(axis=1)[:, :-1] < rng.uniform(0, 100, (len(at), 1))).sum(axis=1)
        tone = tone + rng.normal(0, 0.085, len(at))
        inks = np.stack([ramp(palette, tone) for palette in INKS])
        return np.asarray(inks[pick, np.arange(len(at))])


def _spread(count: int, rng: np.random.Generator) -> Floats:
    """Spread points evenly, but in no rows: steps by powers of the plastic ratio never align."""
    steps = np.arange(count)[:, None] * (0.7548776662466927, 0.5698402909980532)
    even = (rng.uniform(size=2) + steps) % 1
    return np.asarray(1.02 * even - 0.01 + rng.normal(0, 0.16 / count**0.5, (count, 2)))


def _dab(
    draw: ImageDraw.ImageDraw, at: Floats, width: float, inks: Floats, rng: np.random.Generator
) -> None:
    """Draw nearly round dabs, each of its own size, slant and unsteady rim."""
    count, corners = len(at), 10
    turn = np.arange(corners) * 2 * np.pi / corners
    reach = width / 2 * rng.uniform(0.8, 1.15, (count, 1))
    long, lean = rng.uniform(1.0, 1.18, (count, 1)), rng.normal(0.3, 0.6, (count, 1))
    rim = (long * np.cos(turn) + 1j / long * np.sin(turn)) * np.exp(1j * lean)
    rim *= reach * (1 + rng.normal(0, 0.03, (count, corners)))
    shapes = at[:, None] + np.stack([rim.real, rim.imag], axis=-1)
    for shape, ink in zip(
        shapes.reshape(count, -1).tolist(), inks.astype(int).tolist(), strict=True
    ):
        draw.polygon(shape, fill=tuple(ink))
