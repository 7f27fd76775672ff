"""Many at once: every picture is the one that is painted alone, or it is refused in one line."""

import dataclasses
import itertools
import threading
import warnings

import numpy as np
import pytest

import mnst
from mnst.backend import keras
from mnst.engine.trainer import Trainer
from mnst.objective.losses import make_targets, statistics, style_targets
from mnst.studio.background import BackgroundPainter, Listener, Order, Table
from mnst.studio.pictures import Picture
from mnst.studio.wishes import Wish

PATIENCE = 120  # seconds until something counts as hanging


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(7)
    rgb = keras.Input((None, None, 3))
    near = keras.layers.Conv2D(5, 3, padding="same", activation="relu", name="near")(rgb / 255.0)
    far = keras.layers.Conv2D(7, 3, strides=2, padding="same", name="far")(near)
    return keras.Model(rgb, {"near": near, "far": far}, name="tiny")


RECIPE = mnst.ARTICLE.replace(
    content_layers={"far": 1.0}, style_layers={"near": 1.0, "far": 0.3}, steps=6
)


def pixels(height, width, seed):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


STYLES = [pixels(17, 20, 5), pixels(14, 23, 6)]


def paint(network, seed, sides=(18, 21)):
    photo = pixels(*sides, seed)
    return mnst.stylize(
        photo,
        STYLES,
        gamma=seed % 5 / 4,
        recipe=RECIPE,
        backbone=network,
        progress=False,
    ).image


