"""The loop on a tiny network: against Adam written out in NumPy, and against bad behaviour."""

import collections
import gc
import itertools
import pickle
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from scenes import STYLES, options, picture

import mnst
from mnst.backend import keras, tf
from mnst.engine.trainer import DivergenceError, Trainer
from mnst.objective.losses import make_targets, mixed_losses, statistics, style_targets
from mnst.objective.regions import paint_regions

RECIPE = mnst.ARTICLE.replace(
    content_layers={"features": 1.0},
    style_layers={"features": 1.0},
    learning_rate=3.0,
    decay_steps=7,
    decay_rate=0.5,
)


@pytest.fixture(scope="module")
def scene():
    """A tiny network, a content image, and the targets of two styles."""
    keras.utils.set_random_seed(11)
    rgb = keras.Input((None, None, 3))
    features = keras.layers.Conv2D(5, 3, padding="same", activation="softplus")(rgb / 255.0)
    extractor = keras.Model(rgb, {"features": features})
    random = np.random.default_rng(1)
    content, *styles = random.uniform(0, 255, (3, 1, 12, 9, 3)).astype(np.float32)
    photo, *paintings = (statistics(extractor(one), RECIPE) for one in (content, *styles))
    grams = style_targets(paintings, photo, RECIPE)
    targets = make_targets(photo, grams, RECIPE, gamma=(0.4, 0.6), sigma=(1, 1))
    return extractor, content, targets


def seen(extractor, image, targets):
    return statistics(extractor(image), RECIPE, places=targets.places)


