"""stylize() from end to end: on random weights and tiny pictures, and on the real ones."""

import os
import signal

import numpy as np
import pytest
import scenes
from matplotlib import cbook
from PIL import Image
from scenes import PHOTO, RECIPE, STYLES, options

import mnst
from mnst.backend import tf
from mnst.engine import trainer, whole
from mnst.engine.trainer import DivergenceError
from mnst.images import to_uint8
from mnst.objective.losses import mixed_losses
from mnst.paintings import glass, swirls


@pytest.fixture(scope="module")
def photo():
    return PHOTO


@pytest.fixture(scope="module")
def styles():
    return STYLES


@pytest.fixture(scope="module")
def transfer(photo, styles, random_weights):
    return mnst.StyleTransfer(
        photo, styles, recipe=RECIPE, weights=random_weights, precision="float32"
    )


def run(transfer, **options):
    return transfer.run(progress=False, **options)


def test_a_result_knows_how_it_came_about(photo, styles, random_weights):
    result = mnst.stylize(
        photo,
        styles,
        gamma=0.4,
        sigma=[1, 1.9],
        recipe=RECIPE,
        seed=5,
        weights=random_weights,
        precision="float32",
        progress=False,
    )
    assert result.image.shape == photo.shape
    assert result.image.dtype == np.uint8
    assert [record.step for record in result.history] == [0, 1, 2, 3]
    assert all(record.image is None for record in result.history)
    assert result.completed
    settings = result.settings
    assert settings["gamma"] == [0.4, 0.6]
    assert settings["sigma"] == [1.0, 1.9]
    assert (settings["seed"], settings["steps"]) == (5, 3)
    assert (settings["backbone"], settings["precision"]) == ("vgg19", "float32")
    assert mnst.Recipe.from_dict(settings["recipe"]) == RECIPE


def test_improvement_is_measured_from_the_content_image(transfer):
    """Whatever the start: RI compares with x = c (article, fig. 5)."""
    from_content = run(transfer, gamma=0.5)
    from_noise = run(transfer, gamma=0.5, init="noise")
    assert from_content.start_losses == from_noise.start_losses
    first = from_content.history[0].losses
    assert from_content.start_losses == pytest.approx((first["style_1"], first["style_2"]))
    for result in (from_content, from_noise):
        last = result.history[-1].losses
        expected = [result.start_losses[k] / last[f"style_{k + 1}"] for k in range(2)]
        assert result.relative_improvement == pytest.approx(expected)
        assert result.loss_ratio == pytest.approx([1 / value for value in expected])


def test_gamma_one_is_the_single_style_run_byte_for_byte(transfer, photo, styles, random_weights):
    alone = mnst.stylize(
        photo,
        styles[0],
        recipe=RECIPE,
        weights=random_weights,
        precision="float32",
        progress=False,
    )
    np.testing.assert_array_equal(run(transfer, gamma=1).image, alone.image)


def test_permuting_the_styles_gives_the_same_bytes(transfer, photo, styles, random_weights):
    swapped = mnst.stylize(
        photo,
        styles[::-1],
        gamma=0.7,
        recipe=RECIPE,
        weights=random_weights,
        precision="float32",
        progress=False,
    )
    np.testing.assert_array_equal(run(transfer, gamma=0.3).image, swapped.image)


def test_one_transfer_runs_again_as_if_it_were_new(transfer):
    first = run(transfer, gamma=0.3)
    run(transfer, gamma=0.9, steps=5)
    np.testing.assert_array_equal(first.image, run(transfer, gamma=0.3).image)


def test_the_seed_is_that_of_the_noise(transfer):
    one, same, other = (run(transfer, init="noise", seed=seed).image for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)


def test_a_picture_is_painted_coarse_first(random_weights):
    """Of 32 x 30 pixels at most 10 are 10 x 9, and neither ratio of sides is the other's."""
    photo = scenes.picture(30, 32)
    options = scenes.options(random_weights)
    coarse = mnst.stylize(photo, scenes.STYLES, size=10, **options)
    assert coarse.image.shape == (9, 10, 3)
    fine = mnst.stylize(photo, scenes.STYLES, init=coarse.image, **options)
    assert fine.image.shape == (30, 32, 3)


