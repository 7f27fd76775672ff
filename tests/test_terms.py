"""That the objective is open: the total variation, and terms and optimisers of a user's own."""

import json
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scenes import PHOTO, RECIPE, STYLES, picture

import mnst
from mnst.backend import keras, tf
from mnst.engine import planning
from mnst.engine.tiled import Tiled
from mnst.engine.trainer import Trainer
from mnst.engine.whole import Whole
from mnst.objective import PICTURE, Losses, Term, TotalVariation
from mnst.objective.losses import make_targets, mixed_losses, statistics, style_targets
from mnst.objective.regions import paint_regions
from mnst.recipes import get_recipe

LITE = {"backbone": "vgg19-lite", "precision": "float32", "progress": False}
SIDES = (150, 211)  # odd at the pool
GAMMA, SIGMA = (0.2, 0.3, 0.5), (1, 2, 0.5)

IN_TILES = pytest.mark.parametrize(
    "kind",
    [
        pytest.param("everywhere", marks=pytest.mark.slow),
        pytest.param("kept", marks=pytest.mark.slow),
        "each",
    ],
)


def regions(kind, height, width):
    """Where each of three styles may paint, with soft edges that cross tiles."""
    kept = np.zeros((height, width), np.float32)
    kept[height // 3 : height // 2] = 1
    across = np.broadcast_to(np.clip(np.linspace(-1, 2, width), 0, 1), (height, width))
    return {
        "everywhere": None,
        "kept": paint_regions(kept, None, 3),
        "each": paint_regions(kept, [across, 1 - across, None], 3),
    }[kind]


def targets_of(see, recipe, content, styles, *, gamma=GAMMA, sigma=SIGMA, masks=None):
    photo, *paintings = (see(one) for one in (content, *styles))
    asked = style_targets(paintings, photo, recipe)
    return make_targets(photo, asked, recipe, gamma=gamma, sigma=sigma, regions=masks)


def whole_and_tiled(recipe, kind):
    """The gradient and the losses of a picture, by a small network as a whole and in tiles."""
    extractor = mnst.vgg_layers(recipe.layers, backbone="vgg19-lite")
    pictures = picture(*SIDES), [picture(90, 70, 1), picture(64, 131, 2), picture(47, 33, 3)]
    image, masks = tf.constant(picture(*SIDES, seed=9)), regions(kind, *SIDES)
    measured = []
    for evaluator in (Whole(extractor, recipe), Tiled(extractor, recipe, tile=64)):
        targets = targets_of(evaluator.statistics, recipe, *pictures, masks=masks)
        _, gradient, losses = evaluator.gradient(image, targets)
        measured.append((gradient.numpy(), {name: float(loss) for name, loss in losses.items()}))
    return measured


def agree(whole, tiled):
    assert tiled[1] == pytest.approx(whole[1], rel=2e-5)
    assert np.linalg.norm(whole[0] - tiled[0]) < 1e-5 * np.linalg.norm(whole[0])
    return True


@pytest.fixture
def short_of_memory(monkeypatch):
    """A function to options with which a picture of `SIDES` is painted in tiles of 64 pixels."""

    def options(recipe, backbone="vgg19-lite"):
        monkeypatch.setattr(planning, "TILES", (64,))
        network = mnst.networks.get_backbone(backbone)
        load = planning.Load(
            network.activations,
            "float32",
            recipe.optimizer.arrays,
            joined=40,
            widened=0,
            standing=0,
        )
        return {"memory": planning.memory_needed(*SIDES, load, 64) + 10**7}

    return options


# The total variation


def total_variation64(image):
    """The sum of what neighbours differ by, in float64."""
    image = np.float64(image)
    return np.abs(np.diff(image, axis=-2)).sum() + np.abs(np.diff(image, axis=-3)).sum()


def measured_alone(term, image):
    """What a term that looks at the picture alone says of it, and its gradient."""
    alone = SimpleNamespace(objective={term.name: term})
    watched = tf.constant(image, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(watched)
        seen = statistics({PICTURE: watched}, alone)
        asked = style_targets([seen], seen, alone)
        targets = make_targets(seen, asked, alone, gamma=[1], sigma=[1])
        objective, losses = mixed_losses(seen, targets, alone)
    gradient = tape.gradient(objective, watched).numpy()
    return float(losses[term.name]), float(losses["total"]), gradient


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_total_variation_and_its_gradient_are_numpy_s_in_float64(reduction):
    image = np.random.default_rng(4).uniform(0, 255, (1, 9, 14, 3))
    scale = 1 / (9 * 14) if reduction == "mean" else 1
    loss, total, gradient = measured_alone(TotalVariation(weight=7, reduction=reduction), image)
    assert loss == pytest.approx(scale * total_variation64(image), rel=1e-6)
    assert total == pytest.approx(7 * loss, rel=1e-6)
    random = np.random.default_rng(5)
    for _ in range(5):
        direction = random.normal(size=image.shape)
        ahead, behind = (total_variation64(image + step * direction) for step in (1e-4, -1e-4))
        expected = 7 * scale * (ahead - behind) / 2e-4
        near = 1e-4 * float(np.linalg.norm(gradient))
        assert np.sum(gradient * direction) == pytest.approx(expected, rel=1e-4, abs=near)


def test_the_tutorial_s_total_variation_is_one_of_these():
    """Its loss is 30 times the sum, on pixels in 0..1."""
    image = tf.constant(picture(20, 31))
    _, total, _ = measured_alone(TotalVariation(weight=30 / 255, reduction="sum"), image)
    assert total == pytest.approx(30 * float(tf.image.total_variation(image / 255)[0]), rel=1e-5)


def test_its_mean_does_not_depend_on_the_size():
    small, large = (
        measured_alone(TotalVariation(), np.tile(picture(12, 10), (1, often, often, 1)))[0]
        for often in (8, 16)
    )
    assert small > 100
    assert large == pytest.approx(small, rel=0.02)  # but for borders


def test_a_picture_with_total_variation_is_smoother():
    seen = []
    rough = mnst.stylize(PHOTO, STYLES, recipe=RECIPE, steps=20, **LITE)
    weight = 0.1 * rough.history[-1].losses["total"] / total_variation64(rough.image)
    term = TotalVariation(weight=weight, reduction="sum")
    recipe = RECIPE.replace(terms=[term], steps=20)
    smooth = mnst.stylize(PHOTO, STYLES, recipe=recipe, callback=seen.append, **LITE)
    assert total_variation64(smooth.image) < 0.9 * total_variation64(rough.image)
    for record, kept in zip(seen, smooth.history, strict=True):
        assert kept.losses["total_variation"] == pytest.approx(
            total_variation64(record.image), rel=1e-5
        )
    assert "total_variation" not in rough.history[0].losses
    assert mnst.Recipe.from_dict(smooth.settings["recipe"]) == recipe


@pytest.mark.slow
@IN_TILES
def test_total_variation_in_tiles_is_that_of_the_whole(kind):
    recipe = RECIPE.replace(terms=[TotalVariation(weight=1e12)])
    plain, varied = (whole_and_tiled(one, kind) for one in (RECIPE, recipe))
    assert agree(*varied)
    share = varied[0][0] - plain[0][0]
    assert np.linalg.norm(share) > 0.5 * np.linalg.norm(plain[0][0])
    assert varied[0][1]["total_variation"] > 0


def test_it_is_had_by_its_weight_alone():
    recipe = get_recipe("article,total_variation=1e3")
    assert recipe == mnst.ARTICLE.replace(terms=[TotalVariation(weight=1e3)])
    assert list(recipe.objective) == ["content", "style", "total_variation"]
    assert recipe.replace(total_variation=5).terms == (TotalVariation(weight=5),)
    assert get_recipe("fast,total_variation=1").surrogate == "vgg19-lite"
    summed = mnst.ARTICLE.replace(terms=[TotalVariation(reduction="sum")], total_variation=2)
    assert summed.terms == (TotalVariation(weight=2, reduction="sum"),)
    for one in (recipe, summed):
        assert mnst.Recipe.from_dict(json.loads(json.dumps(one.as_dict()))) == one
    with pytest.raises(ValueError, match="reduction is 'max': give one of mean, sum"):
        TotalVariation(reduction="max")


# A term of one's own


@dataclass(frozen=True, kw_only=True)
class Means(Term):
    """How far the mean activations of each channel are from the styles'."""

    layers: tuple = (("block1_conv1", 1.0), ("block2_conv1", 0.5))

    name = "means"

    def see(self, layer, features, counts):
        features = tf.cast(features, tf.float32)
        if counts is None:
            return tf.reduce_sum(features, axis=[1, 2])
        return tf.einsum("rhw,hwn->rn", counts, features[0])

    def means(self, seen):
        return {layer: of / seen.positions[layer] for layer, of in seen.values.items()}

    def style_target(self, style, photo):
        return {layer: of[0] for layer, of in self.means(style).items()}

    def targets(self, photo, styles, mix):
        mixed, weights = mix.mixed(styles)
        return mixed, {layer: tf.constant(of, tf.float32) for layer, of in weights.items()}

    def loss(self, seen, targets):
        aims, weights = targets
        means = self.means(seen)
        of_layers = [
            weight * weights[layer] * tf.reduce_mean((means[layer] - aims[layer]) ** 2, axis=1)
            for layer, weight in self.layer_weights
        ]
        return tf.reduce_sum(tf.add_n(of_layers))


OWN = RECIPE.replace(terms=[Means(weight=1e7)])


def loss64(layers, features, styles, masks):
    """The same, position by position, in float64."""
    loss = 0.0
    shares = np.multiply(GAMMA, SIGMA)
    for layer, weight in layers:
        flat = np.float64(features[layer][0]).reshape(-1, features[layer].shape[-1])
        aims = [np.float64(style[layer]).mean(axis=(0, 1, 2)) for style in styles]
        if masks is None or len(masks.styles) == 1:
            aims, of = [np.average(aims, axis=0, weights=shares)], shares.sum(keepdims=True)
            of = of if masks is None else of * masks.painted.mean()
        else:
            areas = masks.styles.mean(axis=(1, 2))
            of = shares * areas * masks.painted.mean() / np.dot(GAMMA, areas)
        each = np.ones((1, *SMALL)) if masks is None else masks.styles
        side = SMALL[0] // features[layer].shape[1]
        for share, aim, mask in zip(of, aims, each, strict=True):
            cells = np.float64(mask).reshape(SMALL[0] // side, side, SMALL[1] // side, side)
            mean = np.average(flat, axis=0, weights=cells.mean(axis=(1, 3)).ravel())
            loss += weight * share * np.mean((mean - aim) ** 2)
    return loss


SMALL = (8, 12)


@pytest.mark.parametrize("kind", ["everywhere", "kept", "each"])
def test_an_own_term_and_its_gradient_are_numpy_s_in_float64(kind):
    """With respect to activations, along random directions."""
    random = np.random.default_rng(8)
    term = Means(weight=3.0)
    alone = SimpleNamespace(objective={"means": term})

    def draw(height, width):
        sizes = {"block1_conv1": (height, width, 4), "block2_conv1": (height // 2, width // 2, 6)}
        return {layer: random.normal(size=(1, *size)) for layer, size in sizes.items()}

    def see(features, **options):
        single = {layer: tf.cast(of, tf.float32) for layer, of in features.items()}
        return statistics(single, alone, **options)

    content, *styles = draw(*SMALL), draw(6, 6), draw(8, 10), draw(4, 4)
    masks = regions(kind, *SMALL)
    targets = targets_of(see, alone, content, styles, masks=masks)
    features = {layer: tf.constant(of, tf.float32) for layer, of in draw(*SMALL).items()}
    with tf.GradientTape() as tape:
        tape.watch(features)
        objective, losses = mixed_losses(see(features, places=targets.places), targets, alone)
    expected = loss64(term.layers, features, styles, masks)
    assert float(losses["means"]) == pytest.approx(expected, rel=1e-5)
    assert float(losses["total"]) == float(objective) == pytest.approx(3 * expected, rel=1e-5)
    gradient = tape.gradient(objective, features)
    for _ in range(4):
        way = {layer: random.normal(size=of.shape) for layer, of in features.items()}
        ahead, behind = (
            loss64(
                term.layers,
                {layer: of.numpy() + step * way[layer] for layer, of in features.items()},
                styles,
                masks,
            )
            for step in (1e-4, -1e-4)
        )
        along = sum(np.sum(gradient[layer].numpy() * way[layer]) for layer in way)
        assert along == pytest.approx(3 * (ahead - behind) / 2e-4, rel=1e-3, abs=1e-6)


@pytest.mark.slow
@IN_TILES
def test_an_own_term_in_tiles_is_that_of_the_whole(kind):
    plain, own = (whole_and_tiled(one, kind) for one in (RECIPE, OWN.replace(means=1e11)))
    assert agree(*own)
    share = own[0][0] - plain[0][0]
    assert np.linalg.norm(share) > 0.5 * np.linalg.norm(plain[0][0])


@pytest.mark.parametrize("masked", [pytest.param(False, marks=pytest.mark.slow), True])
def test_stylize_paints_with_an_own_term_in_tiles_as_in_one_piece(short_of_memory, masked):
    photo, styles = picture(*SIDES)[0], [picture(90, 70, 1)[0], picture(64, 131, 2)[0]]
    ramp = np.broadcast_to(np.linspace(0, 1, SIDES[1]), SIDES)
    given = {"gamma": 0.3, "recipe": OWN, "steps": 2, **LITE}
    given["style_masks"] = [ramp, 1 - ramp] if masked else None
    whole = mnst.stylize(photo, styles, **given)
    tiled = mnst.stylize(photo, styles, **given, **short_of_memory(OWN))
    assert (whole.settings["tile"], tiled.settings["tile"]) == (None, 64)
    assert tiled.history[0].losses == pytest.approx(whole.history[0].losses, rel=1e-4)
    assert tiled.history[-1].losses["means"] == pytest.approx(
        whole.history[-1].losses["means"], rel=1e-2
    )
    assert np.abs(np.float32(tiled.image) - whole.image).mean() < 0.5


def test_an_own_term_is_heard():
    """The loss that it asks to be small is smaller than in a run that measures it only."""
    deaf = OWN.replace(means=1e-30)
    measured, minimised = (
        mnst.stylize(PHOTO, STYLES, recipe=one, steps=20, **LITE)
        for one in (deaf, OWN.replace(means=1e9))
    )
    first, last = measured.history[0].losses, minimised.history[0].losses
    assert first["means"] == pytest.approx(last["means"], rel=1e-6)
    ends = [one.history[-1].losses["means"] for one in (measured, minimised)]
    assert ends[1] < 0.9 * ends[0]


@pytest.mark.parametrize("term", [Means(weight=0), TotalVariation(weight=0)])
def test_a_term_without_weight_changes_no_byte(term):
    plain = mnst.stylize(PHOTO, STYLES, recipe=RECIPE, **LITE)
    silent = mnst.stylize(PHOTO, STYLES, recipe=RECIPE.replace(terms=[term]), **LITE)
    np.testing.assert_array_equal(silent.image, plain.image)
    assert [record.losses["total"] for record in silent.history] == [
        record.losses["total"] for record in plain.history
    ]
    assert silent.history[-1].losses[term.name] > 0


def test_weights_of_own_terms_need_no_other_step():
    transfer = mnst.StyleTransfer(
        PHOTO, STYLES, recipe=OWN, backbone="vgg19-lite", precision="float32"
    )
    heavy = transfer.run(recipe=OWN.replace(means=1e9), progress=False)
    alone = mnst.stylize(PHOTO, STYLES, recipe=OWN.replace(means=1e9), **LITE)
    np.testing.assert_array_equal(heavy.image, alone.image)
    with pytest.raises(ValueError, match="has other layers, losses or optimiser"):
        transfer.run(recipe=RECIPE, progress=False)


def test_an_own_term_is_in_results_files_logs_and_tables(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    result = mnst.stylize(PHOTO, STYLES, recipe=OWN, log_dir=tmp_path / "logs", **LITE)
    losses = [record.losses["means"] for record in result.history]
    assert list(result.history[0].losses) == ["content", "style_1", "style_2", "means", "total"]
    logs = EventAccumulator(str(tmp_path / "logs")).Reload()
    logged = [make_ndarray(event.tensor_proto) for event in logs.Tensors("loss/means")]
    np.testing.assert_allclose(logged, losses, rtol=1e-6)
    result.save(tmp_path / "out.png")
    (kept,) = mnst.read_settings(tmp_path / "out.png")["recipe"]["terms"]
    assert kept == {
        "name": "means",
        "weight": 1e7,
        "layers": {"block1_conv1": 1.0, "block2_conv1": 0.5},
    }
    folder = tmp_path / "sweep"
    for found in (False, True):
        runs = mnst.sweep(PHOTO, STYLES, gamma=[0.5, 1], recipe=OWN, folder=folder, **LITE)
        assert [run.found for run in runs] == [found] * 2
        assert runs.table()[0]["means_loss"] == losses[-1]
    assert "means_loss" in (folder / "sweep.csv").read_text().splitlines()[0]
    lighter = OWN.replace(means=1)
    (other,) = mnst.sweep(PHOTO, STYLES, gamma=[0.5], recipe=lighter, folder=folder, **LITE)
    assert not other.found


def test_only_parts_that_come_with_mnst_are_read_from_settings():
    with pytest.raises(
        ValueError, match="name is 'means': give one of content, gram, moments, total_var"
    ):
        mnst.Recipe.from_dict(OWN.as_dict())


# A term that can't be tiled


@dataclass(frozen=True, kw_only=True)
class Median(Term):
    """How far the picture's median is from the photo's."""

    name = "median"
    layer_names = (PICTURE,)
    over_tiles = "refuse"

    def see(self, layer, features, counts):
        return tf.sort(tf.reshape(features, [-1]))[tf.size(features) // 2]

    def targets(self, photo, styles, mix):
        return photo.values[PICTURE]

    def loss(self, seen, targets):
        return (seen.values[PICTURE] - targets) ** 2


def test_a_term_that_refuses_tiles_is_named_before_weights_are_loaded(short_of_memory):
    recipe = RECIPE.replace(terms=[Median()])
    given = {"recipe": recipe, "weights": __file__, "precision": "float32"}
    with pytest.raises(ValueError, match=r"^median has to see the whole picture .* leave") as said:
        mnst.stylize(picture(*SIDES)[0], STYLES, **given, **short_of_memory(recipe, "vgg19"))
    assert "\n" not in str(said.value)
    extractor = mnst.vgg_layers(RECIPE.layers, backbone="vgg19-lite")
    with pytest.raises(ValueError, match=r"^median has to see the whole picture"):
        Tiled(extractor, recipe, tile=64)


def test_a_term_that_refuses_tiles_paints_in_one_piece():
    result = mnst.stylize(PHOTO, STYLES, recipe=RECIPE.replace(terms=[Median()]), **LITE)
    assert result.history[0].losses["median"] == 0
    assert result.history[-1].losses["median"] > 0


# A style term of one's own


@dataclass(frozen=True, kw_only=True)
class StyleMeans(Means):
    """The same in place of Gram matrices, with a loss for each style."""

    def targets(self, photo, styles, mix):
        shares = {layer: mix.shares(layer).sum(axis=0) for layer in styles}
        return styles, {layer: tf.constant(of, tf.float32) for layer, of in shares.items()}

    def losses(self, name, seen, targets, weight):
        aims, shares = targets
        means = self.means(seen)
        of_layers = {
            layer: layer_weight * tf.reduce_mean((means[layer] - aims[layer]) ** 2, axis=1)
            for layer, layer_weight in self.layer_weights
        }
        weighed = [tf.reduce_sum(shares[layer] * of) for layer, of in of_layers.items()]
        total = weight * tf.add_n(weighed)
        each = tf.unstack(tf.add_n(list(of_layers.values())))
        return Losses(total, total, {f"{name}_{k}": of for k, of in enumerate(each, start=1)})


BY_MEANS = RECIPE.replace(style=StyleMeans(weight=1e7))


def test_an_own_term_takes_the_place_of_the_style():
    result = mnst.stylize(PHOTO, [*STYLES, STYLES[0][:, ::-1]], recipe=BY_MEANS, steps=10, **LITE)
    names = ["content", "style_1", "style_2", "style_3", "total"]
    assert list(result.history[-1].losses) == names
    first = result.history[0].losses
    assert result.start_losses == pytest.approx([first[name] for name in names[1:4]], rel=1e-5)
    # A style and its mirror image have the same means, but for convolutions at borders.
    assert result.final_losses[0] == pytest.approx(result.final_losses[2], rel=0.3)
    assert np.mean(result.final_losses) < np.mean(result.start_losses)
    assert result.settings["recipe"]["style"]["name"] == "means"
    assert BY_MEANS.beta == 1e7


def test_shares_mix_an_own_style_term():
    one, other = (
        mnst.stylize(PHOTO, STYLES, gamma=gamma, recipe=BY_MEANS, steps=10, **LITE).final_losses
        for gamma in (1, 0)
    )
    assert one[0] < other[0]
    assert other[1] < one[1]


def test_an_own_style_term_without_distances_has_no_sigma_of_its_own():
    with pytest.raises(ValueError, match=r"^means has no distances .* sigma='auto'") as said:
        mnst.stylize(PHOTO, STYLES, recipe=BY_MEANS, sigma="auto", **LITE)
    assert "\n" not in str(said.value)


# What a recipe refuses


def test_a_part_that_can_t_be_hashed_is_named():
    class Loose(mnst.Term):
        name = "loose"
        layer_names = ("picture",)
        __hash__ = None

    with pytest.raises(TypeError, match=r"^Loose can't be hashed: make it a frozen dataclass$"):
        mnst.ARTICLE.replace(terms=[Loose()])


def test_a_style_term_has_a_loss_for_each_style():
    with pytest.raises(ValueError, match=r"^style is means, which has one loss .* one for each$"):
        RECIPE.replace(style=Means())


@pytest.mark.parametrize("name", ["total", "picture", "objective"])
def test_names_that_a_run_needs_are_not_for_terms(name):
    own = type("Own", (Means,), {"name": name})
    with pytest.raises(ValueError, match=f"^a term is called '{name}', as something else"):
        RECIPE.replace(terms=[own()])


def test_a_way_over_tiles_that_there_is_not_is_named():
    class Own(Means):
        over_tiles = "sum"

    with pytest.raises(ValueError, match="over_tiles is 'sum': give one of add, join, refuse"):
        Own()


def test_settings_can_be_saved_whatever_own_parts_hold(tmp_path):
    @dataclass(frozen=True, kw_only=True)
    class Own(Means):
        scale: Any
        kinds: tuple = ("a", "b")
        name = "own"

    result = mnst.stylize(
        PHOTO, STYLES, recipe=RECIPE.replace(terms=[Own(scale=np.float32(2))]), **LITE
    )
    result.save(tmp_path / "out.png")
    assert mnst.read_settings(tmp_path / "out.png") == result.settings
    (kept,) = result.settings["recipe"]["terms"]
    assert (kept["scale"], kept["kinds"]) == ("2.0", ["a", "b"])


def test_a_term_that_sees_features_has_to_be_corrected_with_a_surrogate():
    with pytest.raises(ValueError, match=r"^means has no `corrected`, .* surrogate='none'$"):
        mnst.FAST.replace(terms=[Means()])
    assert mnst.FAST.replace(terms=[Means()], surrogate="none").terms == (Means(),)
    assert mnst.FAST.replace(terms=[TotalVariation(), Median()]).surrogate == "vgg19-lite"


@dataclass(frozen=True, kw_only=True)
class CorrectedMeans(Means):
    """The same, for a surrogate."""

    def corrected(self, targets, full, small):
        aims, weight = targets
        of_full, of_small = self.means(full), self.means(small)
        return {layer: of + of_small[layer] - of_full[layer] for layer, of in aims.items()}, weight


@pytest.mark.parametrize("kind", [pytest.param("everywhere", marks=pytest.mark.slow), "each"])
def test_with_a_surrogate_an_own_loss_is_the_extractor_s_wherever_it_looks(kind):
    keras.utils.set_random_seed(11)
    recipe = mnst.FAST.replace(
        content_layers={"features": 1},
        style_layers={"features": 1},
        terms=[CorrectedMeans(layers=(("features", 1.0),), weight=1e4)],
        learning_rate=2.0,
        correct_every=4,
    )
    rgb = keras.Input((None, None, 3))
    features = keras.layers.Conv2D(5, 3, padding="same", activation="softplus")(rgb / 255.0)
    extractor = keras.Model(rgb, {"features": features})
    nearly = keras.models.clone_model(extractor)
    random = np.random.default_rng(6)
    nearly.set_weights(
        [w * random.uniform(0.8, 1.2, w.shape) + 0.01 for w in extractor.get_weights()]
    )
    content, *styles = random.uniform(0, 255, (4, 1, 12, 9, 3)).astype(np.float32)
    trainer = Trainer(extractor, recipe, 12, 9, surrogate=nearly)
    see = trainer.evaluator.statistics
    targets = targets_of(see, recipe, content, styles, masks=regions(kind, 12, 9))
    off = []
    for record in trainer.run(content, targets, steps=10):
        seen = see(record.image, places=targets.places)
        _, losses = mixed_losses(seen, targets, recipe)
        off.append(
            max(
                abs(record.losses[name] / float(losses[name]) - 1)
                for name in ("means", "total")
                if float(losses[name])
            )
        )
    assert max(off[step] for step in (0, 4, 8, 10)) < 1e-3
    assert max(off) > 1e-3


# An optimiser of one's own


@dataclass(frozen=True, kw_only=True)
class Momentum:
    """Gradient descent with momentum."""

    rate: float
    beta: float = 0.8
    arrays: int = 1

    name = "momentum"

    def start(self, image):
        return MomentumState(self, image)


class MomentumState:
    def __init__(self, settings, image):
        self.settings, self.image = settings, image
        self.speed = tf.Variable(tf.zeros(image.shape))

    def update(self, loss, gradient, comparable):
        self.speed.assign(self.settings.beta * self.speed + gradient)
        moved = self.image.value - self.settings.rate * self.speed
        self.image.assign(tf.clip_by_value(moved, 0.0, 255.0))

    def takes_back(self, loss):
        return False

    def begin(self, step):
        if not step:
            self.speed.assign(tf.zeros_like(self.speed))

    def learning_rate(self, step):
        return self.settings.rate


@dataclass(frozen=True, kw_only=True)
class KerasMomentum(Momentum):
    """The same, by Keras."""

    def start(self, image):
        return KerasState(self, image)


class KerasState(MomentumState):
    def __init__(self, settings, image):
        super().__init__(settings, image)
        # Keras' velocity has the rate in it.
        self.sgd = keras.optimizers.SGD(settings.rate, momentum=settings.beta)
        self.sgd.build([image])

    def update(self, loss, gradient, comparable):
        self.sgd.apply([gradient], [self.image])
        self.image.assign(tf.clip_by_value(self.image.value, 0.0, 255.0))

    def begin(self, step):
        if not step:
            for variable in self.sgd.variables:
                if variable is not self.sgd.learning_rate:
                    variable.assign(keras.ops.zeros_like(variable))


@pytest.fixture(scope="module")
def downhill():
    """The gradient of the scene at a picture, and the rate of a first step of 2 in the mean."""
    extractor = mnst.vgg_layers(RECIPE.layers, backbone="vgg19-lite")
    evaluator = Whole(extractor, RECIPE)
    content, *styles = map(mnst.load_image, (PHOTO, *STYLES))
    targets = targets_of(
        evaluator.statistics, RECIPE, content, styles, gamma=(0.5, 0.5), sigma=(1, 1)
    )

    def gradient(image):
        return np.float64(evaluator.gradient(tf.constant(image, tf.float32), targets)[1])

    return gradient, float(2 / np.abs(gradient(content)).mean())


@pytest.mark.parametrize("kind", [Momentum, KerasMomentum])
def test_an_own_optimiser_takes_numpy_s_path(downhill, kind):
    gradient, rate = downhill
    recipe, seen = RECIPE.replace(optimizer=kind(rate=rate), steps=6), []
    result = mnst.stylize(PHOTO, STYLES, recipe=recipe, callback=seen.append, **LITE)
    x, speed = np.float64(PHOTO)[np.newaxis], 0.0
    for record in seen:
        np.testing.assert_allclose(record.image, x, atol=2e-2)
        speed = 0.8 * speed + gradient(x)
        x = np.clip(x - rate * speed, 0, 255)
    assert np.abs(x - PHOTO).mean() > 4
    assert result.history[-1].losses["total"] < result.history[0].losses["total"]
    assert result.history[-1].learning_rate == rate
    assert result.settings["recipe"]["optimizer"] == {
        "name": "momentum",
        "rate": rate,
        "beta": 0.8,
        "arrays": 1,
    }
    again = mnst.stylize(PHOTO, STYLES, recipe=recipe, **LITE)
    np.testing.assert_array_equal(again.image, result.image)


def test_its_values_are_changed_like_those_of_others():
    recipe = RECIPE.replace(optimizer=Momentum(rate=1.0))
    assert recipe.replace(beta=3).style.weight == 3  # which is the style's, in the article's words
    assert recipe.replace(rate=2.0).optimizer == Momentum(rate=2.0)
    assert recipe.replace(rate=2.0) != recipe
    with pytest.raises(TypeError, match="a recipe has no 'epsilon'"):
        recipe.replace(epsilon=1)


def test_its_arrays_are_planned_for():
    memory = [
        mnst.plan(
            PHOTO,
            recipe=RECIPE.replace(optimizer=Momentum(rate=1.0, arrays=arrays)),
            backbone="vgg19-lite",
            precision="float32",
        ).memory
        for arrays in (1, 6)
    ]
    assert memory[1] - memory[0] == 3 * 4 * 5 * PHOTO.shape[0] * PHOTO.shape[1]


@pytest.mark.slow
def test_adam_moves_coarse_forms_first_where_it_is_asked_to():
    """By name; without a floor, to the byte as ever."""
    plain, same, coarse = (
        mnst.stylize(PHOTO, STYLES, **{**LITE, "recipe": recipe, "steps": 3})
        for recipe in ("article", "article,frequency_floor=0", "article,frequency_floor=0.01")
    )
    np.testing.assert_array_equal(same.image, plain.image)
    assert coarse.settings["recipe"]["optimizer"]["frequency_floor"] == 0.01
    moved = [np.float64(one.image) - PHOTO for one in (plain, coarse)]
    rough = [total_variation64(move) / np.abs(move).sum() for move in moved]
    assert rough[1] < 0.9 * rough[0]
