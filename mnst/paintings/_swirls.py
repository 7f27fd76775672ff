"""An impasto night sky of curved blue strokes."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from mnst.paintings._common import Floats, bump, canvas_side, palette, ramp

# Each palette runs from dark to light.
SKY = palette("090e34 142470 1c42a8 2670be 46a4be 9eced8 ecf2e0")

MOON = palette("c68218 e8a622 f6c63a fce278 fff6ce")

# Radius, and 1 where it glows; the largest first, since they are the hardest to place.
VORTICES = np.array(
    [[0.19, 0.16, 0.12, 0.095, 0.07, 0.065, 0.035, 0.03, 0.028], [0, 1, 0, 1, 0, 1, 1, 1, 1]]
)

# Count, length and width of the strokes, coarse to fine as a painter lays them.
LAYERS = ((900, 0.16, 0.034), (2000, 0.12, 0.021), (2600, 0.09, 0.013), (1800, 0.05, 0.007))


def swirls(*, size: int = 512, seed: int = 1889) -> NDArray[np.uint8]:
    """Paint a night sky: thick curved strokes of blue around a few golden moons.

    Args:
        size: Width and height in pixels, at least 32.
        seed: Seed of the composition and of every stroke.

    Returns:
        RGB, uint8 [size, size, 3], 0 to 255; the same size and seed give the same bytes.

    Raises:
        ValueError: If size is below 32.

    Example:
        >>> from mnst.paintings import swirls
        >>> swirls(size=64).shape
        (64, 64, 3)
    """
    side = canvas_side(size)
    rng = np.random.default_rng(seed)
    sky = _Sky(rng)
    # The fourth channel is not opacity but the thickness of the paint, lit at the end.
    canvas = Image.new("RGBA", (side, side), (12, 20, 66, 100))
    draw = ImageDraw.Draw(canvas)
    # Strokes circle the heart of a vortex without touching it, so light must lie there first.
    for (x, y), reach in zip(sky.centre * side, sky.radius * side * 0.2, strict=True):
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=(255, 244, 204, 150))
    for count, length, width in LAYERS:
        start = rng.uniform(-0.08, 1.08, (count, 2))
        path = sky.trace(start, length * rng.uniform(0.6, 1.3, count))
        inks = sky.colour(path[:, path.shape[1] // 2], rng)
        widths = width * rng.uniform(0.7, 1.3, count)
        _brush(draw, path * side, inks, widths * side, rng)
    return np.array(_light(canvas).resize((size, size), Image.Resampling.LANCZOS))


class _Sky:
    """The flow that the strokes of `swirls` follow, and the colours they take."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.radius, self.glows = VORTICES[0], VORTICES[1] > 0
        self.centre = _scatter(self.radius, rng)
        self.spin = rng.choice([-1.0, 1.0], len(self.radius))
        self.lift = np.where(self.glows, 5.0, 2.4) * self.radius * self.spin
        # Strokes lean inwards by this angle: rings around moons, spirals elsewhere.
        self.lean = np.where(self.glows, 0.12, 0.55) * self.spin
        self.phase = rng.uniform(0, 2 * np.pi, 3)

    def near(self, at: Floats) -> Floats:
        gap = at[..., None, :] - self.centre
        return np.asarray(np.exp(-(gap**2).sum(-1) / self.radius**2))

    def breeze(self, at: Floats) -> Floats:
        x, y = at[..., 0], at[..., 1]
        a, b, c = self.phase
        level = y + 0.05 * np.sin(7 * x + a + 2 * y) + 0.03 * np.sin(13 * x - 5 * y + b)
        return np.asarray(level + 0.04 * np.sin(9 * y + c))

    def stream(self, at: Floats) -> Floats:
        """Stream function: the flow runs along its contours."""
        breeze = self.breeze(at)
        # The breeze dies at the heart of a vortex, so that its rings share one centre.
        lull = self.breeze(self.centre) - breeze[..., None]
        return np.asarray(breeze + (self.near(at) * (lull + self.lift)).sum(-1))

    def heading(self, at: Floats) -> Floats:
        right, down = np.array([1e-4, 0.0]), np.array([0.0, 1e-4])
        along_x = self.stream(at + right) - self.stream(at - right)
        along_y = self.stream(at + down) - self.stream(at - down)
        lean = (self.near(at) * self.lean).sum(-1)
        flow = (along_y - 1j * along_x) * np.exp(1j * lean)
        # The constant shortens strokes where the flow stalls, or they would fold there.
        flow /= np.abs(flow) + 6e-5
        return np.stack([flow.real, flow.imag], axis=-1)

    def trace(self, start: Floats, length: Floats, steps: int = 9) -> Floats:
        stride = (length / steps)[:, None]
        path = [start]
        for _ in range(steps):
            halfway = path[-1] + 0.5 * stride * self.heading(path[-1])
            path.append(path[-1] + stride * self.heading(halfway))
        return np.stack(path, axis=1)

    def colour(self, at: Floats, rng: np.random.Generator) -> Floats:
        gap = at[:, None] - self.centre
        arms = np.where(self.glows, 0.0, np.arctan2(gap[..., 1], gap[..., 0])).sum(1)
        moon = (np.linalg.norm(gap, axis=-1) / self.radius)[:, self.glows].min(1)
        band = 0.5 + 0.5 * np.sin(34 * self.stream(at) + self.phase[0] + arms)
        halo = bump(moon, 0.78, 0.16) + 0.8 * bump(moon, 1.5, 0.2)
        tone = 0.06 + 0.5 * band**1.3 + 0.2 * at[:, 1] + 0.4 * halo
        inks = ramp(SKY, tone + rng.normal(0, 0.1, len(at)))
        teal = np.sin(5 * at[:, 0] + self.phase[1]) * np.sin(6 * at[:, 1] + self.phase[2])
        inks += np.maximum(teal, 0)[:, None] * (6.0, 26.0, -30.0)
        # Chosen stroke by stroke, never blended: blue and gold stay pure side by side.
        chance = 0.012 + np.exp(-((moon / 0.66) ** 6)) + 0.7 * bump(moon, 1.05, 0.17)
        gold = rng.uniform(size=len(at)) < chance
        glow = 1.0 - moon / 1.25 + rng.normal(0, 0.13, len(at))
        return np.where(gold[:, None], ramp(MOON, glow), inks)


