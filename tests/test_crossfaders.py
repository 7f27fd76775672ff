"""Two crossfaders and gamma as a picture: against NumPy in float64, and what is one gamma alone."""

import numpy as np
import pytest

import mnst
from mnst.backend import tf
from mnst.objective import Mix, Moments
from mnst.objective.gram import Gram
from mnst.objective.losses import Places
from mnst.objective.zones import zones_of

LAYERS = {"shallow": 2.0, "deep": 0.5}
GROUPS = {"colour": ("shallow",), "form": ("deep",)}
SIDES = 6, 8
CHANNELS = 3
STYLES = 3
SIGMA = (1.0, 2.0, 0.5)


def features(seed):
    rng = np.random.default_rng(seed)
    return {layer: rng.normal(1, 1, (1, *SIDES, CHANNELS)).astype(np.float32) for layer in LAYERS}


def seen(term, of_layers, zones=None):
    recipe = mnst.ARTICLE.replace(style=term, content_layers={"deep": 1})
    return mnst.statistics(of_layers, recipe, places=Places.of(None, zones))["style"]


def some_zones(kept):
    """Zones of a picture whose shares change all over it: in one layer, or in both."""
    rng = np.random.default_rng(9)
    shares = rng.dirichlet(np.ones(STYLES), SIDES).transpose(2, 0, 1)
    return zones_of(shares, rng.random(SIDES) if kept else None)


MIXTURES = {
    "one gamma": (0.2, 0.3, 0.5),
    "by layer": {"shallow": (0.2, 0.3, 0.5), "deep": (0.0, 0.9, 0.1)},
}


def expected(kind, of_picture, of_styles, mixture, zones):
    """The style's part of the total, and each style's loss, position by position in float64."""

    def measured(flat, weights):
        second = np.einsum("pi,pj,p->ij", flat, flat, weights)
        if kind == "gram":
            return [second]
        mean = weights @ flat
        return [second - np.outer(mean, mean), mean]

    def apart(found, aimed):
        if kind == "gram":
            return np.mean((found[0] - aimed[0]) ** 2)
        units = [(aim**2).sum() for aim in aimed]
        units[0] += (0.01 * units[1]) ** 2  # what a covariance counts as at the least
        off = [((a - b) ** 2).sum() for a, b in zip(found, aimed, strict=True)]
        return off[0] / units[0] + off[1] / units[1]

    total, each = 0.0, np.zeros(STYLES)
    for layer, weight in LAYERS.items():
        flat = np.float64(of_picture[layer]).reshape(-1, CHANNELS)
        pixels = len(flat)
        even = np.full(pixels, 1 / pixels)
        aims = [
            measured(np.float64(style[layer]).reshape(-1, CHANNELS), even) for style in of_styles
        ]
        if layer in zones:
            rows, masks = zones[layer].shares, zones[layer].masks.reshape(-1, pixels)
        else:
            rows = np.array([mixture[layer] if isinstance(mixture, dict) else mixture])
            masks = np.ones((1, pixels))
        for mask, row in zip(np.float64(masks), rows, strict=True):
            found = measured(flat, mask / mask.sum())
            shares = row * SIGMA * mask.mean()
            if kind == "gram":
                total += weight * sum(
                    s * apart(found, a) for s, a in zip(shares, aims, strict=True)
                )
            else:
                mixed = [
                    sum(s * a[part] for s, a in zip(shares, aims, strict=True)) / shares.sum()
                    for part in (0, 1)
                ]
                total += weight * shares.sum() * apart(found, mixed)
        for k in range(STYLES):
            own = rows[:, k] @ masks
            own = own if own.any() else np.ones(pixels)
            each[k] += weight * apart(measured(flat, own / own.sum()), aims[k])
    return total, each


@pytest.mark.parametrize("kind", ["gram", "moments"])
@pytest.mark.parametrize("pictured", [(), ("deep",), ("shallow", "deep")])
@pytest.mark.parametrize("mixture", MIXTURES)
@pytest.mark.parametrize("kept", [False, True])
def test_every_target_is_that_of_numpy(kind, pictured, mixture, kept):
    term = Moments(layers=LAYERS) if kind == "moments" else Gram(layers=LAYERS, kind="mean")
    zones = {layer: some_zones(kept) for layer in pictured}
    photo, *styles = map(features, range(STYLES + 1))
    alone = seen(term, photo)
    asked = tf.nest.map_structure(
        lambda *of: tf.stack(of), *(term.style_target(seen(term, of), alone) for of in styles)
    )
    mix = Mix(MIXTURES[mixture], SIGMA, zones=zones)
    losses = term.losses(
        "style", seen(term, photo, zones), term.targets(alone, asked, mix), tf.constant(3.0)
    )
    total, each = expected(kind, photo, styles, MIXTURES[mixture], zones)
    assert float(losses.total) == pytest.approx(3 * total, rel=1e-4)
    named = [float(losses.named[f"style_{k}"]) for k in range(1, STYLES + 1)]
    np.testing.assert_allclose(named, each, rtol=1e-4)
