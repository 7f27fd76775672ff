"""Tiles against the picture as a whole, on VGG19's own shape with random weights."""

import numpy as np
import pytest

import mnst
from mnst._tensorflow import tf
from mnst.losses import make_targets, style_targets
from mnst.regions import paint_regions
from mnst.tiling import Tiled, Whole
from mnst.training import Trainer

SIDES = [(150, 211), (96, 160), (79, 66)]  # odd at every pool, even at every pool, one tile's


@pytest.fixture(scope="module")
def extractors(random_weights):
    layers = {*mnst.ARTICLE.layers, *mnst.PAPER.layers}
    return {
        dtype: mnst.vgg_layers(layers, weights=random_weights, dtype=dtype)
        for dtype in ("float32", "bfloat16")
    }


def picture(height, width, seed=0):
    """Smooth at some scales, rough at others, as photos are."""
    random = np.random.default_rng(seed)
    rough = random.uniform(0, 255, (height, width, 3))
    smooth = random.uniform(0, 255, (1, 1, 3)) * np.linspace(0, 1, width)[:, None]
    return ((rough + 2 * smooth) / 3)[None].astype(np.float32)


def masks(kind, height, width):
    """Where each of three styles may paint, with soft edges that cross tiles."""
    across = np.broadcast_to(np.clip(np.linspace(-1, 2, width), 0, 1), (height, width))
    down = np.broadcast_to(np.clip(np.linspace(2, -1, height), 0, 1)[:, None], (height, width))
    if kind == "none":
        return None
    keep = np.zeros((height, width), np.float32)
    keep[height // 3 : height // 2] = 1
    if kind == "keep":
        return paint_regions(keep, None, 3)
    return paint_regions(keep, [across, down, None], 3)


def scene(views, recipe, height, width, regions=None):
    """The targets of three styles of other sizes, as the first of the views sees them."""
    photo, *paintings = (
        views[0].statistics(picture(*sides, seed))
        for seed, sides in enumerate([(height, width), (90, 70), (64, 131), (47, 33)])
    )
    grams = style_targets(paintings, photo, recipe)
    return make_targets(
        photo, grams, recipe, gamma=(0.2, 0.3, 0.5), sigma=(1, 2, 0.5), regions=regions
    )


@pytest.mark.parametrize("kind", ["none", "keep", "each"])
@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("recipe", [mnst.ARTICLE, mnst.PAPER, mnst.TUTORIAL], ids=lambda r: r.name)
def test_losses_and_gradient_are_those_of_the_whole_picture(extractors, recipe, sides, kind):
    views = (
        Whole(extractors["float32"], recipe),
        Tiled(extractors["float32"], recipe, tile=64),
    )
    targets = scene(views, recipe, *sides, masks(kind, *sides))
    image = tf.constant(picture(*sides, seed=9))
    (expected, losses), (gradient, same) = (view.gradient(image, targets) for view in views)
    assert losses.keys() == same.keys()
    for name, loss in losses.items():
        assert float(same[name]) == pytest.approx(float(loss), rel=2e-5), name
    np.testing.assert_allclose(gradient, expected, atol=1e-4 * np.abs(expected).max())
    off = np.linalg.norm(gradient - expected) / np.linalg.norm(expected)
    assert off < 1e-5
