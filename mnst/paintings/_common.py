"""What all paintings need: palettes, and a canvas large enough for fine strokes."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def palette(colours: str) -> Floats:
    return np.frombuffer(bytes.fromhex(colours), np.uint8).reshape(-1, 3).astype(np.float64)


def bump(at: Floats, centre: float, width: float) -> Floats:
    return np.asarray(np.exp(-(((at - centre) / width) ** 2)))


def ramp(palette: Floats, tone: Floats | float) -> Floats:
    stops = np.linspace(0.0, 1.0, len(palette))
    return np.stack([np.interp(tone, stops, channel) for channel in palette.T], axis=-1)


def canvas_side(size: int) -> int:
    if size < 32:
        raise ValueError(f"size is {size}: a painting needs at least 32 pixels, e.g. size=512")
    # Twice the size smooths the edges; 1024 at least, since thinner strokes would be lost.
    return max(2 * size, 1024)
