"""Losses and Gram matrices against float64 NumPy, written from the texts' formulas."""

import numpy as np
import pytest

import mnst
from mnst.backend import keras, tf
from mnst.objective.losses import corrected, make_targets, mixed_losses, statistics, style_targets
from mnst.objective.regions import Regions, halvings, paint_regions

RECIPES = [mnst.ARTICLE, mnst.PAPER, mnst.TUTORIAL]
# Two tiny layers stand for VGG19's in all three recipes' ways of measuring.
LAYERS = {"content_layers": {"deep": 0.7}, "style_layers": {"shallow": 1.0, "deep": 0.3}}


def recipe_on_tiny(recipe):
    return recipe.replace(**LAYERS)


@pytest.fixture
def rng():
    return np.random.default_rng(17)


@pytest.fixture(scope="module")
def extractor():
    """A network of two convolutions and a pool, with smooth activations: differences of losses
    then have no kinks to stumble over."""
    keras.utils.set_random_seed(7)
    rgb = keras.Input((None, None, 3))
    shallow = keras.layers.Conv2D(4, 3, padding="same", activation="softplus")(rgb / 255.0)
    deep = keras.layers.Conv2D(6, 3, padding="same", activation="softplus")(
        keras.layers.AveragePooling2D(2)(shallow)
    )
    return keras.Model(rgb, {"shallow": shallow, "deep": deep})


@pytest.fixture(scope="module")
def pictures():
    """A content image and three styles of other sizes, smaller and larger."""
    random = np.random.default_rng(3)
    sizes = [(10, 13), (8, 21), (24, 9), (10, 13)]
    return [random.uniform(0, 255, (1, *size, 3)).astype(np.float32) for size in sizes]


def gram64(features, region=None):
    """Position by position; with a region its own Gram, times positions over its area."""
    flat = np.asarray(features, np.float64).reshape(-1, features.shape[-1])
    if region is None:
        return flat.T @ flat
    t = np.asarray(region, np.float64).ravel()
    return sum(w * np.outer(f, f) for w, f in zip(t, flat, strict=True)) * len(t) / t.sum()


def seen64(mask, features):
    """The mean of the pixels below each position of a layer."""
    height, width = features.shape[1:3]
    side = mask.shape[0] // height
    cells = np.float64(mask)[: height * side, : width * side].reshape(height, side, width, side)
    return cells.mean(axis=(1, 3))


def losses64(recipe, of_x, of_content, of_styles, gamma, sigma, regions=None):
    """Every loss by the formulas of the article and the paper, in float64.

    With `regions` each style is measured over its own, and counts by its share of the picture.
    """
    style = np.zeros(len(of_styles))
    if regions is None:
        each, painted, areas = [None] * len(style), np.ones((1, 1)), np.ones(len(style))
    else:
        each = np.broadcast_to(regions.styles, (len(style), *regions.painted.shape))
        painted, areas = regions.painted, each.mean(axis=(1, 2), dtype=np.float64)
    for layer, weight in recipe.style.layer_weights:
        positions = np.prod(of_x[layer].shape[1:3])
        channels = of_x[layer].shape[-1]
        for k, features in enumerate(of_styles):
            region = None if each[k] is None else seen64(each[k], of_x[layer])
            gram = gram64(of_x[layer], region)
            target = gram64(features[layer]) * positions / np.prod(features[layer].shape[1:3])
            squared = (gram - target) ** 2
            if recipe.style.kind == "mean":
                squared /= positions**2
            if recipe.style.reduction == "gatys":
                style[k] += weight * squared.sum() / (4 * channels**2 * positions**2)
            else:
                style[k] += weight * squared.mean()
    content = 0.0
    for layer, weight in recipe.content.layer_weights:
        squared = (np.float64(of_x[layer]) - np.float64(of_content[layer])) ** 2
        if regions is not None:
            squared *= seen64(painted, of_x[layer])[..., np.newaxis]
        halved = recipe.content.reduction == "half_sum"
        content += weight * (squared.sum() / 2 if halved else squared.mean())
    strength = painted.mean() / np.dot(gamma, areas)
    shares = np.multiply(gamma, sigma) * areas * strength
    total = recipe.alpha * content + recipe.beta * np.dot(shares, style)
    named = {f"style_{k}": loss for k, loss in enumerate(style, start=1)}
    return {"total": total, "content": content, **named}


def measure(extractor, recipe, x, content, styles, gamma, sigma, regions=None):
    photo, *paintings = (statistics(extractor(one), recipe) for one in (content, *styles))
    grams = style_targets(paintings, photo, recipe)
    targets = make_targets(photo, grams, recipe, gamma=gamma, sigma=sigma, regions=regions)
    picture = statistics(extractor(x), recipe, places=targets.places)
    return mixed_losses(picture, targets, recipe)


