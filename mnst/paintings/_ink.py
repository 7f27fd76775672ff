"""A quiet grey wash on paper, with a few black brush strokes."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from mnst.paintings._common import Floats, canvas_side

# Whole canvases of `ink` take half the memory.
Field = NDArray[np.float32]

PAPER = np.array([244, 236, 219], np.float32)

# What a unit of pigment takes from red, green and blue.
SOOT, VERMILION = np.array([[0.97, 1.0, 1.02], [0.12, 1.5, 1.75]], np.float32)

# Washes are soft: computed at this side and enlarged to that of the canvas, they lose nothing.
WASH_SIDE = 1024

# Foot, height and darkness of the mountain ranges, far to near.
RANGES = ((0.42, 0.28, 0.22), (0.64, 0.3, 0.42), (0.92, 0.26, 0.55))

# Foot, half the width and darkness of the bamboo canes.
CANES = ((0.86, 0.022, 1.3), (0.76, 0.014, 0.7), (0.95, 0.012, 0.5))


def ink(*, size: int = 512, seed: int = 1502) -> NDArray[np.uint8]:
    """Paint bamboo before misty mountains: grey washes and dry black strokes on warm paper.

    Args:
        size: Width and height in pixels, at least 32.
        seed: Seed of the composition, of every stroke and of the paper.

    Returns:
        RGB, uint8 [size, size, 3], 0 to 255; the same size and seed give the same bytes.

    Raises:
        ValueError: If size is below 32.

    Example:
        >>> from mnst.paintings import ink
        >>> ink(size=64).shape
        (64, 64, 3)
    """
    side = canvas_side(size)
    rng = np.random.default_rng(seed)
    sheet = _Sheet(side, rng)
    for foot, height, shade in RANGES:
        _mountains(sheet, foot, height, shade, rng)
    for strokes in (_bank(rng), _reeds(rng)):
        sheet.brush(strokes, rng)
    for foot, width, shade in CANES:
        for strokes in _bamboo(foot, width, shade, rng):
            sheet.brush(strokes, rng)
    sheet.splatter(rng)
    sheet.stamp(rng)
    canvas = sheet.dried()
    if rng.uniform() < 0.5:
        canvas = ImageOps.mirror(canvas)
    return np.array(canvas.resize((size, size), Image.Resampling.LANCZOS))


class _Stroke(NamedTuple):
    """One pull of the brush over paper."""

    path: Floats  # [points, 2]
    width: Floats  # [points], half the width
    shade: float  # Optical density of the ink.
    dry: float  # 0 soaked, 1 so dry that the hairs soon part and leave paper white.
    shine: float = 0.0  # How much darker one flank is than the other, as on a round cane.


class _Sheet:
    """Paper with a grain, and how much ink and seal colour lies where on it."""

    def __init__(self, side: int, rng: np.random.Generator) -> None:
        self.side = side
        self.axis = _axis(side)
        coarse, mid, fine = (_noise((side, side), (n, n), rng) for n in (80, 200, 330))
        self.grain: Field = fine + mid + 0.3 * coarse
        self.ink = np.zeros((side, side), np.float32)
        self.seal = np.zeros((side, side), np.float32)

    def wash(self, crest: Field, shade: float, rng: np.random.Generator) -> None:
        """Wash downwards from a crest [WASH_SIDE], until the ink is lost in mist."""
        # Where the paper was wet the edge bleeds; where it was dry, ink gathers in a rim.
        wet = np.clip(0.5 + 0.6 * _clouds(4, rng), 0.02, 1) ** 2
        below = _axis(WASH_SIDE)[:, None] - crest + 0.006 * _clouds(24, rng) * (0.4 + 2 * wet)
        body = np.clip(0.5 + below / (0.003 + 0.08 * wet), 0, 1)
        rim = 0.35 * np.exp(-(((below - 0.003) / 0.005) ** 2)) * (1 - wet)
        mist = 0.135 * (1 + 0.3 * np.clip(_clouds(3, rng), -1.5, 2))
        body = (body**2 * (3 - 2 * body) + rim) * np.exp(-np.maximum(below, 0) / mist)
        pool = np.maximum((1 + 0.35 * _clouds(7, rng)) * _backrun(rng), 0)
        # Pigment settles in the hollows of the paper.
        self.ink += _enlarged(shade * body * pool, self.ink.shape) * (1 - 0.11 * self.grain)

    def brush(self, strokes: list[_Stroke], rng: np.random.Generator) -> None:
        """Draw strokes wet in wet: they darken what is dry below, but not each other."""
        layer = np.zeros(self.side**2, np.float32)
        for stroke in strokes:
            at, along, across = _unroll(stroke, self.side, rng)
            hairs = _hairs(stroke, at.shape[:2], rng)
            column, row = at.astype(int).transpose(2, 0, 1)
            on = (np.minimum(column, row) >= 0) & (np.maximum(column, row) < self.side)
            spot, hairs = row[on] * self.side + column[on], hairs[on]
            u, v = (np.broadcast_to(axis, on.shape)[on] for axis in (along, across))
            dry, tooth = stroke.dry, self.grain.ravel()[spot]
            # Hairs run out of ink on the way, at the flanks first, and then touch only the grain.
            left = 1.6 - dry * (3.2 * u**0.8 + 0.7 * v**2 - 0.35 * tooth)
            cover = np.clip(2.2 * left + 1.65 * hairs * (0.3 + dry), 0, 1)
            tone = 1 + 0.14 * hairs + 0.12 * v**6 + stroke.shine * v
            np.maximum.at(layer, spot, (stroke.shade * cover * tone).astype(np.float32))
        self.ink += layer.reshape(self.ink.shape)

    def splatter(self, rng: np.random.Generator) -> None:
        mask = Image.new("L", (self.side, self.side))
        draw = ImageDraw.Draw(mask)
        for centre in rng.uniform(0.05, 0.95, (5, 2)):
            drops = rng.normal(centre, rng.uniform(0.03, 0.12), (45, 2))
            reach = np.minimum(0.0008 * (1 + rng.pareto(1.8, 45)), 0.007)
            fills = rng.integers(40, 240, 45).tolist()
            boxes = np.hstack([drops - reach[:, None], drops + reach[:, None]]) * self.side
            for box, fill in zip(boxes.tolist(), fills, strict=True):
                draw.ellipse(box, fill=fill)
        self.ink += self.soaked(mask) * 1.7

    def stamp(self, rng: np.random.Generator) -> None:
        """Press a small seal: a square with cuts that look like writing and say nothing."""
        mask = Image.new("L", (self.side, self.side))
        draw = ImageDraw.Draw(mask)
        reach, cut = 0.024, round(0.003 * self.side)
        centre = np.array([0.075, self.quiet_level(0.075, 1.5 * reach)])
        rim = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) + rng.normal(0, 0.04, (4, 2))
        draw.polygon(((centre + reach * rim) * self.side).ravel().tolist(), fill=255)
        for x in (-0.42, 0.42):
            bars = [((x - 0.3, y), (x + 0.3, y)) for y in np.linspace(-0.7, 0.7, 6)]
            posts = [((x + dx, y), (x + dx, y + 0.6)) for dx, y in rng.uniform(-0.6, 0.1, (2, 2))]
            for ends in bars + posts:
                line = centre + reach * (ends + rng.normal(0, 0.05, (2, 2)))
                draw.line((line * self.side).ravel().tolist(), fill=0, width=cut)
        self.seal += self.soaked(mask) * np.clip(1 - 0.17 * self.grain, 0, 1)

    def quiet_level(self, x: float, reach: float) -> float:
        """Find where, below the middle, there is least ink around x."""
        strip = self.ink[:, np.abs(self.axis - x) < reach].mean(axis=1)
        levels = np.linspace(0.45, 0.8, 15)
        busy = [strip[np.abs(self.axis - level) < reach].max() for level in levels]
        return float(levels[np.argmin(busy)])

    def soaked(self, mask: Image.Image) -> Field:
        blurred = mask.filter(ImageFilter.GaussianBlur(self.side / 1400))
        return np.asarray(blurred, np.float32) / np.float32(255)

    def dried(self) -> Image.Image:
        """Light the grain from the top left, and let ink and seal swallow the light."""
        down, right = np.gradient(self.grain)
        gain = np.asarray(1 - (down + right) * np.float32(0.034 * self.side / 1024))
        swallowed = self.ink[..., None] * SOOT + self.seal[..., None] * VERMILION
        lit = PAPER * gain[..., None] * np.exp(-swallowed)
        return Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))


def _axis(side: int) -> Field:
    return (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side)


def _enlarged(field: NDArray[np.floating], shape: tuple[int, ...]) -> Field:
    image = Image.fromarray(field.astype(np.float32))
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


def _noise(shape: tuple[int, int], cells: tuple[int, int], rng: np.random.Generator) -> Field:
    """Smooth noise around 0: random heights on a grid of cells, with curves between them."""
    return _enlarged(rng.standard_normal(cells), shape)


def _clouds(cells: int, rng: np.random.Generator, rows: int = WASH_SIDE) -> Field:
    """Noise at five scales [rows, WASH_SIDE]; the coarsest has this many cells across."""
    total = np.zeros((rows, WASH_SIDE), np.float32)
    for octave in range(5):
        count = round(cells * 2.1**octave)
        noise = _noise(total.shape, (min(count, rows), count), rng)
        total += noise * np.float32(1.2 * 0.5**octave)
    return total


def _backrun(rng: np.random.Generator) -> Field:
    """Let a drop of water push the ink outwards, into a frayed dark ring."""
    x, y = rng.uniform((0.1, 0.45), (0.9, 0.9))
    axis = _axis(WASH_SIDE)
    reach = np.hypot(axis - x, axis[:, None] - y) / rng.uniform(0.05, 0.11)
    reach += 0.16 * _clouds(14, rng)
    ring = np.exp(-(((reach - 1) / 0.08) ** 2))
    return np.asarray(1 + 0.5 * ring - 0.45 * np.clip(6 * (1 - reach), 0, 1), np.float32)


def _unroll(stroke: _Stroke, side: int, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Lay a grid over a stroke, finer than the pixels so that none is missed.

    Returns the pixel coordinates [rows, columns, 2], the way along (0 to 1) of each row and
    the way across (-1 to 1) of each column.
    """
    step = np.linalg.norm(np.diff(stroke.path, axis=0), axis=1)
    passed = np.concatenate([[0], step.cumsum()])
    along = np.linspace(0, 1, int(1.7 * passed[-1] * side) + 2)[:, None]
    across = np.linspace(-1, 1, int(3.6 * stroke.width.max() * side) + 3)
    way = along[:, 0] * passed[-1]
    spine = np.stack([np.interp(way, passed, axis) for axis in stroke.path.T], axis=-1)
    tangent = np.gradient(spine, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-12
    shake = _noise((len(along), 1), (int(passed[-1] / 0.006) + 2, 1), rng)[:, 0]
    reach = np.interp(way, passed, stroke.width) * (1 + 0.03 * shake)
    normal = tangent[:, ::-1] * (-1, 1) * reach[:, None]
    return (spine[:, None] + normal[:, None] * across[:, None]) * side, along, across


def _hairs(stroke: _Stroke, shape: tuple[int, int], rng: np.random.Generator) -> Field:
    """How loaded each hair of the brush is: streaks that change slowly along the stroke."""
    count = max(4, int(stroke.width.max() / 0.0011))
    length = np.linalg.norm(np.diff(stroke.path, axis=0), axis=1).sum()
    streaks = _noise(shape, (int(length / 0.07) + 2, count), rng)
    return streaks + 0.8 * _noise((1, shape[1]), (1, max(3, count // 3)), rng)


def _mountains(
    sheet: _Sheet, foot: float, height: float, shade: float, rng: np.random.Generator
) -> None:
    """Wash in a range of mountains, and model the flanks of those that are near."""
    centres = (np.arange(4) + rng.uniform(0.1, 0.9, 4)) / 4
    rises, spreads = height * rng.uniform(0.25, 1, 4), rng.uniform(0.08, 0.22, 4)
    peaks = list(zip(centres, rises, spreads, strict=True))
    axis = _axis(WASH_SIDE)
    rise = np.max([_slope(axis, *peak) for peak in peaks], axis=0)
    crest = foot - rise + 0.016 * _clouds(6, rng, rows=1)[0]
    sheet.wash(crest.astype(np.float32), shade, rng)
    for peak in peaks:
        hidden = np.interp(peak[0], axis, rise) > 1.02 * peak[1]
        # Far mountains dissolve in the mist.
        if shade > 0.3 and not hidden:
            sheet.brush(_flank(foot, *peak, shade, rng), rng)


def _slope(x: Floats | Field, centre: float, rise: float, spread: float) -> Floats:
    return np.asarray(rise * np.exp(-(np.abs((x - centre) / spread) ** 1.5)))


def _flank(
    foot: float, centre: float, rise: float, spread: float, shade: float, rng: np.random.Generator
) -> list[_Stroke]:
    """Pull a dry brush over a summit and down its shaded side, each time lower and paler."""
    t = np.linspace(0, 1, 60)
    strokes = []
    for k in range(rng.integers(1, 4)):
        first, last = rng.uniform(-0.35, -0.1) + 0.3 * k, rng.uniform(0.8, 1.25) + 0.15 * k
        x = spread * (first + (last - first) * t)
        y = foot - _slope(x, 0, rise, spread) + 0.01 + 0.028 * k * (1 + t)
        swell = (0.017 - 0.003 * k) * rng.uniform(0.7, 1.2) * np.sin(np.pi * t**0.6)
        path, dark = np.stack([centre + x, y], axis=-1), (2.1 - 0.35 * k) * shade
        strokes.append(_Stroke(path, swell + 0.001, dark, rng.uniform(0.5, 0.75)))
    return strokes


def _bank(rng: np.random.Generator) -> list[_Stroke]:
    t = np.linspace(0, 1, 60)
    strokes = []
    for level, width, shade in ((0.93, 0.034, 0.7), (0.965, 0.03, 1.5)):
        start, stop = rng.uniform((-0.1, 0.5), (0.0, 0.7))
        y = level + 0.03 * np.sin(4 * t + rng.uniform(0, 2 * np.pi))
        path = np.stack([start + (stop - start) * t, y], axis=-1)
        strokes.append(_Stroke(path, width * (0.5 + 0.5 * np.sin(np.pi * t**0.5)), shade, 0.55))
    return strokes


def _reeds(rng: np.random.Generator) -> list[_Stroke]:
    t = np.linspace(0, 1, 60)
    root = rng.uniform(0.2, 0.28)
    strokes = []
    for _ in range(11):
        tall, blown = rng.uniform((0.12, -0.05), (0.36, 0.2))
        x = root + rng.normal(0, 0.035) + blown * t**2.2 + rng.normal(0, 0.03) * t
        y = 0.96 - tall * t + 0.5 * abs(blown) * t**4
        width = 0.0006 + rng.uniform(0.0027, 0.0058) * np.sin(np.pi * (0.2 + 0.8 * t))
        strokes.append(_Stroke(np.stack([x, y], axis=-1), width, rng.uniform(0.6, 1.7), 0.35))
    return strokes


def _bamboo(
    foot: float, width: float, shade: float, rng: np.random.Generator
) -> Iterator[list[_Stroke]]:
    """Grow a cane from below the picture to above it, one joint after the other."""
    t = np.linspace(-1, 1, 30)
    lean, bend = rng.normal((-0.06, 0), (0.03, 0.04))
    cane, low = [], 1.03
    while low > -0.05:
        high = low - rng.uniform(0.13, 0.19)
        y = np.linspace(low - 0.004, high + 0.004, 30)
        path = np.stack([foot + lean * (1 - y) + bend * (1 - y) ** 2, y], axis=-1)
        dry = rng.uniform(0.3, 0.6)
        cane.append(_Stroke(path, width * (0.86 + 0.2 * t**4), shade, dry, shine=0.5))
        knot = path[-1] + np.stack([1.15 * width * t, 0.006 * t**2 - 0.007], axis=-1)
        cane.append(_Stroke(knot, 0.0035 * (0.5 + np.abs(t)), 1.5 * shade, 0.1))
        if shade > 0.6:
            yield _twig(knot[15], rng.choice([-1, 1]), shade, rng)
        low = high
    yield cane


def _twig(knot: Floats, way: int, shade: float, rng: np.random.Generator) -> list[_Stroke]:
    t = np.linspace(0, 1, 30)
    path = knot + rng.uniform(0.1, 0.2) * np.stack([way * t, 0.5 * t**2 - 0.5 * t], axis=-1)
    strokes = [_Stroke(path, 0.0025 * (1.2 - t), shade, 0.25)]
    for _ in range(rng.integers(4, 8)):
        # Leaves hang outwards, a little bowed.
        turn = np.pi / 2 - way * rng.normal(0.75, 0.45) + rng.normal(0, 0.1) * t
        heading = np.stack([np.cos(turn), np.sin(turn)], axis=-1)
        leaf = path[rng.integers(12, 30)] + rng.uniform(0.09, 0.17) * t[:, None] * heading
        width = 0.0004 + rng.uniform(0.0088, 0.015) * np.sin(np.pi * t**0.62) ** 0.9
        dark = shade * rng.choice([0.6, 1.3, 1.7])
        strokes.append(_Stroke(leaf, width, dark, rng.uniform(0.1, 0.6)))
    return strokes