def at_once(*jobs):
    """Does all jobs in a thread each; returns what they gave, or raised, in order."""
    outcomes = [None] * len(jobs)
    ready = threading.Barrier(len(jobs))

    def work(place, job):
        ready.wait(PATIENCE)
        try:
            outcomes[place] = job()
        except Exception as error:
            outcomes[place] = error

    threads = [threading.Thread(target=work, args=given, daemon=True) for given in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "it hangs"
    return outcomes


@pytest.mark.parametrize("kind", ["one size", "a size each"])
def test_stylize_in_threads(network, tried, kind):
    """The trainer that is kept is one for all of the process."""
    sides = [(18, 21) if kind == "one size" else (18 + k, 21) for k in range(4)]
    alone = [paint(network, k, sides[k]) for k in range(4)]
    for _ in range(3):
        jobs = [lambda k=k: paint(network, k, sides[k]) for k in range(4)]
        for expected, image in zip(alone, at_once(*jobs), strict=True):
            tried("stylize in threads")
            np.testing.assert_array_equal(image, expected)


def test_one_transfer_in_threads(network, tried):
    transfer = mnst.StyleTransfer(pixels(18, 21, 1), STYLES, recipe=RECIPE, backbone=network)
    alone = {g: transfer.run(gamma=g, progress=False).image for g in (0.0, 0.3, 1.0)}
    painted = 0
    for _ in range(4):
        jobs = [lambda g=g: transfer.run(gamma=g, progress=False).image for g in alone]
        for expected, outcome in zip(alone.values(), at_once(*jobs), strict=True):
            tried("one StyleTransfer in threads")
            if isinstance(outcome, Exception):
                assert isinstance(outcome, RuntimeError)
                assert str(outcome).startswith("this StyleTransfer is painting already")
            else:
                painted += 1
                np.testing.assert_array_equal(outcome, expected)
    assert painted >= 4  # one of each three


def test_one_trainer_in_threads(network, tried):
    photos = [pixels(18, 21, seed)[np.newaxis].astype(np.float32) for seed in (1, 2)]
    seen, style = (
        statistics(network(one), RECIPE)
        for one in (photos[0], STYLES[0][np.newaxis].astype(np.float32))
    )
    targets = make_targets(seen, style_targets([style], seen, RECIPE), RECIPE, gamma=[1], sigma=[1])

    def last(trainer, photo, steps):
        *_, record = trainer.run(photo, targets, steps=steps)
        return record.image.numpy()

    alone = [last(Trainer(network, RECIPE, 18, 21), photo, 20) for photo in photos]
    shared = Trainer(network, RECIPE, 18, 21)
    for _ in range(8):
        jobs = [lambda photo=photo: last(shared, photo, 20) for photo in photos]
        outcomes = at_once(*jobs)
        for expected, outcome in zip(alone, outcomes, strict=True):
            tried("one Trainer in threads")
            if isinstance(outcome, Exception):
                assert str(outcome).startswith("this trainer has begun another run")
            else:
                np.testing.assert_array_equal(outcome, expected)
        assert any(not isinstance(outcome, Exception) for outcome in outcomes)


def test_generators_of_one_trainer_that_are_left_and_taken_up(network, tried):
    """Woven into one another in every order: the last that was begun has the picture."""
    photo = pixels(18, 21, 1)[np.newaxis].astype(np.float32)
    seen = statistics(network(photo), RECIPE)
    targets = make_targets(seen, style_targets([seen], seen, RECIPE), RECIPE, gamma=[1], sigma=[1])
    start = 255 - photo
    alone = [
        record.losses for record in Trainer(network, RECIPE, 18, 21).run(start, targets, steps=3)
    ]
    shared = Trainer(network, RECIPE, 18, 21)
    for order in itertools.islice(itertools.permutations([0, 0, 1, 1, 2, 2]), 0, 720, 90):
        tried("generators of one Trainer")
        runs = [shared.run(start, targets, steps=3) for _ in range(3)]
        records = [[], [], []]
        ended = [[], [], []]
        for which in order:
            try:
                records[which].append(next(runs[which]).losses)
            except (RuntimeError, StopIteration) as error:
                ended[which].append(str(error))
        # It says so once, and then is at its end.
        refusals = ["this trainer has begun another run: make a trainer for each", ""]
        assert all(said == refusals[: len(said)] for said in ended)
        begun = list(dict.fromkeys(order))[-1]
        assert not ended[begun]
        for given in records:
            assert given == alone[: len(given)]


NESTED = {
    "stylize": lambda given: mnst.stylize(*given, steps=2, **OPTIONS).image,
    "crossfade": lambda given: mnst.crossfade(*given, frames=2, steps_between=1, **OPTIONS).frames,
    "calibrate": lambda given: mnst.calibrate(*given, refine=1, tolerance=1e-9, **OPTIONS).sigma,
    "sweep": lambda given: [
        run.result.image for run in mnst.sweep(*given, gamma=[0, 1], **OPTIONS)
    ],
}
OPTIONS = {"recipe": RECIPE, "progress": False}


@pytest.mark.parametrize("inner", NESTED)
@pytest.mark.parametrize("outer", NESTED)
def test_one_within_the_callback_of_another(network, tried, monkeypatch, inner, outer):
    tried("painting within a callback")
    monkeypatch.setitem(OPTIONS, "backbone", network)
    given = (pixels(18, 21, 1), STYLES)
    alone = {name: NESTED[name](given) for name in (inner, outer)}
    painted = []

    def callback(record):
        if record.step == 1:
            monkeypatch.delitem(OPTIONS, "callback")
            painted.append(NESTED[inner](given))
            monkeypatch.setitem(OPTIONS, "callback", callback)

    monkeypatch.setitem(OPTIONS, "callback", callback)
    np.testing.assert_array_equal(NESTED[outer](given), alone[outer])
    assert painted
    for images in painted:
        np.testing.assert_array_equal(images, alone[inner])


def test_transfers_that_come_and_go_in_threads(network, tried):
    """With what is kept let go meanwhile."""
    alone = [paint(network, seed) for seed in range(3)]

    def many(first):
        return [paint(network, (first + k) % 3) for k in range(4)]

    def clear():
        for _ in range(40):
            mnst.clear_cache()

    *outcomes, _ = at_once(lambda: many(0), lambda: many(1), clear)
    for first, images in enumerate(outcomes):
        assert not isinstance(images, Exception), images
        for k, image in enumerate(images):
            tried("stylize, the cache being cleared")
            np.testing.assert_array_equal(image, alone[(first + k) % 3])


class Paintings(Listener):
    def __init__(self):
        self.pictures, self.failures = [], []

    def painted(self, order, result, seconds):
        self.pictures.append((result.completed, result.image))

    def failed(self, message):
        self.failures.append(message)


def test_the_studio_s_painter_beside_other_threads(network, tried):
    """Paintings have the bytes that they have alone; a preview learns and is painted meanwhile."""
    photo, *styles = (
        Picture.of(pixels(*sides, seed), f"picture {seed}")
        for sides, seed in (((40, 44), 1), ((40, 36), 5), ((33, 40), 6))
    )
    table, gammas = Table(photo, tuple(styles)), (0.2, 0.5, 0.9)

    def paintings(beside):
        told = Paintings()
        options = {"backbone": network, "recipe": RECIPE, "size": 44}
        painter = BackgroundPainter(told, options=options)
        wish = Wish(strength=painter.strength).of_styles((), 2)
        if beside:
            painter.show(table, wish)
        for gamma in gammas:
            moved = dataclasses.replace(wish, form=(gamma, 1 - gamma), colour=(gamma, 1 - gamma))
            painter.paint(Order(table, moved, painter.qualities["fine"]))
        for seed in range(9 * beside):
            paint(network, seed)
        assert painter.wait(PATIENCE)
        painter.close()
        assert not told.failures
        assert all(completed for completed, _ in told.pictures)
        return [image for _, image in told.pictures]

    for expected, image in zip(paintings(False), paintings(True), strict=True):
        tried("the studio's painter beside stylize")
        np.testing.assert_array_equal(image, expected)


def test_warnings_are_as_they_were_after_threads(network, tried):
    """What sets them aside for a moment does so for the process."""
    before = list(warnings.filters)
    jobs = [lambda k=k: paint(network, k) for k in range(3)]
    tried("warnings after threads", len(jobs))
    at_once(*jobs)
    assert warnings.filters == before
