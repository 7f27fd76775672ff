"""A scene that takes no time: two shallow layers, a tiny photo, two tiny styles; larger noise."""

import functools

import numpy as np

import mnst
from mnst.paintings import glass, swirls

RECIPE = mnst.ARTICLE.replace(
    content_layers={"block2_conv1": 1.0},
    style_layers={"block1_conv1": 1.0, "block2_conv1": 0.3},
    steps=3,
)
PHOTO = np.random.default_rng(2).integers(0, 256, (20, 24, 3), dtype=np.uint8)
STYLES = [swirls(size=32), glass(size=40)]
SIDE = 32


@functools.cache
def tiny(draw):
    """A painting of the package's, 32 x 32 pixels; to draw one takes half a second."""
    return draw(size=SIDE)


def picture(height, width, seed=0):
    """Rough, on a slope of a colour of its own."""
    random = np.random.default_rng(seed)
    rough = random.uniform(0, 255, (height, width, 3))
    slope = random.uniform(0, 255, 3) * np.linspace(0, 1, width)[:, np.newaxis]
    return ((rough + 2 * slope) / 3)[np.newaxis].astype(np.float32)


def options(weights, **changes):
    """Keywords of a quiet run on the scene that is the same on every machine."""
    common = {"recipe": RECIPE, "weights": weights, "precision": "float32", "progress": False}
    return {**common, **changes}