def test_a_run_can_start_from_a_picture(transfer, photo):
    from_content = run(transfer)
    from_photo = run(transfer, init=photo)
    np.testing.assert_array_equal(from_content.image, from_photo.image)
    assert from_photo.settings["init"] == "image"
    larger = Image.fromarray(photo).resize((96, 80))
    assert run(transfer, init=larger).image.shape == photo.shape
    with pytest.raises(ValueError, match="init is 20 x 24 pixels, but the picture is 24 x 20"):
        run(transfer, init=photo.transpose(1, 0, 2))


@pytest.mark.slow
def test_many_runs_and_many_sizes_are_silent(photo, random_weights, capfd, caplog):
    """TensorFlow warns of "frequent retracing", through the logging module."""
    random = np.random.default_rng(6)
    styles = [random.integers(0, 256, (16 + k, 20, 3), dtype=np.uint8) for k in range(7)]
    for size in range(16, 23):
        mnst.stylize(
            photo,
            styles,
            recipe=RECIPE,
            steps=1,
            size=size,
            weights=random_weights,
            progress=False,
        )
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_a_callback_sees_every_record_with_its_picture(transfer):
    seen = []
    result = run(transfer, callback=seen.append)
    assert [record.step for record in seen] == [0, 1, 2, 3]
    assert [record.numbers() for record in seen] == list(result.history)
    np.testing.assert_array_equal(to_uint8(seen[-1].image), result.image)


def test_a_callback_ends_the_run_early(transfer):
    def stop_at_two(record):
        if record.step == 2:
            raise StopIteration

    result = run(transfer, steps=50, callback=stop_at_two)
    assert (result.completed, result.settings["steps"]) == (False, 2)
    np.testing.assert_array_equal(result.image, run(transfer, steps=2).image)


def test_an_error_in_a_callback_comes_through(transfer):
    def broken(record):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run(transfer, callback=broken)


def test_ctrl_c_gives_back_the_picture_so_far(transfer):
    def press_ctrl_c(record):
        if record.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    result = run(transfer, steps=50, callback=press_ctrl_c)
    assert not result.completed
    steps = result.history[-1].step
    assert 2 <= steps < 50
    np.testing.assert_array_equal(result.image, run(transfer, steps=steps).image)


def test_a_run_that_diverges_keeps_its_best_picture(transfer, photo, styles, random_weights):
    """The style weight is as large as float32 can just hold at the start."""
    total = run(transfer).history[0].losses["total"]
    recipe = RECIPE.replace(beta=RECIPE.beta * 3e38 / total, learning_rate=200.0)
    with pytest.raises(DivergenceError, match=r"became .* after step [1-3];") as raised:
        mnst.stylize(
            photo,
            styles,
            recipe=recipe,
            weights=random_weights,
            precision="float32",
            progress=False,
        )
    kept = raised.value.result
    assert not kept.completed
    assert len(kept.history) == kept.settings["steps"] + 1
    totals = [record.losses["total"] for record in kept.history]
    assert min(totals) == totals[-1]


def test_a_result_saves_itself_and_shows_itself(transfer, tmp_path):
    result = run(transfer, gamma=0.25)
    result.save(tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as image:
        np.testing.assert_array_equal(np.asarray(image), result.image)
    assert mnst.read_settings(tmp_path / "out.png") == result.settings
    assert result._repr_png_().startswith(b"\x89PNG")
    np.testing.assert_array_equal(np.asarray(result), result.image)
    assert "24 x 20 pixels, 3 steps" in repr(result)


def test_a_result_plots_the_paper_s_loss_ratio(transfer):
    result = run(transfer, gamma=0.25)
    axes = result.plot()
    for k, line in enumerate(axes.get_lines()[:2]):
        assert line.get_ydata()[-1] == pytest.approx(result.loss_ratio[k])
    assert axes.get_yscale() == "log"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "style 1, share 0.25",
        "style 2, share 0.75",
    ]