def test_the_loop_is_adam_with_exponential_decay(scene):
    extractor, content, targets = scene
    records = list(Trainer(extractor, RECIPE, 12, 9).run(content, targets, steps=12))
    x, m, v = content.astype(np.float64), 0.0, 0.0
    for step in range(12):
        np.testing.assert_allclose(records[step].image, x, atol=2e-2)
        image = tf.constant(x, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(image)
            objective, _ = mixed_losses(seen(extractor, image, targets), targets, RECIPE)
        g = tape.gradient(objective, image).numpy().astype(np.float64)
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        rate = 3.0 * 0.5 ** (step / 7)
        assert records[step + 1].learning_rate == pytest.approx(rate)
        corrected = rate * np.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
        x = np.clip(x - corrected * m / (np.sqrt(v) + RECIPE.optimizer.epsilon), 0, 255)
    np.testing.assert_allclose(records[-1].image, x, atol=2e-2)


def test_a_record_s_losses_are_those_of_its_picture(scene):
    extractor, content, targets = scene
    for record in Trainer(extractor, RECIPE, 12, 9).run(content, targets, steps=3):
        _, losses = mixed_losses(seen(extractor, record.image, targets), targets, RECIPE)
        assert record.losses == pytest.approx({k: float(v) for k, v in losses.items()}, rel=1e-4)


def test_the_records_count_from_the_start_to_the_last_step(scene):
    extractor, content, targets = scene
    records = list(Trainer(extractor, RECIPE, 12, 9).run(content, targets, steps=5))
    assert [record.step for record in records] == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(records[0].image, content)
    assert records[0].losses["content"] == pytest.approx(0, abs=1e-8)
    assert records[-1].losses["total"] < records[0].losses["total"]
    assert all(a.seconds < b.seconds for a, b in itertools.pairwise(records))


def test_pixels_stay_in_range(scene):
    extractor, content, targets = scene
    wild = RECIPE.replace(learning_rate=100.0)
    *_, last = Trainer(extractor, wild, 12, 9).run(content, targets, steps=5)
    assert np.min(last.image) >= 0
    assert np.max(last.image) <= 255


def test_a_trainer_starts_afresh_and_is_traced_once(scene):
    extractor, content, targets = scene
    trainer = Trainer(extractor, RECIPE, 12, 9)
    *_, first = trainer.run(content, targets, steps=4)
    style = targets.terms["style"]
    swapped = style._replace(mixed={layer: of[:, ::-1] for layer, of in style.mixed.items()})
    other = targets._replace(terms={**targets.terms, "style": swapped})
    list(trainer.run(255 - content, other, steps=9))
    *_, again = trainer.run(content, targets, steps=4)
    np.testing.assert_array_equal(first.image, again.image)
    assert trainer.train_step.experimental_get_tracing_count() == 1
    assert trainer.measure.experimental_get_tracing_count() == 1


def test_leaving_the_loop_leaves_the_last_record_s_picture(scene):
    extractor, content, targets = scene
    *_, four = Trainer(extractor, RECIPE, 12, 9).run(content, targets, steps=4)
    for record in Trainer(extractor, RECIPE, 12, 9).run(content, targets, steps=100):
        if record.step == 4:
            break
    np.testing.assert_array_equal(record.image, four.image)


def test_a_second_run_ends_the_first_with_a_line(scene):
    """They would paint over each other: a trainer has one picture."""
    extractor, content, targets = scene
    trainer = Trainer(extractor, RECIPE, 12, 9)
    first, second = (trainer.run(content, targets, steps=9) for _ in range(2))
    assert [next(first).step, next(first).step] == [0, 1]
    began = next(second)
    with pytest.raises(RuntimeError, match="has begun another run: make a trainer for each"):
        next(first)
    np.testing.assert_array_equal(began.image, content)
    alone = list(Trainer(extractor, RECIPE, 12, 9).run(content, targets, steps=9))
    *_, last = second
    np.testing.assert_array_equal(last.image, alone[-1].image)


def test_a_step_and_a_measurement_can_be_had_alone(scene):
    """What a loop of one's own is made of."""
    extractor, content, targets = scene
    records = list(Trainer(extractor, RECIPE, 12, 9).run(content, targets, steps=2))
    trainer = Trainer(extractor, RECIPE, 12, 9)
    trainer.image.assign(content)
    for record in records:
        image, measured = trainer.measure(targets)
        np.testing.assert_array_equal(image, record.image)
        assert {name: float(loss) for name, loss in measured.losses.items()} == pytest.approx(
            record.losses, rel=1e-6
        )
        before, same = trainer.train_step(targets, comparable=True)
        np.testing.assert_array_equal(before, record.image)
        assert float(same.objective) == pytest.approx(float(measured.objective), rel=1e-6)
        assert float(same.brightness) == pytest.approx(np.mean(record.image), rel=1e-6)


def test_a_record_without_its_picture_keeps_its_numbers(scene):
    extractor, content, targets = scene
    record = next(iter(Trainer(extractor, RECIPE, 12, 9).run(content, targets, steps=1)))
    assert record.numbers() == record
    assert record.numbers().image is None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_best(scene, bad):
    """The network breaks when the picture has changed by enough, as an overflow would."""
    extractor, content, targets = scene

    def breaks(image):
        moved = tf.reduce_max(tf.abs(image - content))
        spoilt = tf.where(moved > 8.0, bad, 1.0)
        return {"features": extractor(image)["features"] * spoilt}

    seen = []
    run = Trainer(breaks, RECIPE, 12, 9).run(content, targets, steps=50)
    with pytest.raises(DivergenceError, match=f"the content loss became {bad} after") as raised:
        collections.deque(map(seen.append, run))
    assert 1 < len(seen) < 50
    assert raised.value.step == len(seen)
    best = min(seen, key=lambda record: record.losses["total"])
    assert raised.value.best is best


def test_a_start_that_is_broken_has_no_best(scene):
    extractor, content, targets = scene
    with pytest.raises(DivergenceError, match="after step 0") as raised:
        list(Trainer(extractor, RECIPE, 12, 9).run(content * np.nan, targets, steps=1))
    assert raised.value.best is None


def test_a_gradient_that_overflows_is_seen_in_the_picture(scene):
    """The losses stay finite: with ReLU, a NaN picture looks black to the network."""
    _, content, targets = scene

    @tf.custom_gradient
    def overflowing(image):
        return image, lambda upstream: upstream * np.inf

    def black_if_nan(image):
        seen = tf.where(tf.math.is_nan(image), 0.0, overflowing(image))
        return {"features": tf.tile(seen, (1, 1, 1, 2))[..., :5]}

    with pytest.raises(DivergenceError, match="the picture became nan after step 1") as raised:
        list(Trainer(black_if_nan, RECIPE, 12, 9).run(content, targets, steps=9))
    assert raised.value.term == "picture"
    assert raised.value.best.step == 0


@pytest.fixture(scope="module")
def masked(scene):
    """A mask that keeps the left third, with a soft edge; and the targets that go with it."""
    extractor, content, _ = scene
    mask = np.broadcast_to(np.float32([1, 1, 1, 0.9, 0.25, 0, 0, 0, 0]), (12, 9))
    return mask, masked_targets(extractor, content, mask)


def masked_targets(extractor, content, mask):
    styles = np.random.default_rng(1).uniform(0, 255, (3, 1, 12, 9, 3)).astype(np.float32)[1:]
    photo, *paintings = (statistics(extractor(one), RECIPE) for one in (content, *styles))
    grams = style_targets(paintings, photo, RECIPE)
    return make_targets(
        photo,
        grams,
        RECIPE,
        gamma=(0.4, 0.6),
        sigma=(1, 1),
        regions=paint_regions(mask, None, 2),
        pixels=content,
    )


@pytest.mark.parametrize("start", ["content", "noise"])
def test_kept_pixels_are_the_photo_s_at_every_step(scene, masked, start):
    extractor, content, _ = scene
    _, targets = masked
    first = content if start == "content" else 255 - content
    run = Trainer(extractor, RECIPE, 12, 9).run(first, targets, steps=5)
    for record in run:
        np.testing.assert_array_equal(record.image[:, :, :3], content[:, :, :3])
        _, losses = mixed_losses(seen(extractor, record.image, targets), targets, RECIPE)
        assert record.losses == pytest.approx({k: float(v) for k, v in losses.items()}, rel=1e-4)
    assert np.all(np.abs(record.image - first)[:, :, 5:] > 0.1)


def test_a_soft_mask_mixes_photo_and_painting_at_every_step(scene, masked):
    """Adam in NumPy on the painting; its steps are as long where most of the photo is kept."""
    extractor, content, _ = scene
    mask, targets = masked
    recipe = RECIPE.replace(epsilon=1e-12)  # the tiny network's gradients are small, too
    run = Trainer(extractor, recipe, 12, 9).run(content, targets, steps=8)
    m, v, y = 0.0, 0.0, content.astype(np.float64)
    kept = mask[np.newaxis, ..., np.newaxis]
    for step, record in enumerate(run):
        x = kept * content + (1 - kept) * y
        np.testing.assert_allclose(record.image, x, atol=2e-2)
        image = tf.constant(x, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(image)
            objective, _ = mixed_losses(seen(extractor, image, targets), targets, RECIPE)
        g = (1 - kept) * tape.gradient(objective, image).numpy().astype(np.float64)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        rate = 3.0 * 0.5 ** (step / 7)
        corrected = rate * np.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
        assert not g[:, :, :3].any()
        moved = corrected * m / (np.sqrt(v) + recipe.optimizer.epsilon)
        if step == 0:
            np.testing.assert_allclose(np.abs(moved[:, :, 3:]), 3.0, rtol=1e-2)
        y = np.clip(y - moved, 0, 255)


def test_other_masks_of_the_same_size_reuse_the_step(scene, masked):
    extractor, content, _ = scene
    trainer = Trainer(extractor, RECIPE, 12, 9)
    for mask in (masked[0], masked[0][:, ::-1], np.eye(12, 9, dtype=np.float32)):
        targets = masked_targets(extractor, content, mask)
        list(trainer.run(content, targets, steps=2))
    assert trainer.train_step.experimental_get_tracing_count() == 1
    assert trainer.measure.experimental_get_tracing_count() == 1


# With a surrogate: a network that is nearly the extractor takes the steps.


@pytest.fixture(scope="module")
def nearly(scene):
    extractor, _, _ = scene
    network = keras.models.clone_model(extractor)
    random = np.random.default_rng(6)
    network.set_weights(
        [w * random.uniform(0.8, 1.2, w.shape) + 0.01 for w in extractor.get_weights()]
    )
    return network


FAST = RECIPE.replace(optimizer="lbfgs", learning_rate=2.0, correct_every=4)


def test_with_lbfgs_the_loss_falls_further_than_with_adam(scene):
    extractor, content, targets = scene
    *_, by_adam = Trainer(extractor, RECIPE, 12, 9).run(content, targets, steps=30)
    *_, by_lbfgs = Trainer(extractor, FAST, 12, 9).run(content, targets, steps=30)
    assert by_lbfgs.losses["total"] < by_adam.losses["total"]
    assert by_lbfgs.image.numpy().min() >= 0
    assert by_lbfgs.image.numpy().max() <= 255


def test_losses_are_the_extractor_s_wherever_it_looks(scene, nearly):
    extractor, content, targets = scene
    trainer = Trainer(extractor, FAST, 12, 9, surrogate=nearly)
    off = []
    for record in trainer.run(content, targets, steps=10):
        _, losses = mixed_losses(seen(extractor, record.image, targets), targets, RECIPE)
        off.append(abs(record.losses["total"] / float(losses["total"]) - 1))
    assert max(off[step] for step in (0, 4, 8, 10)) < 1e-3
    assert max(off) > 1e-3


@pytest.mark.slow
def test_a_surrogate_that_is_corrected_gets_further_than_one_that_is_not(scene, nearly):
    extractor, content, targets = scene
    totals = []
    for recipe in (FAST, FAST.replace(correct_every=1000)):
        *_, last = Trainer(extractor, recipe, 12, 9, surrogate=nearly).run(
            content, targets, steps=40
        )
        totals.append(last.losses["total"])
    *_, own = Trainer(extractor, FAST, 12, 9).run(content, targets, steps=40)
    assert totals[0] < totals[1]
    spread = own.losses["total"]
    assert totals[0] - spread < 0.5 * (totals[1] - spread)


def test_the_last_picture_is_never_one_that_was_only_tried(scene):
    """However many steps there are, more of them end no higher."""
    extractor, content, targets = scene
    trainer = Trainer(extractor, FAST, 12, 9)
    ends = []
    for steps in range(1, 14):
        *_, last = trainer.run(content, targets, steps=steps)
        ends.append(last.losses["total"])
    assert all(later <= 1.0001 * sooner for sooner, later in itertools.pairwise(ends))


def test_no_steps_only_measure(scene):
    extractor, content, targets = scene
    for recipe in (RECIPE, FAST):
        (record,) = Trainer(extractor, recipe, 12, 9).run(content, targets, steps=0)
        np.testing.assert_array_equal(record.image, content)


def test_kept_pixels_stay_with_a_surrogate_and_lbfgs_too(scene, masked, nearly):
    extractor, content, _ = scene
    _, targets = masked
    trainer = Trainer(extractor, FAST, 12, 9, surrogate=nearly)
    for record in trainer.run(content, targets, steps=9):
        np.testing.assert_array_equal(record.image[:, :, :3], content[:, :, :3])
    assert trainer.train_step.experimental_get_tracing_count() == 1


def test_lbfgs_goes_on_warm_with_what_it_has_learnt(scene):
    """As in a crossfade: from where the last run ended, towards the same."""
    extractor, content, targets = scene
    trainer = Trainer(extractor, FAST, 12, 9)
    *_, first = trainer.run(content, targets, steps=20)
    *_, warm = trainer.run(first.image, targets, steps=6, warm=20)
    *_, cold = Trainer(extractor, FAST, 12, 9).run(first.image, targets, steps=6)
    assert warm.losses["total"] < cold.losses["total"] < 1.001 * first.losses["total"]


@pytest.mark.slow
def test_nothing_stays_of_a_trainer_that_is_gone(random_weights):
    """TensorFlow keeps what registers a gradient while it is traced, and all that it refers to."""

    def graphs():
        gc.collect()
        return sum(type(each).__name__ == "FuncGraph" for each in gc.get_objects())

    def paint(height):
        mnst.stylize(picture(height, 40), STYLES, **options(random_weights, steps=1))
        mnst.clear_cache()

    for height in (24, 25):  # what is made once and kept is made now
        paint(height)
    before = graphs()
    for height in (26, 27):
        paint(height)
    assert graphs() <= before


@pytest.mark.slow
def test_many_sizes_take_no_more_memory_than_some():
    """Each new size once left 30 MB, so twenty took 600; what oneDNN keeps of them is less."""
    painted = """
import numpy as np, psutil, mnst
for side in range(64, 124):
    photo = np.zeros((side, 150 - side // 2, 3), np.uint8)
    mnst.stylize(photo, photo, steps=1, backbone="vgg19-lite", progress=False)
    if side in (103, 123):
        print(psutil.Process().memory_info().rss)
"""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", painted], capture_output=True, text=True
    )
    after_forty, after_sixty = map(int, ran.stdout.split())
    assert after_sixty - after_forty < 2.5e8, ran.stderr


def test_a_divergence_reaches_another_process_whole(scene):
    extractor, content, targets = scene
    wild = targets._replace(weights={**targets.weights, "style": tf.constant(1e38)})
    run = Trainer(extractor, RECIPE, 12, 9).run(content, targets, steps=50)
    best = next(run)
    for best_before in (None, best):
        error = DivergenceError(3, "total", float("inf"), best_before)
        error.result = "the best picture"
        sent = pickle.loads(pickle.dumps(error))
        assert str(sent) == str(error)
        assert (sent.step, sent.term, sent.value) == (3, "total", float("inf"))
        assert sent.result == "the best picture"
        assert sent.best == best_before
        if best_before is not None:
            np.testing.assert_array_equal(sent.best.image, best.image)
    with pytest.raises(DivergenceError):
        list(Trainer(extractor, RECIPE, 12, 9).run(content, wild, steps=1))


def test_a_run_from_another_thread_waits_for_the_step_that_is_taken(scene):
    """And then has the picture to itself; the run that it ended says so."""
    extractor, content, targets = scene
    alone = list(Trainer(extractor, RECIPE, 12, 9).run(content, targets, steps=4))
    trainer = Trainer(extractor, RECIPE, 12, 9)
    stepping, go_on, ended = threading.Event(), threading.Event(), []
    take_step = trainer.train_step

    def slow_step(*given):
        stepping.set()
        assert go_on.wait(60)
        return take_step(*given)

    trainer.train_step = slow_step

    def first():
        try:
            list(trainer.run(255 - content, targets, steps=50))
        except RuntimeError as error:
            ended.append(str(error))

    def second():
        ended.append(list(trainer.run(content, targets, steps=4)))

    threads = [threading.Thread(target=run) for run in (first, second)]
    threads[0].start()
    assert stepping.wait(60)
    threads[1].start()
    time.sleep(0.2)  # in which it would put its start in the picture
    go_on.set()
    for thread in threads:
        thread.join(60)
    said, records = sorted(ended, key=lambda one: not isinstance(one, str))
    assert said == "this trainer has begun another run: make a trainer for each"
    for record, expected in zip(records, alone, strict=True):
        np.testing.assert_array_equal(record.image, expected.image)


def test_a_surrogate_that_is_not_given_is_missed(scene):
    extractor, _, _ = scene
    recipe = FAST.replace(name="quick", surrogate="vgg19-lite")
    with pytest.raises(ValueError, match=r"surrogate is None, but recipe 'quick' has one: give a"):
        Trainer(extractor, recipe, 12, 9)