def _scatter(radius: Floats, rng: np.random.Generator) -> Floats:
    """Place discs of these radii apart: the first of 200 tries that fits, or the roomiest."""
    placed = np.empty((0, 2))
    for own in radius:
        tries = rng.uniform(0.5 * own + 0.03, 0.97 - 0.5 * own, (200, 2))
        gap = np.linalg.norm(tries[:, None] - placed, axis=-1) - radius[: len(placed)] - own
        room = gap.min(axis=1, initial=1.0)
        placed = np.vstack([placed, tries[np.argmax(np.minimum(room, 0.06))]])
    return placed


def _brush(
    draw: ImageDraw.ImageDraw, path: Floats, inks: Floats, width: Floats, rng: np.random.Generator
) -> None:
    """Draw each path as five parallel bristles, each of its own shade, reach and thickness."""
    count, points = path.shape[:2]
    tangent = np.gradient(path, axis=1)
    tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True) + 1e-12
    taper = (1 - np.abs(np.linspace(-0.97, 0.97, points)) ** 5) ** 0.5
    across = tangent[..., ::-1] * (-0.5, 0.5) * width[:, None, None] * taper[:, None]
    rails = np.linspace(-1.0, 1.0, 6)[:, None, None]
    shade = 1 + rng.normal(0, 0.11, (count, 5, 1))
    slip = rng.normal(0, 0.35, (count, 5, 1, 1)) * width[:, None, None, None]
    body = rng.normal(150, 45, (count, 5, 1))
    inked = np.clip(np.concatenate([inks[:, None] * shade, body], axis=-1), 0, 255)
    moved = path[:, None] + tangent[:, None] * slip
    left, right = moved + across[:, None] * rails[:-1], moved + across[:, None] * rails[1:]
    outline = np.concatenate([left, right[:, :, ::-1]], axis=2).reshape(count * 5, -1)
    for shape, ink in zip(outline.tolist(), inked.astype(int).reshape(-1, 4).tolist(), strict=True):
        draw.polygon(shape, fill=tuple(ink))


def _light(canvas: Image.Image) -> Image.Image:
    """Light the paint from the top left: ridges shine on one flank and shade on the other."""
    side = canvas.width
    thickness = canvas.getchannel("A").filter(ImageFilter.GaussianBlur(side / 1000))
    down, right = np.gradient(np.asarray(thickness, dtype=np.float32) * np.float32(side / 1024))
    gain = 1 + np.clip((down + right) * -0.006, -0.25, 0.3)
    lit = np.asarray(canvas)[..., :3] * gain[..., None]
    return Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))