def test_the_deepest_layer_needs_a_smallest_picture(styles, random_weights):
    tiny = np.zeros((15, 300, 3), np.uint8)
    with pytest.raises(ValueError, match=r"300 x 15 pixels .* needs 16 x 16 or more"):
        mnst.stylize(tiny, styles, weights=random_weights, progress=False)
    with pytest.raises(ValueError, match="too small"):
        mnst.stylize(swirls(size=32), [tiny], weights=random_weights, progress=False)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"gamma": 1.5}, "gamma is 1.5"),
        ({"gamma": [0.5, 0.2, 0.3]}, "3 shares for 2 styles"),
        ({"sigma": [1]}, "1 numbers for 2 styles"),
        ({"steps": 0}, "steps is 0"),
        ({"recipe": "gatys"}, "recipe is 'gatys'"),
        ({"recipe": RECIPE.replace(style_layers={"block9_conv1": 1})}, "no layer 'block9_conv1'"),
        ({"backbone": "vgg11"}, "backbone is 'vgg11'"),
        ({"precision": "float16"}, "precision is 'float16'"),
        ({"size": 0}, "size is 0"),
    ],
)
def test_bad_options_are_named_before_anything_is_loaded(photo, styles, options, said):
    with pytest.raises(ValueError, match=said) as raised:
        mnst.stylize(photo, styles, **{"weights": __file__, **options})
    assert "\n" not in str(raised.value)


def test_no_style_is_an_error(photo):
    with pytest.raises(ValueError, match="at least one style"):
        mnst.stylize(photo, [])


@pytest.fixture(scope="module")
def mask():
    """Keeps the left of the 24 x 20 picture, with a soft edge two pixels wide."""
    columns = [255] * 10 + [170, 85] + [0] * 12
    return np.array([columns] * 20, np.uint8)


@pytest.fixture
def localized(photo, styles, random_weights):
    """Makes a StyleTransfer with masks."""

    def make(**options):
        common = {"recipe": RECIPE, "weights": random_weights, "precision": "float32"}
        return mnst.StyleTransfer(photo, styles, **{**common, **options})

    return make


@pytest.mark.parametrize("init", ["content", "noise"])
@pytest.mark.parametrize("localize", ["guided", "composite"])
def test_kept_pixels_are_the_photo_s_byte_for_byte(localized, photo, mask, localize, init):
    seen = []
    result = run(localized(mask=mask, localize=localize), init=init, callback=seen.append)
    for picture in (result.image, *(to_uint8(record.image) for record in seen)):
        np.testing.assert_array_equal(picture[:, :10], photo[:, :10])
    assert np.mean(result.image[:, 12:] != photo[:, 12:]) > 0.9
    assert result.settings["localized"] == {
        "by": localize,
        "kept": pytest.approx(11 / 24, abs=1e-4),
        "regions": [pytest.approx(13 / 24, abs=1e-4)],
    }


def test_composite_is_the_run_without_a_mask_with_the_pixels_put_back(
    transfer, localized, photo, mask
):
    plain, composite = run(transfer), run(localized(mask=mask, localize="composite"))
    assert composite.final_losses == plain.final_losses
    kept = mask[..., np.newaxis] / 255
    mixed = kept * photo + (1 - kept) * plain.image
    np.testing.assert_allclose(composite.image, mixed, atol=1)
    np.testing.assert_array_equal(composite.image[:, 12:], plain.image[:, 12:])


@pytest.mark.parametrize(
    "options",
    [
        {"mask": np.zeros((20, 24))},
        {"mask": np.zeros((20, 24), bool), "localize": "composite"},
        {"style_masks": [np.ones((20, 24)), None]},
        {"style_masks": np.ones((2, 20, 24))},
    ],
    ids=["empty", "empty, composite", "full for one", "full for both"],
)
def test_masks_that_exclude_nothing_change_no_byte(transfer, localized, options):
    result = run(localized(**options))
    np.testing.assert_array_equal(result.image, run(transfer).image)
    assert result.settings["localized"] is None


