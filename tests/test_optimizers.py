"""Optimisers on losses whose answers are known. (Adam is tested with the loop, against NumPy.)"""

import numpy as np
import pytest

import mnst
from mnst.backend import keras, tf
from mnst.optimizers import LBFGS, Adam
from mnst.optimizers.frequency import coarse_first, filtered

SHAPE = (1, 6, 7, 3)
RECIPE = mnst.ARTICLE.replace(optimizer="lbfgs", learning_rate=4.0)
PAIRS = RECIPE.optimizer.pairs


@pytest.fixture
def rng():
    return np.random.default_rng(23)


def start(values, optimizer=RECIPE.optimizer):
    image = keras.Variable(np.broadcast_to(values, SHAPE), dtype="float32")
    return image, optimizer.start(image)


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


def tell(optimizer, loss, gradient, same=True):
    optimizer.update(
        tf.constant(loss, tf.float32), tf.constant(gradient, tf.float32), tf.constant(same)
    )


def look(optimizer, image, measure, same=True):
    loss, gradient, off = measure(image.numpy())
    tell(optimizer, loss, gradient, same)
    return loss, off


def step_of(image, change):
    """Returns how the picture moves while `change` is called."""
    before = image.numpy()
    change()
    return image.numpy() - before


def test_the_recipe_says_which():
    assert mnst.ARTICLE.optimizer == Adam(learning_rate=12, decay_steps=100, decay_rate=0.6)
    assert RECIPE.optimizer == LBFGS(learning_rate=4.0, pairs=10, frequency_floor=0.01)
    assert (Adam.name, LBFGS.name) == ("adam", "lbfgs")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: LBFGS(learning_rate=0), "learning_rate is 0: give a number, more than 0"),
        (lambda: LBFGS(frequency_floor=0), "frequency_floor is 0: give a number, more than 0"),
        (lambda: LBFGS(pairs=0), "pairs is 0: give a whole number, 1 or more"),
        (lambda: Adam(frequency_floor=-1), "frequency_floor is -1: give a number, 0 or more"),
        (lambda: Adam(decay_steps=0.5), "decay_steps is 0.5: give a whole number, 1 or more"),
    ],
)
def test_a_setting_out_of_range_is_named(make, said):
    with pytest.raises(ValueError, match=f"^{said}$"):
        make()


def test_the_first_step_is_as_long_as_the_recipe_says(rng):
    image, optimizer = start(128)
    look(optimizer, image, quadratic(rng, 10))
    assert np.abs(image.numpy() - 128).mean() == pytest.approx(4, rel=1e-4)
    assert optimizer.learning_rate(0) == optimizer.learning_rate(99) == 4


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
        image, adam = start(128, mnst.ARTICLE.replace(learning_rate=float(rate)).optimizer)
        by_adam.append([look(adam, image, measure)[0] for _ in range(40)][-1])
    assert by_lbfgs < 0.5 * min(by_adam)


@pytest.mark.parametrize("steps", [1, 5, PAIRS, PAIRS + 4, 2 * PAIRS + 3])
def test_the_newest_pair_fulfils_the_secant_equation(rng, steps):
    """Whatever came before, the approximate inverse Hessian takes the last turn to the last move;
    also when the places are taken for the second time.

    So where a move has turned a gradient g to -g / 2, which is a third of the turn, the step that
    follows is a third of the way back.
    """
    image, optimizer = start(128)
    measure = quadratic(rng, 30)
    high, *_ = measure(image.numpy())
    for step in range(steps):
        loss = high * (1 - step)  # which falls by more than enough, whatever the bowl says
        gradient = measure(image.numpy())[1]
        move = step_of(image, lambda: tell(optimizer, loss, gradient))  # noqa: B023
    back = step_of(image, lambda: tell(optimizer, high * (1 - steps), -gradient / 2))
    np.testing.assert_allclose(back, -move / 3, atol=1e-3 * np.abs(move).max())


def test_the_filter_is_symmetric_positive_and_prefers_the_coarse(rng):
    weights = tf.constant(coarse_first(6, 7, RECIPE.optimizer.frequency_floor))
    one, other = (tf.constant(rng.normal(size=SHAPE), tf.float32) for _ in range(2))
    coarse = [filtered(picture, weights).numpy() for picture in (one, other)]
    assert np.vdot(coarse[0], other) == pytest.approx(np.vdot(one, coarse[1]), rel=1e-3)
    assert np.vdot(coarse[0], one) > 0
    flat = np.ones(SHAPE, np.float32)
    fine = np.float32((-1) ** np.indices((6, 7)).sum(axis=0))[None, ..., None] * flat
    gains = [np.linalg.norm(filtered(picture, weights)) for picture in (flat, fine)]
    assert gains[0] > 10 * gains[1]


@pytest.mark.parametrize("size", [(6, 7), (8, 5), (20, 24)])
def test_the_filter_is_numpy_s_in_float64(rng, size):
    picture = rng.normal(size=(1, *size, 3))
    given = filtered(tf.constant(picture, tf.float32), coarse_first(*size, 0.01))
    np.testing.assert_allclose(given, filtered64(picture, 0.01), atol=1e-5)


