"""Seamless pictures: whoever tiles the plane with one finds no border in it."""

import dataclasses

import numpy as np
import pytest
from scenes import PHOTO, RECIPE, STYLES, picture

import mnst
from mnst.images import resize_image, without_seams
from mnst.networks.borders import with_borders
from mnst.objective import TotalVariation
from mnst.objective.terms import PICTURE, Seen

LAYERS = ["block1_conv1", "block2_conv1", "block3_conv1", "block3_conv2"]
SMALL = {"backbone": "vgg19-lite", "precision": "float32", "recipe": RECIPE}


def rolled(image, rows=8, columns=-12):
    return np.roll(image, (rows, columns), axis=(-3, -2))


def steps(image, axis):
    """How much neighbouring rows or columns differ: across the seam, and the most elsewhere."""
    pixels = np.moveaxis(np.float64(image), axis, 0)
    apart = np.abs(pixels - np.roll(pixels, 1, axis=0)).mean(axis=(1, 2))
    return apart[0], apart[1:].max()


def test_features_are_those_of_the_plane():
    """Of the middle one of 5 x 5 copies, which is further from the end than any layer sees."""
    image = picture(16, 24)
    extractor = mnst.vgg_layers(LAYERS, backbone="vgg19-lite")
    plane = extractor(np.tile(image, (1, 5, 5, 1)))
    for layer, features in with_borders(extractor, "wrap")(image).items():
        height, width = features.shape[1:3]
        middle = np.asarray(plane[layer])[:, 2 * height : 3 * height, 2 * width : 3 * width]
        np.testing.assert_allclose(features, middle, rtol=1e-4, atol=1e-2)


def test_a_mirrored_border_goes_on_as_it_ends():
    """A picture of one colour has one feature everywhere, where zeros beyond it make a frame."""
    flat = np.full((1, 16, 16, 3), 200, np.float32)
    extractor = mnst.vgg_layers(LAYERS, backbone="vgg19-lite")
    deepest = LAYERS[-1]
    mirrored, framed = (
        np.ptp(np.asarray(network(flat)[deepest]), axis=(1, 2)).max()
        for network in (with_borders(extractor, "mirror"), extractor)
    )
    assert mirrored < 1e-3 * framed


def test_the_network_of_a_run_is_left_as_it_was():
    extractor = mnst.vgg_layers(LAYERS, backbone="vgg19-lite")
    image = picture(16, 16)
    before = np.asarray(extractor(image)[LAYERS[-1]])
    with_borders(extractor, "wrap")(image)
    np.testing.assert_array_equal(extractor(image)[LAYERS[-1]], before)


def test_other_networks_are_refused():
    from mnst.backend import keras

    rgb = keras.Input((None, None, 3))
    halved = keras.layers.Conv2D(4, 3, strides=2, name="halving")(rgb)
    model = keras.Model(rgb, {"halving": halved})
    with pytest.raises(ValueError, match="can't be seamless at 'halving': it may have"):
        with_borders(model, "wrap")


def test_the_photo_goes_on_at_the_opposite_border():
    """Its periodic Laplacian is what the photo's is within: no step across a border is in it."""
    photo = 100 + picture(12, 18) / 5
    even = np.float64(without_seams(photo)[0])
    periodic, within = np.zeros(even.shape), np.zeros(even.shape)
    for axis in (0, 1):
        for shift in (1, -1):
            periodic += np.roll(even, shift, axis) - even
        apart = np.diff(np.float64(photo[0]), axis=axis)
        head, tail = [(0, 0)] * 3, [(0, 0)] * 3
        head[axis], tail[axis] = (1, 0), (0, 1)
        within += np.pad(apart, tail) - np.pad(apart, head)
    np.testing.assert_allclose(periodic, within, atol=1e-3)
    np.testing.assert_allclose(even.mean(axis=(0, 1)), photo[0].mean(axis=(0, 1)), rtol=1e-5)


@pytest.mark.parametrize("sides", [(24, 32), (6, 8)])
def test_a_pattern_stays_one_in_another_size(sides):
    pattern = picture(12, 16)
    by = sides[0] / 12
    small = resize_image(rolled(pattern, 4, -8), *sides, wraps=True)
    large = rolled(resize_image(pattern, *sides, wraps=True), int(4 * by), int(-8 * by))
    np.testing.assert_allclose(small, large, atol=1e-2)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_total_variation_counts_across_the_seam(reduction):
    image = picture(6, 9)
    term = TotalVariation(reduction=reduction).periodic()
    turned = [np.abs(np.float64(image) - np.roll(image, 1, axis)).sum() for axis in (1, 2)]
    expected = sum(turned) / (54 if reduction == "mean" else 1)
    assert float(term.loss(Seen({PICTURE: image}, {}), ())) == pytest.approx(expected, rel=1e-5)


@pytest.fixture(scope="module")
def transfer():
    recipe = dataclasses.replace(
        RECIPE.replace(total_variation=1e3, pyramid=mnst.Pyramid(smallest=12)), margin=8
    )
    return mnst.StyleTransfer(picture(32, 48), STYLES, **{**SMALL, "recipe": recipe}, seamless=True)


@pytest.fixture(scope="module")
def painted(transfer):
    return transfer.run(init="noise", steps=20, progress=False)


