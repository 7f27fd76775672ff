"""What is saved again and again by processes that are killed; they are to begin at once."""

import numpy as np

import mnst
from mnst.painting.crossfades import Crossfade


def versions(kind):
    """Two pictures, or films, that are saved in turn."""
    noise = np.random.default_rng(8)
    frames = [noise.integers(0, 256, (90, 120, 3), dtype=np.uint8) for _ in range(4)]
    if kind in (".gif", ".mp4"):
        return [
            Crossfade(tuple(some), (0, 1), ((1, 1),) * 2, 2) for some in (frames[:2], frames[2:])
        ]
    return frames[:2]


def save(path, what):
    if isinstance(what, Crossfade):
        what.save(path)
    else:
        mnst.save_image(path, what)