def test_a_mask_may_be_of_any_kind_and_any_size(localized, mask):
    hard = mask > 127
    large = hard.repeat(3, axis=0).repeat(3, axis=1)
    kinds = (hard, hard.astype(np.uint8) * 255, hard.astype(np.float64), hard.astype(np.float16))
    first, *others = (localized(mask=one).scene.regions.painted for one in kinds)
    for other in others:
        np.testing.assert_array_equal(first, other)
    reduced = localized(mask=large).scene.regions.painted
    np.testing.assert_allclose(reduced, first, atol=0.3)
    np.testing.assert_array_equal(reduced[:, :10], 0)
    np.testing.assert_array_equal(reduced[:, 12:], 1)


def test_each_style_is_measured_over_its_own_region(localized, transfer, photo, mask):
    masks = [mask > 127, mask < 127]
    both = localized(style_masks=masks)
    assert both.style_losses(photo) == pytest.approx(both.start_losses, rel=1e-6)
    for k, own in enumerate(masks):
        alone = localized(mask=~own)
        assert both.start_losses[k] == pytest.approx(alone.start_losses[k], rel=1e-5)
        assert both.start_losses[k] != pytest.approx(transfer.start_losses[k], rel=1e-3)
    result = run(both)
    assert both.style_losses(result.image) == pytest.approx(result.final_losses, rel=0.05)
    with pytest.raises(ValueError, match="picture is 20 x 24 pixels: give one of 24 x 20"):
        both.style_losses(photo.transpose(1, 0, 2))


def test_styles_side_by_side_both_paint(localized, photo, mask):
    both = localized(style_masks=[mask > 127, mask < 127])
    result = run(both, steps=15)
    assert min(result.relative_improvement) > 1
    assert np.all(np.any(result.image != photo, axis=2).mean(axis=0) > 0.9)
    only_first = run(both, steps=15, gamma=1)
    assert only_first.relative_improvement[1] < result.relative_improvement[1]


def test_the_closed_form_is_for_styles_that_share_a_region(localized, mask):
    shared = run(localized(mask=mask), sigma="auto")
    assert shared.settings["sigma"][1] != 1
    with pytest.raises(ValueError, match="share a region, but these have style_masks"):
        run(localized(style_masks=[mask, 255 - mask]), sigma="auto")


def test_progress_says_what_is_kept(localized, mask, capsys):
    localized(mask=mask).run(steps=1)
    assert "guided: 45.8% of the pixels are kept" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mask": np.ones((20, 24))}, "keeps the whole picture"),
        ({"mask": np.ones((24, 20))}, "mask .* is 20 x 24 pixels, but the picture is 24 x 20"),
        ({"mask": np.ones((20, 24, 3))}, r"mask .*: has shape \(20, 24, 3\); give \[H, W\]"),
        ({"mask": np.full((20, 24), 2.0)}, "mask .*: values from 2 to 2; give 0..1"),
        ({"mask": np.full((20, 24), np.nan)}, "mask .*: values from nan to nan"),
        ({"style_masks": [None]}, "style_masks has 1 masks for 2 styles"),
        ({"style_masks": [None, np.zeros((20, 24))]}, "style 2 may paint 0 pixels"),
        ({"style_masks": [None, np.ones((9, 5))]}, r"style_masks\[1\] .* is 5 x 9 pixels"),
        ({"localize": "masked"}, "localize is 'masked': give one of guided, composite"),
        ({"localize": "composite", "style_masks": [None, None]}, "give localize='guided'"),
    ],
)
def test_bad_masks_are_named_before_anything_is_loaded(photo, styles, options, said):
    with pytest.raises(ValueError, match=said) as raised:
        mnst.stylize(photo, styles, **{"weights": __file__, "recipe": RECIPE, **options})
    assert "\n" not in str(raised.value)


