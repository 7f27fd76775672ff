"""L-BFGS on losses whose answers are known. (Adam is tested with the loop, against NumPy.)"""

import numpy as np
import pytest

import mnst
from mnst.backend import keras, tf
from mnst.optimizers.lbfgs import LBFGS, PAIRS, Adam, make_optimizer

SHAPE = (1, 6, 7, 3)
RECIPE = mnst.ARTICLE.replace(optimizer="lbfgs", learning_rate=4.0)


@pytest.fixture
def rng():
    return np.random.default_rng(23)


def start(values):
    image = keras.Variable(np.broadcast_to(values, SHAPE), dtype="float32")
    return image, LBFGS(RECIPE, image)


def quadratic(rng, condition):
    """A bowl about a picture within range, `condition` times as steep along some directions."""
    size = int(np.prod(SHAPE))
    axes, _ = np.linalg.qr(rng.normal(size=(size, size)))
    hessian = axes * np.geomspace(1, condition, size) @ axes.T
    centre = rng.uniform(60, 200, size)

    def measure(image):
        apart = np.asarray(image, np.float64).ravel() - centre
        gradient = hessian @ apart
        return 0.5 * apart @ gradient, gradient.reshape(SHAPE), np.abs(apart).max()

    return measure


def look(optimizer, image, measure, same=True):
    loss, gradient, off = measure(image.numpy())
    optimizer.update(
        tf.constant(loss, tf.float32), tf.constant(gradient, tf.float32), tf.constant(same)
    )
    return loss, off


def test_the_recipe_says_which():
    image = keras.Variable(np.zeros(SHAPE), dtype="float32")
    assert isinstance(make_optimizer(mnst.ARTICLE, image), Adam)
    assert isinstance(make_optimizer(RECIPE, image), LBFGS)


def test_the_first_step_is_as_long_as_the_recipe_says(rng):
    image, optimizer = start(128)
    look(optimizer, image, quadratic(rng, 10))
    assert np.abs(image.numpy() - 128).mean() == pytest.approx(4, rel=1e-4)


@pytest.mark.parametrize("condition", [1, 100])
def test_it_finds_the_bottom_of_a_bowl(rng, condition):
    image, optimizer = start(128)
    measure = quadratic(rng, condition)
    losses, offs = zip(*(look(optimizer, image, measure) for _ in range(120)), strict=True)
    assert offs[0] > 50
    assert offs[-1] < 0.5
    assert losses[-1] < 1e-4 * losses[0]


def test_it_needs_far_fewer_steps_than_adam_with_its_best_rate(rng):
    measure = quadratic(rng, 100)
    image, optimizer = start(128)
    by_lbfgs = [look(optimizer, image, measure)[0] for _ in range(40)][-1]
    by_adam = []
    for rate in (1, 2, 4, 8, 16):
        image = keras.Variable(np.full(SHAPE, 128.0), dtype="float32")
        adam = make_optimizer(mnst.ARTICLE.replace(learning_rate=float(rate)), image)
        by_adam.append([look(adam, image, measure)[0] for _ in range(40)][-1])
    assert by_lbfgs < 0.5 * min(by_adam)


def test_the_newest_pair_fulfils_the_secant_equation(rng):
    """Whatever came before, the approximate inverse Hessian takes the last turn to the last move;
    also when the places are taken for the second time."""
    image, optimizer = start(128)
    measure = quadratic(rng, 30)
    for step in range(2 * PAIRS + 3):
        look(optimizer, image, measure)
        if int(optimizer._pairs) in (1, 5, PAIRS, PAIRS + 4) and step:
            newest = (int(optimizer._pairs) - 1) % PAIRS
            move, turn = (array[newest].numpy() for array in (optimizer._moves, optimizer._turns))
            gradient = optimizer._gradient.numpy()
            optimizer._gradient.assign(turn.reshape(SHAPE))
            np.testing.assert_allclose(
                optimizer._quasi_newton(), -move.reshape(SHAPE), atol=1e-3 * np.abs(move).max()
            )
            optimizer._gradient.assign(gradient)
    assert int(optimizer._pairs) > PAIRS + 4


def test_the_filter_is_symmetric_positive_and_prefers_the_coarse(rng):
    _, optimizer = start(0)
    one, other = (tf.constant(rng.normal(size=SHAPE), tf.float32) for _ in range(2))
    filtered = [optimizer._filtered(picture).numpy() for picture in (one, other)]
    assert np.vdot(filtered[0], other) == pytest.approx(np.vdot(one, filtered[1]), rel=1e-3)
    assert np.vdot(filtered[0], one) > 0
    flat = np.ones(SHAPE, np.float32)
    fine = np.float32((-1) ** np.indices((6, 7)).sum(axis=0))[None, ..., None] * flat
    gains = [np.linalg.norm(optimizer._filtered(picture)) for picture in (flat, fine)]
    assert gains[0] > 10 * gains[1]


def test_a_step_that_went_too_far_is_taken_back_in_part():
    image, optimizer = start(100)
    optimizer.update(tf.constant(10.0), tf.ones(SHAPE), tf.constant(True))
    tried = image.numpy()
    assert np.all(tried < 100)
    optimizer.update(tf.constant(30.0), tf.ones(SHAPE), tf.constant(True))
    between = (image.numpy() - 100) / (tried - 100)
    assert 0.1 <= between.min() <= between.max() <= 0.5
    assert int(optimizer._pairs) == 0
    assert not optimizer.takes_back(9.0)
    assert optimizer.takes_back(11.0)
    np.testing.assert_array_equal(image.numpy(), np.full(SHAPE, 100))


def test_the_picture_stays_within_range():
    image, optimizer = start(2)
    measure = lambda x: (float(1e4 + x.sum()), np.ones(SHAPE), 0)  # noqa: E731
    for _ in range(5):
        look(optimizer, image, measure)
    assert image.numpy().min() == 0


def test_two_functions_are_not_taken_for_one(rng):
    """A change of the gradient because the loss is another one says nothing of its curvature."""
    image, optimizer = start(128)
    measure = quadratic(rng, 10)
    look(optimizer, image, measure)
    look(optimizer, image, measure, same=False)
    assert int(optimizer._pairs) == 0
    look(optimizer, image, measure)
    assert int(optimizer._pairs) == 1


def test_a_higher_loss_is_no_reason_to_go_back_if_it_is_another_function(rng):
    image, optimizer = start(128)
    measure = quadratic(rng, 10)
    look(optimizer, image, measure)
    raised = lambda x: (measure(x)[0] * 100, *measure(x)[1:])  # noqa: E731
    tried = image.numpy()
    look(optimizer, image, raised, same=False)
    np.testing.assert_array_equal(optimizer._accepted.numpy(), tried)


def test_beginning_afresh_forgets(rng):
    image, optimizer = start(128)
    measure = quadratic(rng, 30)

    def paint():
        image.assign(np.full(SHAPE, 128))
        return [look(optimizer, image, measure)[0] for _ in range(8)]

    first = paint()
    optimizer.begin(0)
    assert paint() == first
    optimizer.begin(8)
    assert paint() != first
