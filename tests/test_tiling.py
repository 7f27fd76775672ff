"""Tiles against the picture as a whole, on networks of VGG19's shape."""

from dataclasses import dataclass

import numpy as np
import pytest
from scenes import options, picture

import mnst
from mnst.backend import keras, tf
from mnst.engine import planning
from mnst.engine.tiled import Tiled
from mnst.engine.trainer import Trainer
from mnst.engine.whole import Whole
from mnst.objective import PICTURE, Gram, Term
from mnst.objective.losses import make_targets, style_targets
from mnst.objective.regions import paint_regions
from mnst.optimizers import Adam

SIDES = [(150, 211), (160, 96), (79, 66)]  # odd at every pool, even at every pool, hardly a tile
GAMMA, SIGMA = (0.2, 0.3, 0.5), (1, 2, 0.5)


@pytest.fixture(scope="module")
def extractors(random_weights):
    layers = {*mnst.ARTICLE.layers, *mnst.PAPER.layers}
    return {
        dtype: mnst.vgg_layers(layers, weights=random_weights, dtype=dtype)
        for dtype in ("float32", "bfloat16")
    }


def regions(kind, height, width):
    """Where each of three styles may paint, with soft edges that cross tiles."""
    if kind == "everywhere":
        return None
    kept = np.zeros((height, width), np.float32)
    kept[height // 3 : height // 2] = 1
    if kind == "kept":
        return paint_regions(kept, None, 3)
    across = np.broadcast_to(np.clip(np.linspace(-1, 2, width), 0, 1), (height, width))
    down = np.broadcast_to(np.clip(np.linspace(2, -1, height), 0, 1)[:, None], (height, width))
    return paint_regions(kept, [across, down, None], 3)


def make_scene(evaluator, recipe, height, width, masks):
    """The targets of three styles of other sizes, as the evaluator sees them."""
    sizes = [(height, width), (90, 70), (64, 131), (47, 33)]
    content, *styles = (picture(*size, seed) for seed, size in enumerate(sizes))
    photo = evaluator.statistics(content)
    asked = style_targets(map(evaluator.statistics, styles), photo, recipe)
    return make_targets(
        photo, asked, recipe, gamma=GAMMA, sigma=SIGMA, regions=masks, pixels=content
    )


def both(extractor, recipe, sides, kind, tile=64):
    """The gradient and the losses of a picture, as a whole and in tiles."""
    image = tf.constant(picture(*sides, seed=9))
    masks = regions(kind, *sides)
    seen = []
    for evaluator in (Whole(extractor, recipe), Tiled(extractor, recipe, tile=tile)):
        targets = make_scene(evaluator, recipe, *sides, masks)
        _, gradient, losses = evaluator.gradient(image, targets)
        assert gradient.dtype == tf.float32
        seen.append((gradient.numpy(), {name: float(loss) for name, loss in losses.items()}))
    return seen


def apart(one, other):
    return np.linalg.norm(one - other) / np.linalg.norm(one)


@pytest.mark.parametrize(
    ("recipe", "sides", "kind"),
    [
        pytest.param(mnst.ARTICLE, SIDES[0], "everywhere", marks=pytest.mark.slow),
        (mnst.ARTICLE, SIDES[0], "each"),
        pytest.param(mnst.ARTICLE, SIDES[1], "kept", marks=pytest.mark.slow),
        pytest.param(mnst.PAPER, SIDES[0], "kept", marks=pytest.mark.slow),
        pytest.param(mnst.PAPER, SIDES[2], "everywhere", marks=pytest.mark.slow),
        pytest.param(mnst.TUTORIAL, SIDES[1], "everywhere", marks=pytest.mark.slow),
        pytest.param(mnst.TUTORIAL, SIDES[0], "each", marks=pytest.mark.slow),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_losses_and_gradient_are_those_of_the_whole(extractors, recipe, sides, kind):
    whole, tiled = both(extractors["float32"], recipe, sides, kind)
    assert tiled[1] == pytest.approx(whole[1], rel=2e-5)
    assert apart(whole[0], tiled[0]) < 1e-5
    np.testing.assert_allclose(tiled[0], whole[0], atol=1e-4 * np.abs(whole[0]).max())


@pytest.mark.slow
def test_in_bfloat16_they_are_as_near_as_its_rounding_lets_them(extractors):
    whole, tiled = both(extractors["bfloat16"], mnst.ARTICLE, SIDES[0], "each")
    assert tiled[1] == pytest.approx(whole[1], rel=1e-3)
    assert apart(whole[0], tiled[0]) < 2e-2


@pytest.mark.slow
def test_pools_may_be_content_and_style_layers(random_weights):
    """The pool that one block ends with is what the next is given."""
    recipe = mnst.ARTICLE.replace(
        content_layers={"block2_pool": 1, "block3_conv1": 1},
        style_layers={"block1_pool": 1, "block2_conv2": 1, "block2_pool": 0.5, "block4_pool": 1},
    )
    extractor = mnst.vgg_layers(recipe.layers, weights=random_weights)
    whole, tiled = both(extractor, recipe, (101, 150), "everywhere")
    assert tiled[1] == pytest.approx(whole[1], rel=2e-5)
    assert apart(whole[0], tiled[0]) < 1e-5


@pytest.mark.slow
def test_the_small_network_is_cut_as_well():
    extractor = mnst.vgg_layers(mnst.ARTICLE.layers, backbone="vgg19-lite")
    whole, tiled = both(extractor, mnst.ARTICLE, SIDES[0], "kept")
    assert tiled[1] == pytest.approx(whole[1], rel=2e-5)
    assert apart(whole[0], tiled[0]) < 1e-5


@dataclass(frozen=True, kw_only=True)
class Rows(Term):
    """Notes of which rows of the picture the tiles are; the picture says it in its pixels."""

    noted: list

    name = "rows"
    layer_names = (PICTURE,)
    __hash__ = object.__hash__

    def see(self, layer, features, counts):
        tf.numpy_function(lambda rows: self.noted.append(rows.tolist()), [features[0, :, 0, 0]], [])
        return tf.reduce_sum(features)

    def loss(self, seen, targets):
        return 0 * seen.values[PICTURE]


@pytest.fixture(scope="module")
def twice():
    """A function to networks of one 3 x 3 convolution, as wide as asked, a pool, and another."""

    def build(channels):
        keras.utils.set_random_seed(5)
        rgb = keras.Input((None, None, 3))
        first = keras.layers.Conv2D(channels, 3, padding="same", name="first")(rgb)
        pool = keras.layers.MaxPooling2D(2, name="pool")(first)
        second = keras.layers.Conv2D(4, 3, padding="same", name="second")(pool)
        return keras.Model(rgb, {"first": first, "pool": pool, "second": second})

    return build


@pytest.mark.parametrize(("channels", "side"), [(1024, 16), (541, 22), (64, 64)])
def test_tiles_cover_a_length_once_and_start_at_even_places(twice, channels, side):
    """And see around them what they need, no more than there is: else layers would differ. The
    wider the network, the smaller they are: each holds as many values."""
    noted = []
    layers = dict.fromkeys(("first", "pool", "second"), 1)
    recipe = mnst.ARTICLE.replace(
        content_layers=layers, style_layers=layers, terms=[Rows(noted=noted)]
    )
    extractor = twice(channels)
    whole, tiled = Whole(extractor, recipe), Tiled(extractor, recipe, tile=64)
    for length in (2, 5, 16, 17, 64, 99, 130):
        image = np.zeros((1, length, 6, 3), np.float32) + np.arange(length)[:, None, None]
        expected = whole.statistics(image)
        noted.clear()
        seen = tiled.statistics(image)
        assert [row for rows in noted for row in rows] == list(range(length))
        assert all(rows[0] % 2 == 0 and len(rows) <= side + 1 for rows in noted)
        assert len(noted) == -(-length // side)
        for term in ("content", "style", "rows"):
            for layer, values in expected[term].values.items():
                near = 1e-5 * np.abs(values).max()
                np.testing.assert_allclose(seen[term].values[layer], values, atol=near)


def test_too_small_a_tile_is_refused(extractors):
    with pytest.raises(ValueError, match="tile is 32: give 64 pixels or more"):
        Tiled(extractors["float32"], mnst.ARTICLE, tile=32)


def test_work_counts_what_the_convolutions_do(extractors):
    """With one tile it is one more pass forward; halos come on top."""
    one = Tiled(extractors["float32"], mnst.ARTICLE, tile=1024)
    assert one.work(200, 160) == 1.5
    small = Tiled(extractors["float32"], mnst.ARTICLE, tile=64)
    # Blocks 3 and 4 hold two thirds of it. Block 4 has tiles of 22 with a halo of 4: at least
    # (30 / 22)^2 in the middle of a large picture.
    assert 1.5 * 1.4 < small.work(1600, 1600) < 1.5 * 1.9


@pytest.mark.slow
def test_a_run_in_tiles_takes_the_path_of_the_whole(extractors):
    """With a mask that keeps pixels, which a step mixes into picture and gradient."""
    content, recipe = picture(70, 101), mnst.ARTICLE.replace(epsilon=1e-3)
    kept = np.float32(np.indices((70, 101))[1] < 30) * 0.75
    masks = paint_regions(kept, None, 3)
    ends = []
    for tile in (None, 64):
        trainer = Trainer(extractors["float32"], recipe, 70, 101, tile=tile)
        targets = make_scene(trainer.evaluator, recipe, 70, 101, masks)
        *_, last = trainer.run(content, targets, steps=4)
        ends.append(last)
    assert ends[1].losses == pytest.approx(ends[0].losses, rel=1e-3)
    # Adam's first steps are as long for a gradient of nothing as for any other.
    assert np.abs(ends[0].image - ends[1].image).mean() < 0.05
    assert np.abs(ends[0].image - content).mean() > 5


@pytest.mark.slow
def test_a_run_in_tiles_is_traced_once(extractors):
    """Though tiles differ in size, and whatever is run. Python is run when something is traced."""
    traced = []

    class Listening(Gram):
        def see(self, layer, features, counts):
            traced.append("see")
            return super().see(layer, features, counts)

    class ListeningAdam(Adam):
        def start(self, image):
            state = super().start(image)
            update = state.update
            state.update = lambda *given: traced.append("update") or update(*given)
            return state

    article = mnst.ARTICLE
    recipe = article.replace(
        style=Listening(layers=article.style.layers, weight=article.beta),
        optimizer=ListeningAdam(),
    )
    trainer = Trainer(extractors["float32"], recipe, 150, 211, tile=64)
    targets = make_scene(trainer.evaluator, recipe, 150, 211, None)
    content = picture(150, 211)
    list(trainer.run(content, targets, steps=1))
    # Each of the five blocks has a style layer, and is traced without and with a gradient.
    assert (traced.count("see"), traced.count("update")) == (10, 1)
    targets = make_scene(trainer.evaluator, recipe, 150, 211, None)
    list(trainer.run(255 - content, targets, steps=2))
    assert (traced.count("see"), traced.count("update")) == (10, 1)


@pytest.mark.slow
def test_stylize_paints_in_tiles_where_memory_is_short(random_weights, monkeypatch):
    photo, styles = picture(150, 211)[0].astype(np.uint8), [picture(200, 130, 1)[0]]
    whole = mnst.stylize(photo, styles, **options(random_weights, recipe=mnst.ARTICLE, steps=2))
    assert whole.settings["tile"] is None
    monkeypatch.setattr(planning, "TILES", (64,))
    load = planning.Load(
        mnst.networks.VGG19.activations,
        "float32",
        mnst.ARTICLE.optimizer.arrays,
        joined=2,
        widened=0,
        standing=0,
    )
    least = planning.memory_needed(200, 130, load, 64)
    short = options(random_weights, recipe=mnst.ARTICLE, steps=2, memory=least + 2 * 10**7)
    tiled = mnst.stylize(photo, styles, **short)
    assert tiled.settings["tile"] == 64
    assert tiled.start_losses == pytest.approx(whole.start_losses, rel=1e-4)
    assert tiled.relative_improvement == pytest.approx(whole.relative_improvement, rel=1e-2)
    assert np.abs(np.float32(tiled.image) - whole.image).mean() < 0.5


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.Conv2D(4, 3, strides=2, padding="same", name="odd"),
        keras.layers.Conv2D(4, 4, padding="same", name="odd"),
        keras.layers.Conv2D(4, 3, dilation_rate=2, padding="same", name="odd"),
        keras.layers.Conv2D(4, 3, name="odd"),
        keras.layers.AveragePooling2D(2, name="odd"),
        keras.layers.MaxPooling2D(3, name="odd"),
        keras.layers.MaxPooling2D(2, padding="same", name="odd"),
    ],
)
def test_networks_that_tiles_would_change_are_refused(layer):
    rgb = keras.Input((None, None, 3))
    extractor = keras.Model(rgb, {"odd": layer(rgb)})
    with pytest.raises(ValueError, match=r"^the model can't be cut into tiles at 'odd'"):
        Tiled(extractor, mnst.ARTICLE, tile=64)


def test_outputs_that_are_no_layers_are_refused():
    rgb = keras.Input((None, None, 3))
    extractor = keras.Model(rgb, {"deep": keras.layers.Conv2D(4, 3, padding="same")(rgb)})
    recipe = mnst.ARTICLE.replace(content_layers={"deep": 1}, style_layers={"deep": 1})
    with pytest.raises(ValueError, match="it has no layer 'deep'"):
        Tiled(extractor, recipe, tile=64)


def test_a_network_without_pools_is_one_block():
    keras.utils.set_random_seed(1)
    rgb = keras.Input((None, None, 3))
    layer = keras.layers.Conv2D(4, 5, padding="same", activation="softplus", name="only")
    extractor = keras.Model(rgb, {"only": layer(rgb)})
    recipe = mnst.ARTICLE.replace(content_layers={"only": 1}, style_layers={"only": 1})
    whole, tiled = both(extractor, recipe, (300, 90), "kept")
    assert tiled[1] == pytest.approx(whole[1], rel=1e-5)
    assert apart(whole[0], tiled[0]) < 1e-5