def filtered64(gradient, floor):
    """Divided by the frequency; of all waves, those that rfft2 gives have weight 1 in the mean."""
    height, width = gradient.shape[1:3]
    down = np.minimum(np.arange(height), height - np.arange(height)) / height
    across = np.minimum(np.arange(width), width - np.arange(width)) / width
    weights = 1 / (np.sqrt(down[:, None] ** 2 + across**2) + floor)
    weights /= weights[:, : width // 2 + 1].mean()
    waves = np.fft.fft2(gradient, axes=(1, 2)) * weights[None, ..., None]
    return np.fft.ifft2(waves, axes=(1, 2)).real


def test_the_first_step_goes_down_the_filtered_gradient(rng):
    image, optimizer = start(128)
    gradient = rng.normal(size=SHAPE)
    step = step_of(image, lambda: tell(optimizer, 7, gradient))
    coarse = filtered64(gradient, 0.01)
    np.testing.assert_allclose(step, -4 * coarse / np.abs(coarse).mean(), rtol=1e-3, atol=1e-3)


def test_adam_with_a_frequency_floor_is_numpy_s_adam_on_the_filtered_gradient(rng):
    image, optimizer = start(128, Adam(learning_rate=3.0, frequency_floor=0.01))
    measure = quadratic(rng, 100)
    x, m, v = np.full(SHAPE, 128.0), 0.0, 0.0
    for step in range(12):
        look(optimizer, image, measure)
        g = filtered64(measure(x)[1], 0.01)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        rate = 3.0 * 0.6 ** (step / 100)
        assert optimizer.learning_rate(step) == pytest.approx(rate)
        rate *= np.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
        x = np.clip(x - rate * m / (np.sqrt(v) + 1e-7), 0, 255)
        np.testing.assert_allclose(image.numpy(), x, atol=1e-2)


def is_a_first_step(step):
    """As long as the first, which later ones are only by chance: nothing is known of the loss."""
    return np.abs(step).mean() == pytest.approx(4, rel=1e-4)


def test_a_step_that_went_too_far_is_taken_back_in_part(rng):
    image, optimizer = start(100)
    tell(optimizer, 10, np.ones(SHAPE))
    tried = image.numpy()
    assert np.all(tried < 100)
    tell(optimizer, 30, np.ones(SHAPE))
    between = (image.numpy() - 100) / (tried - 100)
    assert 0.1 <= between.min() <= between.max() <= 0.5
    assert not optimizer.takes_back(9.0)
    assert optimizer.takes_back(11.0)
    np.testing.assert_array_equal(image.numpy(), np.full(SHAPE, 100))
    # It has learnt nothing from it.
    assert is_a_first_step(
        step_of(image, lambda: tell(optimizer, 9, rng.normal(size=SHAPE), False))
    )


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
    steps = [
        step_of(image, lambda: look(optimizer, image, measure, same))  # noqa: B023
        for same in (True, False, True)
    ]
    assert [is_a_first_step(step) for step in steps] == [True, True, False]


def test_a_higher_loss_is_no_reason_to_go_back_if_it_is_another_function(rng):
    image, optimizer = start(128)
    measure = quadratic(rng, 10)
    look(optimizer, image, measure)
    raised = lambda x: (measure(x)[0] * 100, *measure(x)[1:])  # noqa: E731
    tried = image.numpy()
    look(optimizer, image, raised, same=False)
    assert np.any(image.numpy() != tried)
    assert optimizer.takes_back(1e30)  # to where it stands
    np.testing.assert_array_equal(image.numpy(), tried)


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


def compiled(optimizer):
    """Its step as the loop takes it."""
    step = tf.function(lambda *given: optimizer.update(*given))
    return lambda loss, gradient: step(
        tf.constant(loss, tf.float32), tf.constant(gradient, tf.float32), tf.constant(True)
    )


@pytest.mark.parametrize(
    ("optimizer", "steps"),
    [
        (Adam(), 5),
        (Adam(frequency_floor=0.01, decay_steps=3), 5),
        (LBFGS(pairs=3), 1),
        (LBFGS(pairs=3), 7),
    ],
)
def test_one_that_is_given_the_variables_of_another_takes_the_same_steps(rng, optimizer, steps):
    """To the last bit, also where it has painted something else before."""
    measure = quadratic(rng, 30)
    image, first = start(128, optimizer)
    step = compiled(first)
    for _ in range(steps):
        step(*measure(image.numpy())[:2])
    kept = {name: np.array(variable) for name, variable in first.variables.items()}
    before = image.numpy()
    expected = []
    for _ in range(5):
        step(*measure(image.numpy())[:2])
        expected.append(image.numpy())
    again, second = start(20, optimizer)
    step = compiled(second)
    for _ in range(4):
        step(*quadratic(np.random.default_rng(1), 9)(again.numpy())[:2])
    again.assign(before)
    assert second.variables.keys() == kept.keys()
    for name, variable in second.variables.items():
        variable.assign(kept[name])
    for picture in expected:
        step(*measure(again.numpy())[:2])
        np.testing.assert_array_equal(again.numpy(), picture)
    assert second.takes_back(1e30) == first.takes_back(1e30)
    np.testing.assert_array_equal(again.numpy(), image.numpy())
