"""Two crossfaders and gamma as a picture: against NumPy in float64, and what is one gamma alone."""

import json

import numpy as np
import pytest

import mnst
from mnst.backend import tf
from mnst.objective import Mix, Moments
from mnst.objective.gram import Gram, zone_sums
from mnst.objective.losses import Places
from mnst.objective.zones import zones_of
from mnst.paintings import dots, glass, ink, swirls

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


# Zones


@pytest.mark.parametrize("styles", [2, 3, 4, 6])
def test_zones_share_every_position_out_and_meet_its_gamma(styles):
    shares = np.random.default_rng(styles).dirichlet(np.ones(styles), (90, 100)).transpose(2, 0, 1)
    zones = zones_of(shares)
    np.testing.assert_allclose(zones.masks.sum(axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(zones.shares.sum(axis=1), 1)
    met = np.einsum("zhw,zk->khw", zones.masks, zones.shares)
    # Positions are brought to levels: 17 for two styles, and fewer along an edge for more.
    assert np.abs(met - shares).max() <= {2: 1 / 32, 3: 1 / 6}.get(styles, 1 / 2)
    assert (np.count_nonzero(zones.masks, axis=0) <= styles).all()


def test_few_gammas_are_met_exactly_and_have_no_more_zones():
    gamma = np.repeat([[0.1, 0.35, 0.9]], 5, axis=0).repeat(4, axis=1)
    zones = zones_of(np.stack([gamma, 1 - gamma]))
    assert zones.shares[:, 0].tolist() == pytest.approx([0.1, 0.35, 0.9])
    np.testing.assert_array_equal(zones.masks.sum(axis=(1, 2)), [20, 20, 20])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_sums_of_zones_and_their_gradient_are_those_taken_zone_by_zone(dtype):
    rng = np.random.default_rng(1)
    of = tf.cast(rng.normal(size=(1, 13, 17, 5)), dtype)
    gamma = rng.random((1, 13, 17))
    places = Places.of(
        None, {"x": zones_of(np.concatenate([gamma, 1 - gamma]), rng.random((13, 17)))}
    )
    zoned = places.counts("x", 13, 17)
    np.testing.assert_allclose(zoned.each.numpy().mean(axis=(1, 2)), 1, rtol=1e-5)
    up = tf.constant(rng.normal(size=(5, 5, 6)), tf.float32)
    found = []
    for sums in (
        lambda of: zone_sums(of, zoned),
        lambda of: tf.concat(
            [
                tf.einsum("zhw,hwi,hwj->zij", zoned.each, of[0], of[0]),
                tf.einsum("zhw,hwi->zi", zoned.each, of[0])[..., tf.newaxis],
            ],
            axis=-1,
        ),
    ):
        with tf.GradientTape() as tape:
            wide = of if len(found) == 0 else tf.cast(of, tf.float32)
            tape.watch(wide)
            total = sums(wide)
        found.append((total, tf.cast(tape.gradient(total, wide, up), tf.float32)))
    (total, gradient), (expected, of_each) = found
    np.testing.assert_allclose(total, expected, rtol=1e-4, atol=1e-3)
    close = 1e-4 if dtype == "float32" else 0.03
    np.testing.assert_allclose(gradient, of_each, atol=close * np.abs(of_each).max())


# Through `stylize`

PHOTO = glass(size=64, seed=2)[:48]
STYLE_PICTURES = [swirls(size=48), dots(size=56), ink(size=64)]
NETWORK = {"backbone": "vgg19-lite", "precision": "float32"}
LITE = {**NETWORK, "steps": 4, "progress": False}
RAMP = np.tile(np.linspace(1, 0, 64), (48, 1))


def painted(gamma, styles=2, **options):
    return mnst.stylize(PHOTO, STYLE_PICTURES[:styles], gamma=gamma, **{**LITE, **options})


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["draft", "article"])
def test_what_is_equal_in_all_layers_and_places_is_one_gamma(recipe):
    one = painted(0.25, recipe=recipe)
    each = dict.fromkeys(mnst.recipes.get_recipe(recipe).style.layer_names, 0.25)
    for gamma in ({"colour": 0.25, "form": (0.25, 0.75)}, each, np.full((48, 64), 0.25)):
        np.testing.assert_array_equal(painted(gamma, recipe=recipe).image, one.image)
    nearly = painted(np.full((48, 64), np.float32(0.3)), recipe=recipe).image
    apart = np.abs(np.int16(nearly) - painted(0.3, recipe=recipe).image)
    assert apart.max() <= 1


@pytest.mark.slow
def test_styles_and_their_shares_may_change_places():
    ramps = np.stack([RAMP, 0.6 * (1 - RAMP), 0.4 * (1 - RAMP)])
    gamma = {"colour": ramps, "form": (0.5, 0.2, 0.3)}
    one = painted(gamma, 3)
    order = [2, 0, 1]
    turned = {"colour": ramps[order], "form": (0.3, 0.5, 0.2)}
    other = mnst.stylize(PHOTO, [STYLE_PICTURES[k] for k in order], gamma=turned, **LITE)
    assert np.abs(np.int16(one.image) - other.image).max() <= 2
    assert one.final_losses == pytest.approx([other.final_losses[k] for k in (1, 2, 0)], rel=1e-3)


@pytest.mark.slow
def test_a_picture_of_0_and_1_is_a_place_for_each_style():
    left = np.zeros((48, 64), np.float32)
    left[:, :32] = 1
    by_gamma = painted(left, recipe="article")
    by_masks = painted(None, recipe="article", style_masks=[left, 1 - left])
    # The same objective, but for the factor that masks have for each style's share.
    assert by_gamma.start_losses == pytest.approx(by_masks.start_losses, rel=1e-4)
    assert by_gamma.final_losses == pytest.approx(by_masks.final_losses, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["draft", "article"])
def test_gamma_pictures_are_painted_in_tiles_as_in_one_piece(recipe, monkeypatch):
    gamma = {"colour": RAMP, "form": 1 - RAMP}
    options = {"recipe": recipe, "size": 200, "mask": RAMP > 0.9, "steps": 3}
    photo = mnst.images.resize_image(np.float32(PHOTO)[np.newaxis], 150, 200)[0]
    whole = mnst.stylize(photo, STYLE_PICTURES[:2], gamma=gamma, **{**LITE, **options})
    monkeypatch.setattr("mnst.engine.planning.find_tile", lambda *_: 64)
    tiled = mnst.stylize(photo, STYLE_PICTURES[:2], gamma=gamma, **{**LITE, **options})
    assert (whole.settings["tile"], tiled.settings["tile"]) == (None, 64)
    for one, other in zip(whole.history, tiled.history, strict=True):
        assert one.losses == pytest.approx(other.losses, rel=2e-3)


@pytest.mark.slow
def test_another_picture_of_gamma_needs_no_other_step():
    transfer = mnst.StyleTransfer(PHOTO, STYLE_PICTURES[:2], recipe="article", **NETWORK)
    step = transfer._full.trainer.train_step
    transfer.run(gamma=RAMP, steps=2, progress=False)
    before = step.experimental_get_tracing_count()
    for gamma in (RAMP**2, RAMP[:, ::-1], 0.3 + 0.2 * RAMP):
        transfer.run(gamma=gamma, steps=2, progress=False)
    assert step.experimental_get_tracing_count() == before


@pytest.mark.slow
def test_each_side_of_a_picture_is_nearer_to_its_own_style():
    """As other measures see it: the mean colours of both halves."""
    result = painted(np.float32(RAMP > 0.5), steps=30).image.astype(float)
    alone = [painted(gamma, steps=30).image.astype(float) for gamma in (1, 0)]
    for half, own, other in ((np.s_[:, :24], 0, 1), (np.s_[:, -24:], 1, 0)):
        near, far = (
            np.abs(result[half].mean(axis=(0, 1)) - alone[k][half].mean(axis=(0, 1))).sum()
            for k in (own, other)
        )
        assert near < far


# Sigma, and what is reported


def test_every_group_has_its_own_sigma_in_closed_form():
    transfer = mnst.StyleTransfer(PHOTO, STYLE_PICTURES[:2], recipe="article", **NETWORK)
    result = transfer.run(gamma={"colour": 0.5, "form": (0.5, 0.5)}, progress=False, steps=2)
    assert result.improvement_by_group == {}  # one gamma after all
    result = transfer.run(gamma={"colour": 0.5, "form": 0.2}, sigma="auto", progress=False, steps=2)
    start = {group: of["start"] for group, of in result.settings["groups"].items()}
    assert np.sum(list(start.values()), axis=0) == pytest.approx(result.start_losses, rel=1e-4)
    for group in mnst.ARTICLE.groups:
        first, second = start[group]
        sigma = result.settings["sigma"][group]
        assert sigma == pytest.approx([1, np.sqrt(first / second)], rel=1e-4)
    first, second = result.improvement_by_group["colour"].predicted
    assert first == pytest.approx(second, rel=1e-4)
    assert result.improvement_by_group["form"].predicted[1] > 4 * first


@pytest.mark.slow
def test_every_zone_has_its_own_sigma_in_closed_form():
    """That of the part of the photo which lies in it."""
    halves = np.where(RAMP > 0.5, 0.4, 0.6)
    transfer = mnst.StyleTransfer(PHOTO, STYLE_PICTURES[:2], recipe="article", **NETWORK)
    result = transfer.run(gamma=halves, sigma="auto", progress=False, steps=2)
    for zone, mask in enumerate((RAMP > 0.5, RAMP <= 0.5)):
        alone = mnst.StyleTransfer(
            PHOTO, STYLE_PICTURES[:2], recipe="article", mask=~mask, **NETWORK
        )
        expected = alone.run(
            gamma={"colour": 0.5, "form": 0.4}, sigma="auto", steps=1, progress=False
        )
        for group in mnst.ARTICLE.groups:
            own = result.settings["sigma"][group][zone]
            assert own == pytest.approx(expected.settings["sigma"][group], rel=1e-3)


@pytest.mark.slow
def test_runs_come_near_what_is_predicted_for_a_group():
    result = painted({"colour": 0.5, "form": 0.3}, sigma="auto", steps=120, strength=1)
    for group in result.improvement_by_group.values():
        apart = np.log(group.measured) - np.log(group.predicted)
        assert abs(apart[0] - apart[1]) < 0.7  # their ratio is met better than each of them
    assert json.loads(json.dumps(result.settings))["groups"] == result.settings["groups"]


# What is refused


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"gamma": {"color": 0.5}}, r"^gamma names 'color': give colour, form, or a layer"),
        ({"gamma": {"colour": 1.5}}, r"^gamma is 1\.5: give"),
        ({"gamma": {"colour": (0.5, 0.6)}}, r"in sum 1\.1: shares must sum to 1$"),
        ({"gamma": [RAMP] * 3}, r"^gamma has 3 pictures for 2 styles: give one for each"),
        ({"gamma": np.zeros((48, 50))}, r"^gamma .*50 x 48"),
        ({"gamma": RAMP + 0.5}, r"values from 0\.5 to 1\.5; give 0\.\.1$"),
        ({"gamma": [np.zeros_like(RAMP)] * 2}, r"leaves 100\.0% of the picture to no style"),
        (
            {"gamma": RAMP, "style_masks": [RAMP > 0.5, RAMP <= 0.5]},
            r"^gamma is a picture, and style_masks were given: give one of them$",
        ),
        ({"sigma": {"colours": (1, 2)}}, r"^sigma names 'colours': .*did you mean 'colour'"),
        ({"sigma": {"colour": (1, 0)}}, r"^sigma is 1, 0: give numbers above 0$"),
    ],
)
def test_what_does_not_fit_is_said_in_a_line(options, said):
    with pytest.raises(ValueError, match=said) as refused:
        painted(**{"gamma": None, **options})
    assert "\n" not in str(refused.value)