def test_gram_is_the_paper_s_equation_3(rng):
    features = rng.normal(size=(2, 5, 7, 3)).astype(np.float32)
    flat = features.astype(np.float64).reshape(2, 35, 3)
    expected = np.einsum("bkc,bkd->bcd", flat, flat)
    np.testing.assert_allclose(mnst.gram_matrix(features), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        mnst.gram_matrix(features, kind="mean"), expected / 35, rtol=1e-5, atol=1e-5
    )


def test_a_gram_of_bfloat16_is_summed_in_float32():
    """2^20 ones: a sum in bfloat16 would stop at 256."""
    gram = mnst.gram_matrix(tf.ones((1, 1024, 1024, 1), tf.bfloat16))
    assert gram.dtype == tf.float32
    assert float(gram[0, 0, 0]) == 2**20


def test_grams_as_large_as_vgg_s_stay_finite_when_squared():
    gram = mnst.gram_matrix(tf.fill((1, 512, 512, 2), 800.0))
    loss = mnst.style_loss(gram, tf.zeros_like(gram))
    assert float(loss[0]) == pytest.approx((512 * 512 * 800.0**2) ** 2, rel=1e-5)


def test_gatys_needs_the_positions():
    with pytest.raises(ValueError, match="positions"):
        mnst.style_loss(tf.zeros((1, 2, 2)), tf.zeros((1, 2, 2)), reduction="gatys")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