@pytest.mark.slow
def test_losses_do_not_know_where_a_picture_begins(transfer, painted):
    losses = [transfer.style_losses(each) for each in (painted.image, rolled(painted.image))]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    bounded = mnst.StyleTransfer(picture(32, 48), STYLES, **SMALL)
    losses = [bounded.style_losses(each) for each in (painted.image, rolled(painted.image))]
    assert np.ptp(losses, axis=0).max() > 1e-2 * np.min(losses)


@pytest.mark.slow
def test_a_step_is_rolled_with_its_picture(transfer):
    """All of a step: total variation, filter and content among it."""
    start, photo = picture(32, 48, 5), picture(32, 48, 6)
    moved = []
    for change in (lambda image: image, rolled):
        trainer = mnst.Trainer(
            mnst.vgg_layers(RECIPE.layers, backbone="vgg19-lite"),
            transfer.scene.recipe.replace(optimizer="lbfgs"),
            32,
            48,
            seamless=True,
        )
        seen = trainer.evaluator.statistics(change(photo))
        styles = [trainer.style_evaluator.statistics(np.float32(STYLES[0])[np.newaxis])]
        asked = mnst.style_targets(styles, seen, trainer.recipe)
        targets = mnst.make_targets(seen, asked, trainer.recipe, gamma=[1], sigma=[1])
        *_, last = trainer.run(change(start), targets, steps=3)
        moved.append((last.losses, np.asarray(last.image)))
    (losses, image), (of_rolled, rolled_image) = moved
    assert of_rolled == pytest.approx(losses, rel=1e-3)
    np.testing.assert_allclose(rolled_image, rolled(image), atol=0.5)
    assert np.abs(image - start).mean() > 1


def test_no_step_is_larger_across_the_seam(painted):
    for axis in (0, 1):
        seam, largest = steps(painted.image, axis)
        assert seam <= largest


@pytest.mark.parametrize("strength", [0.5, 1])
@pytest.mark.slow
def test_a_photo_with_other_borders_gets_none(strength):
    photo = np.clip(picture(64, 96) / 4 + np.linspace(0, 180, 96)[:, np.newaxis], 0, 255)
    options = {"backbone": "vgg19-lite", "recipe": "draft", "progress": False}
    seamless, bounded = (
        mnst.stylize(photo, STYLES[0], strength=strength, seamless=each, **options).image
        for each in (True, False)
    )
    with_seam, without = (
        seam / largest for seam, largest in (steps(bounded, 1), steps(seamless, 1))
    )
    # Any of 96 columns may happen to be the one with the largest step.
    assert without < 1.2 < with_seam


@pytest.mark.slow
def test_all_sizes_are_whole_cells():
    """Of 2 pixels for these layers: sides of 37 and 53 pixels aren't."""
    recipe = RECIPE.replace(
        style_layers={"block4_conv1": 1}, pyramid=mnst.Pyramid(smallest=24), steps=4
    )
    photo = picture(37, 53)
    mask = np.zeros((74, 106))
    mask[:30] = 1
    gamma = np.linspace(0, 1, 106) * np.ones((74, 1))
    result = mnst.stylize(
        photo,
        STYLES,
        **{**SMALL, "recipe": recipe},
        seamless=True,
        mask=mask,
        gamma=gamma,
        init=picture(74, 106, 3),
        progress=False,
    )
    assert result.settings["sizes"] == [[16, 24], [32, 48]]
    assert result.settings["seamless"] is True
    assert result.image.shape == (32, 48, 3)


def test_what_is_kept_of_the_photo_stays_as_it_is():
    mask = np.zeros(PHOTO.shape[:2])
    mask[:, :9] = 1
    result = mnst.stylize(PHOTO, STYLES, **SMALL, seamless=True, mask=mask, progress=False)
    np.testing.assert_array_equal(result.image[:, :9], PHOTO[:, :9])
    assert (result.image[:, 9:] != PHOTO[:, 9:]).any()


def test_another_recipe_for_a_run_is_seamless_too(transfer):
    recipe = dataclasses.replace(transfer.scene.recipe, margin=8)
    louder = recipe.replace(total_variation=2e3)
    terms = tuple(dataclasses.replace(term, wraps=False) for term in louder.terms)
    result = transfer.run(recipe=louder.replace(terms=terms), steps=2, progress=False)
    assert result.settings["recipe"]["margin"] == 0
    assert result.settings["recipe"]["terms"][0]["wraps"] is True


def test_more_memory_is_planned_for_it():
    plain, seamless = (
        mnst.StyleTransfer(picture(32, 48), STYLES, **SMALL, seamless=each).scene.memory
        for each in (False, True)
    )
    assert seamless > plain


def test_tiles_are_refused_in_a_line(monkeypatch):
    photo = np.zeros((600, 800, 3), np.uint8)
    given = {**SMALL, "recipe": mnst.ARTICLE, "size": 800}
    whole = mnst.StyleTransfer(PHOTO.repeat(2, 0).repeat(2, 1), STYLES, **given).scene.memory
    with pytest.raises(ValueError, match=r"seamless is True, but .* in tiles") as raised:
        mnst.stylize(photo, STYLES, **given, memory=int(whole * 1.5), seamless=True)
    assert "\n" not in str(raised.value)
    with pytest.raises(ValueError, match="seamless is True, and tile is 64: give one of them"):
        mnst.Trainer(lambda image: {}, RECIPE, 64, 64, tile=64, seamless=True)


@pytest.mark.parametrize("value", [1, "yes", None])
def test_it_is_true_or_false(tripwire, value):
    with pytest.raises(TypeError, match=r"seamless is .*: give True or False"):
        mnst.stylize(PHOTO, STYLES, seamless=value)