@pytest.mark.slow
@pytest.mark.weights
def test_guided_comes_nearer_to_the_styles_than_composite():
    """Over the painted half: each style alone, and the way between two to which a mixture adds.

    A mixture is at a distance sqrt(L_k) from each style, and their sum is least on the straight way
    from one to the other. (Each RI_k would compare where on that way the two ended.)
    """
    photo = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    height, width = mnst.load_image(photo, size=96).shape[1:3]
    mask = np.broadcast_to(np.arange(width) >= width // 2, (height, width))
    styles = [swirls(size=96), glass(size=96)]
    guided, composite = (
        mnst.StyleTransfer(photo, styles, size=96, mask=mask, localize=way)
        for way in ("guided", "composite")
    )
    for gamma in (0, 0.5, 1):
        within, around = (
            np.sqrt(guided.style_losses(run(one, gamma=gamma, sigma="auto", steps=25).image))
            for one in (guided, composite)
        )
        shown = np.array([gamma > 0, gamma < 1])  # styles that have a share
        assert np.sum(within, where=shown) < np.sum(around, where=shown)


@pytest.mark.slow
@pytest.mark.weights
def test_styles_side_by_side_improve_more_than_two_pictures_put_together():
    photo = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    height, width = mnst.load_image(photo, size=96).shape[1:3]
    left = np.broadcast_to(np.arange(width) < width // 2, (height, width))
    styles = [swirls(size=96), glass(size=96)]
    guided = mnst.StyleTransfer(photo, styles, size=96, style_masks=[left, ~left])
    together = mnst.StyleTransfer(photo, styles, size=96)
    first, second = (run(together, gamma=gamma, steps=25).image for gamma in (1, 0))
    pasted = np.where(left[..., np.newaxis], first, second)
    within, around = run(guided, steps=25).final_losses, guided.style_losses(pasted)
    assert all(a < b for a, b in zip(within, around, strict=True))


@pytest.mark.slow
@pytest.mark.weights
def test_a_real_run_takes_on_the_style():
    """A shorter and smaller form of the judged run, article recipe, gamma = 1."""
    result = mnst.stylize(
        cbook.get_sample_data("grace_hopper.jpg", asfileobj=False),
        [swirls(size=192), glass(size=192)],
        gamma=1,
        size=192,
        steps=30,
        progress=False,
    )
    first, second = result.relative_improvement
    assert first > 20
    assert first > 10 * second


@pytest.mark.slow
@pytest.mark.weights
def test_bfloat16_deviates_little_from_float32():
    """Losses within 1 %, relative improvement within 2 % of float32's."""
    photo = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    single, brief = (
        mnst.stylize(
            photo,
            [swirls(size=128), glass(size=128)],
            gamma=0.5,
            size=128,
            steps=20,
            precision=precision,
            progress=False,
        )
        for precision in ("float32", "bfloat16")
    )
    assert brief.start_losses == pytest.approx(single.start_losses, rel=0.01)
    assert brief.relative_improvement == pytest.approx(single.relative_improvement, rel=0.02)


def test_the_next_picture_of_a_size_finds_the_step_compiled(random_weights, monkeypatch):
    """Whatever photo, styles, gamma, sigma, alpha, steps and start are."""
    mnst.clear_cache()
    traced = []
    for place in (whole, trainer):
        monkeypatch.setattr(
            place, "mixed_losses", lambda *given: traced.append(1) or mixed_losses(*given)
        )
    first = mnst.stylize(PHOTO, STYLES, **options(random_weights))
    assert traced
    traced.clear()
    other = mnst.stylize(
        255 - PHOTO,
        STYLES[::-1],
        gamma=0.3,
        sigma=(1, 2),
        init="noise",
        **options(random_weights, recipe=RECIPE.replace(alpha=0.1), steps=2),
    )
    again = mnst.stylize(PHOTO, STYLES, **options(random_weights))
    assert not traced
    assert np.array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)
    mnst.stylize(PHOTO[:, :-1], STYLES, **options(random_weights))
    assert traced


def test_two_that_are_in_use_do_not_share_their_step(random_weights):
    one, other = (
        mnst.StyleTransfer(photo, STYLES, recipe=RECIPE, weights=random_weights)
        for photo in (PHOTO, 255 - PHOTO)
    )
    runs = [run(transfer).image for transfer in (one, other, one)]
    assert np.array_equal(runs[0], runs[2])
    assert not np.array_equal(runs[0], runs[1])
    amid = []
    again = run(one, callback=lambda record: amid.append(run(other).image))
    assert np.array_equal(runs[0], again.image)
    assert all(np.array_equal(runs[1], image) for image in amid)


@pytest.mark.slow
def test_a_run_takes_a_recipe_by_its_name(random_weights):
    of_article = mnst.StyleTransfer(
        PHOTO, STYLES, recipe="article", weights=random_weights, precision="float32"
    )
    named = run(of_article, recipe="article,steps=1,alpha=0.1")
    own = run(of_article, recipe=mnst.ARTICLE.replace(steps=1, alpha=0.1))
    np.testing.assert_array_equal(named.image, own.image)


def test_a_name_of_another_recipe_is_refused(transfer):
    with pytest.raises(ValueError, match="'paper' has other layers, losses or optimiser"):
        run(transfer, recipe="paper")
    with pytest.raises(TypeError, match="recipe is 3: give a Recipe or one's name"):
        run(transfer, recipe=3)


def test_a_photo_that_is_its_only_style_is_said(photo, random_weights):
    given = options(random_weights)
    with pytest.warns(UserWarning, match="the photo is its only style: there is nothing to"):
        mnst.stylize(photo, photo, **given)
    mnst.stylize(photo, [photo, STYLES[0]], **given)  # one among others may be


def test_a_picture_of_only_0_and_1_is_read_once(random_weights):
    """As floats it is white as well, but it has been told from that before."""
    dark = np.random.default_rng(3).integers(0, 2, PHOTO.shape, dtype=np.uint8)
    given = options(random_weights)
    alone = mnst.stylize(dark, STYLES, gamma=0.5, **given)
    (swept,) = mnst.sweep(dark, STYLES, gamma=[0.5], **given)
    np.testing.assert_array_equal(swept.result.image, alone.image)
    (from_dark,) = mnst.sweep(PHOTO, STYLES, gamma=[0.5], init=dark, steps=1, **given)
    unmoved = mnst.stylize(
        PHOTO, STYLES, init=dark, callback=_stop_at_once, **options(random_weights)
    )
    np.testing.assert_array_equal(unmoved.image, dark)
    assert from_dark.result.image.mean() < 30


def _stop_at_once(record):
    raise StopIteration


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_says_that_it_would_hang(photo, styles, transfer, random_weights):
    """TensorFlow has run here, for the transfer."""
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(20)
        try:
            mnst.stylize(photo, styles, **options(random_weights))
        except BaseException as error:
            os.write(tell, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(tell)
    with open(told) as said:
        assert said.read() == (
            "RuntimeError: this process was forked from one in which TensorFlow is loaded, and "
            "would hang: start it with multiprocessing.get_context('spawn')"
        )
    assert os.waitpid(child, 0) == (child, 0)
    assert run(transfer).completed  # and the parent goes on


def test_styles_are_looked_at_once_for_many_photos(random_weights, monkeypatch):
    seen, look = [], whole.Whole.statistics

    def looked(self, image, **places):
        if not tf.is_symbolic_tensor(image):  # a compiled step is traced with it
            seen.append(image)
        return look(self, image, **places)

    monkeypatch.setattr(whole.Whole, "statistics", looked)

    def paint(photo, styles):
        seen.clear()
        return mnst.stylize(photo, styles, **options(random_weights)), len(seen)

    mnst.clear_cache()
    _, first = paint(PHOTO, STYLES)
    other, second = paint(255 - PHOTO, STYLES)
    _, swapped = paint(PHOTO, STYLES[::-1])
    _, changed = paint(PHOTO, [255 - STYLES[1], STYLES[0]])
    assert (first, second, swapped, changed) == (3, 1, 1, 2)  # a photo, and styles that are new
    mnst.clear_cache()
    alone, _ = paint(255 - PHOTO, STYLES)
    np.testing.assert_array_equal(other.image, alone.image)