@pytest.mark.parametrize(
    ("gamma", "sigma"), [((0.3, 0.7, 0.0), (1, 1, 1)), ((0.2, 0.3, 0.5), (1, 1.9, 0.4))]
)
def test_every_loss_equals_numpy_in_float64(extractor, pictures, recipe, gamma, sigma, rng):
    recipe = recipe_on_tiny(recipe)
    content, *styles = pictures
    x = rng.uniform(0, 255, content.shape).astype(np.float32)
    _, losses = measure(extractor, recipe, x, content, styles, gamma, sigma)
    expected = losses64(
        recipe,
        *({name: f.numpy() for name, f in extractor(image).items()} for image in (x, content)),
        [{name: f.numpy() for name, f in extractor(style).items()} for style in styles],
        gamma,
        sigma,
    )
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        assert float(losses[name]) == pytest.approx(value, rel=1e-5), name


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_the_gradient_is_that_of_the_total(extractor, pictures, recipe, rng):
    """The objective that is differentiated holds one mixed target; the total holds them all."""
    recipe = recipe_on_tiny(recipe)
    content, *styles = pictures
    gamma, sigma = (0.2, 0.3, 0.5), (1, 1.9, 0.4)
    x = tf.constant(rng.uniform(0, 255, content.shape), tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        objective, losses = measure(extractor, recipe, x, content, styles, gamma, sigma)
        total = losses["total"]
    of_objective = tape.gradient(objective, x).numpy()
    scale = np.abs(of_objective).max()
    np.testing.assert_allclose(of_objective, tape.gradient(total, x), atol=1e-4 * scale)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_the_gradient_agrees_with_finite_differences(extractor, pictures, recipe, rng):
    """Along random directions, the total measured in float64 by NumPy."""
    recipe = recipe_on_tiny(recipe)
    content, *styles = pictures
    gamma, sigma = (0.2, 0.3, 0.5), (1, 1.9, 0.4)
    agrees_with_finite_differences(extractor, recipe, content, styles, gamma, sigma, rng=rng)


def agrees_with_finite_differences(
    extractor, recipe, content, styles, gamma, sigma, regions=None, *, rng
):
    forward = float64_copy(extractor)
    of_content, of_styles = forward(content), [forward(style) for style in styles]
    x = rng.uniform(0, 255, content.shape)
    watched = tf.constant(x, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(watched)
        objective, _ = measure(extractor, recipe, watched, content, styles, gamma, sigma, regions)
    gradient = tape.gradient(objective, watched).numpy().astype(np.float64)
    for _ in range(5):
        direction = rng.normal(size=x.shape)
        ahead, behind = (
            losses64(recipe, forward(x + step), of_content, of_styles, gamma, sigma, regions)
            for step in (1e-3 * direction, -1e-3 * direction)
        )
        difference = (ahead["total"] - behind["total"]) / 2e-3
        along = np.sum(gradient * direction)
        assert along == pytest.approx(difference, rel=1e-3, abs=1e-4 * np.linalg.norm(gradient))


def float64_copy(extractor):
    """The tiny network in float64, as a function to NumPy arrays."""

    def in_float64(layer):
        return type(layer).from_config({**layer.get_config(), "dtype": "float64"})

    weights = [w.astype(np.float64) for w in extractor.get_weights()]
    shallow, deep = (
        in_float64(layer) for layer in extractor.layers if isinstance(layer, keras.layers.Conv2D)
    )
    pool = keras.layers.AveragePooling2D(2, dtype="float64")

    def forward(image):
        first = shallow(tf.constant(image, tf.float64) / 255.0)
        second = deep(pool(first))
        return {"shallow": first.numpy(), "deep": second.numpy()}

    forward(np.zeros((1, 4, 4, 3)))
    shallow.set_weights(weights[:2])
    deep.set_weights(weights[2:])
    return forward


def test_gamma_one_is_the_single_style_run_of_style_1(extractor, pictures):
    recipe = recipe_on_tiny(mnst.ARTICLE)
    content, first, second, _ = pictures
    both, _ = measure(extractor, recipe, content + 1, content, [first, second], (1, 0), (1, 1))
    alone, _ = measure(extractor, recipe, content + 1, content, [first], (1,), (1,))
    assert float(both) == float(alone)


def test_permuting_styles_with_their_shares_changes_nothing(extractor, pictures):
    recipe = recipe_on_tiny(mnst.ARTICLE)
    content, *styles = pictures
    order = [2, 0, 1]
    gamma, sigma = np.array([0.2, 0.3, 0.5]), np.array([1, 1.9, 0.4])
    objective, losses = measure(extractor, recipe, content + 1, content, styles, gamma, sigma)
    shuffled, renamed = measure(
        extractor,
        recipe,
        content + 1,
        content,
        [styles[k] for k in order],
        gamma[order],
        sigma[order],
    )
    assert float(shuffled) == float(objective)
    assert float(renamed["total"]) == pytest.approx(float(losses["total"]), rel=1e-6)
    for place, k in enumerate(order, start=1):
        assert float(renamed[f"style_{place}"]) == float(losses[f"style_{k + 1}"])


@pytest.mark.parametrize("tiles", [(1, 2), (3, 1), (2, 2)])
def test_a_larger_style_has_the_same_target_per_position(tiles):
    """A style whose activations repeat has a larger summed Gram, and the same target."""
    recipe = recipe_on_tiny(mnst.ARTICLE)
    random = np.random.default_rng(5)
    features = {
        name: random.normal(size=(1, 4, 6, 3)).astype(np.float32) for name in ("shallow", "deep")
    }
    tiled = {name: np.tile(f, (1, *tiles, 1)) for name, f in features.items()}
    content = {name: np.zeros((1, 5, 9, 3), np.float32) for name in features}
    photo = statistics(content, recipe)
    small, large = (
        style_targets([statistics(one, recipe)], photo, recipe)["style"]
        for one in (features, tiled)
    )
    assert small.keys() == features.keys()
    for layer in small:
        np.testing.assert_allclose(small[layer], large[layer], rtol=1e-5)
        np.testing.assert_allclose(small[layer][0], gram64(features[layer]) * 45 / 24, rtol=1e-5)


# Masks. The tiny pictures are 10 x 13, so that the pool drops a column.


def soft_masks(kind):
    """Regions of three styles: one they share, or one for each; with and without a soft edge."""
    random = np.random.default_rng(23)
    mask, *each = random.uniform(size=(4, 10, 13)).astype(np.float32)
    mask[:3] = 1
    each = [np.round(each[0]), each[1], None]
    return {
        "shared": paint_regions(mask, None, 3),
        "own": paint_regions(None, each, 3),
        "both": paint_regions(mask, each, 3),
    }[kind]


@pytest.mark.parametrize("kind", ["sum", "mean"])
def test_the_gram_of_regions_equals_numpy_in_float64(rng, kind):
    features = rng.normal(size=(1, 5, 7, 3)).astype(np.float32)
    regions = rng.uniform(size=(4, 5, 7)).astype(np.float32)
    grams = mnst.gram_matrix(features, kind=kind, region=regions)
    expected = [gram64(features, region) / (35 if kind == "mean" else 1) for region in regions]
    np.testing.assert_allclose(grams, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("value", [1.0, 0.25])
def test_a_region_that_is_the_same_everywhere_changes_no_gram(rng, value):
    features = rng.normal(size=(1, 5, 7, 3)).astype(np.float32)
    region = np.full((1, 5, 7), value, np.float32)
    np.testing.assert_allclose(
        mnst.gram_matrix(features, region=region), mnst.gram_matrix(features), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("kind", ["shared", "own", "both"])
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_loss_over_regions_equals_numpy_in_float64(extractor, pictures, recipe, kind, rng):
    recipe = recipe_on_tiny(recipe)
    content, *styles = pictures
    gamma, sigma, regions = (0.2, 0.3, 0.5), (1, 1.9, 0.4), soft_masks(kind)
    x = rng.uniform(0, 255, content.shape).astype(np.float32)
    _, losses = measure(extractor, recipe, x, content, styles, gamma, sigma, regions)
    expected = losses64(
        recipe,
        *({name: f.numpy() for name, f in extractor(image).items()} for image in (x, content)),
        [{name: f.numpy() for name, f in extractor(style).items()} for style in styles],
        gamma,
        sigma,
        regions,
    )
    for name, value in expected.items():
        assert float(losses[name]) == pytest.approx(value, rel=1e-5), name


@pytest.mark.parametrize("kind", ["shared", "own", "both"])
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_the_gradient_over_regions_agrees_with_finite_differences(
    extractor, pictures, recipe, kind, rng
):
    recipe = recipe_on_tiny(recipe)
    content, *styles = pictures
    gamma, sigma, regions = (0.2, 0.3, 0.5), (1, 1.9, 0.4), soft_masks(kind)
    agrees_with_finite_differences(
        extractor, recipe, content, styles, gamma, sigma, regions, rng=rng
    )


def features_gradient(recipe, features, content, styles, gamma, regions):
    """The gradient of the objective with respect to the activations themselves, by layer."""
    sigma = (1,) * len(styles)
    photo, *paintings = (statistics(one, recipe) for one in (content, *styles))
    grams = style_targets(paintings, photo, recipe)
    targets = make_targets(photo, grams, recipe, gamma=gamma, sigma=sigma, regions=regions)
    watched = {name: tf.constant(f) for name, f in features.items()}
    with tf.GradientTape() as tape:
        tape.watch(watched)
        picture = statistics(watched, recipe, places=targets.places)
        objective, _ = mixed_losses(picture, targets, recipe)
    return {name: g.numpy() for name, g in tape.gradient(objective, watched).items()}


@pytest.fixture
def activations(rng):
    """Of the picture, the content and two styles; the picture and the content repeat once."""

    def draw(repeats):
        sizes = {"shallow": (8, 6, 4), "deep": (4, 3, 6)}
        return {
            name: np.tile(rng.normal(size=(1, *size)).astype(np.float32), (1, 1, repeats, 1))
            for name, size in sizes.items()
        }

    return draw(2), draw(2), [draw(1), draw(1)]


def halves():
    left = np.zeros((8, 12), np.float32)
    left[:, :6] = 1
    return left, 1 - left


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_painted_position_has_the_gradient_that_it_has_without_a_mask(activations, recipe):
    """Where half of a picture that repeats is kept, the other half's Gram is that of the whole."""
    recipe = recipe_on_tiny(recipe)
    left, _ = halves()
    masked = features_gradient(recipe, *activations, (0.3, 0.7), paint_regions(left, None, 2))
    whole = features_gradient(recipe, *activations, (0.3, 0.7), None)
    for layer, gradient in masked.items():
        kept, painted = np.split(gradient, 2, axis=2)
        expected = np.split(whole[layer], 2, axis=2)[1]
        np.testing.assert_allclose(painted, expected, atol=1e-5 * np.abs(expected).max())
        assert not kept.any()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_style_that_has_a_place_to_itself_paints_it_as_if_alone(activations, recipe):
    """Half and half, with gamma = 0.5: each half as in a run with that style only."""
    recipe = recipe_on_tiny(recipe)
    picture, content, styles = activations
    both = features_gradient(
        recipe, picture, content, styles, (0.5, 0.5), paint_regions(None, halves(), 2)
    )
    alone = [features_gradient(recipe, picture, content, [one], (1,), None) for one in styles]
    for layer, gradient in both.items():
        for half, expected in zip(np.split(gradient, 2, axis=2), alone, strict=True):
            expected = expected[layer][:, :, : half.shape[2]]
            np.testing.assert_allclose(half, expected, atol=1e-5 * np.abs(expected).max())
            assert half.any()


def test_a_mask_that_is_soft_everywhere_scales_the_gradient_as_a_whole(activations):
    recipe = recipe_on_tiny(mnst.ARTICLE)
    soft = features_gradient(
        recipe, *activations, (0.3, 0.7), paint_regions(np.full((8, 12), 0.75), None, 2)
    )
    whole = features_gradient(recipe, *activations, (0.3, 0.7), None)
    for layer, gradient in soft.items():
        expected = whole[layer] / 4
        np.testing.assert_allclose(gradient, expected, atol=1e-5 * np.abs(expected).max())


def test_regions_that_happen_to_be_equal_are_one(activations):
    """One Gram against the weighted mean, or one for each style: the same objective."""
    recipe = recipe_on_tiny(mnst.ARTICLE)
    left, _ = halves()
    shared = paint_regions(None, [left, left], 2)
    apart = Regions(left, np.stack([left, left]))
    assert len(shared.styles) == 1
    one, two = (
        features_gradient(recipe, *activations, (0.3, 0.7), regions) for regions in (shared, apart)
    )
    for layer, gradient in one.items():
        np.testing.assert_allclose(gradient, two[layer], atol=1e-5 * np.abs(gradient).max())


def test_nothing_is_measured_where_the_photo_is_kept(activations):
    recipe = recipe_on_tiny(mnst.ARTICLE)
    picture, content, styles = activations
    left, _ = halves()
    photo, *paintings = (statistics(one, recipe) for one in (content, *styles))
    grams = style_targets(paintings, photo, recipe)
    regions = paint_regions(left, None, 2)
    targets = make_targets(photo, grams, recipe, gamma=(0.3, 0.7), sigma=(1, 1), regions=regions)
    kept = {name: halvings(left[None])[level][0] > 0 for level, name in enumerate(picture)}
    changed = {
        name: f + 100 * kept[name][..., np.newaxis].astype(np.float32)
        for name, f in picture.items()
    }
    (_, before), (_, after) = (
        mixed_losses(statistics(one, recipe, places=targets.places), targets, recipe)
        for one in (picture, changed)
    )
    assert {k: float(v) for k, v in after.items()} == {k: float(v) for k, v in before.items()}


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 2e-2)])
@pytest.mark.parametrize("kind", ["sum", "mean"])
def test_gradient_of_a_gram_matrix_against_numpy(dtype, tolerance, kind):
    """Of a loss that weighs every entry by itself, so that the upstream is not symmetric."""
    random = np.random.default_rng(12)
    features = tf.cast(random.standard_normal((2, 3, 5, 4)), dtype)
    upstream = random.standard_normal((2, 4, 4))
    with tf.GradientTape() as tape:
        tape.watch(features)
        gram = mnst.gram_matrix(features, kind=kind)
        loss = tf.reduce_sum(gram * tf.cast(upstream, tf.float32))
    gradient = tape.gradient(loss, features)
    assert gram.dtype == tf.float32
    assert gradient.dtype == features.dtype
    flat = tf.cast(features, tf.float64).numpy().reshape(2, 15, 4)
    expected = flat @ (upstream + upstream.transpose(0, 2, 1)) / (15 if kind == "mean" else 1)
    given = tf.cast(gradient, tf.float64).numpy().reshape(2, 15, 4)
    assert np.abs(given - expected).max() < tolerance * np.abs(expected).max()


@pytest.mark.parametrize("kind", [None, "own", "both"])
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_corrected_targets_give_another_network_the_same_losses(extractor, pictures, recipe, kind):
    """At the picture they were corrected at; elsewhere it has its own."""
    recipe = recipe_on_tiny(recipe)
    keras.utils.set_random_seed(8)
    other = keras.models.clone_model(extractor)
    content, *styles = pictures
    masks = None if kind is None else soft_masks(kind)
    photo, *paintings = (statistics(extractor(one), recipe) for one in (content, *styles))
    grams = style_targets(paintings, photo, recipe)
    targets = make_targets(
        photo, grams, recipe, gamma=(0.2, 0.3, 0.5), sigma=(1, 1.9, 0.4), regions=masks
    )

    def measure(network, image, aims):
        seen = statistics(network(image), recipe, places=aims.places)
        objective, losses = mixed_losses(seen, aims, recipe)
        return {"objective": float(objective)} | {name: float(v) for name, v in losses.items()}

    here, elsewhere = 255 - content, content / 2
    seen = [statistics(net(here), recipe, places=targets.places) for net in (extractor, other)]
    aims = corrected(targets, *seen, recipe)
    expected = measure(extractor, here, targets)
    assert measure(other, here, aims) == pytest.approx(expected, rel=1e-3)
    assert measure(other, here, targets)["total"] != pytest.approx(expected["total"], rel=1e-2)
    assert measure(other, elsewhere, aims) != pytest.approx(
        measure(extractor, elsewhere, targets), rel=1e-3
    )
