"""What changes the picture in a step, given its loss and gradient: Adam, or L-BFGS.

What they remember is on the device, in the picture's size. Both leave the picture in 0..255.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from mnst.backend import keras, tf
from mnst.objective.losses import Tensor
from mnst.recipes import Recipe

PAIRS = 10
"""How many steps L-BFGS remembers, with two arrays of the picture's size for each."""

_COARSE = 0.01  # cycles per pixel: the filter tells frequencies below this hardly apart


class Optimizer(Protocol):
    """What the loop asks of an optimiser."""

    def update(self, loss: Tensor, gradient: Tensor, same: Tensor) -> None:
        """Changes the picture, after a look at it.

        Args:
            loss: Of the picture as it is, float32 [].
            gradient: Of that loss, float32 [1, H, W, 3].
            same: False if the loss is another function than in the step before; bool [].
        """

    def takes_back(self, loss: float) -> bool:
        """Goes back to an earlier picture, and returns True, if the last was worse; at the end."""

    def begin(self, step: int) -> None:
        """Begins a run; as if after so many steps, if not 0, and then with what it remembers."""

    def learning_rate(self, step: int) -> float:
        """Returns how far the step goes, in units of pixel values."""


def make_optimizer(recipe: Recipe, image: Any) -> Optimizer:
    """Returns the recipe's optimiser of a picture, a Keras variable [1, H, W, 3]."""
    return Adam(recipe, image) if recipe.optimizer == "adam" else LBFGS(recipe, image)


class Adam:
    """Keras' Adam, with a rate that decays exponentially (article, "The Setup")."""

    def __init__(self, recipe: Recipe, image: Any) -> None:
        self._image = image
        self._schedule = keras.optimizers.schedules.ExponentialDecay(
            recipe.learning_rate, recipe.decay_steps, recipe.decay_rate
        )
        self._adam = keras.optimizers.Adam(
            self._schedule, beta_1=recipe.beta_1, beta_2=recipe.beta_2, epsilon=recipe.epsilon
        )
        self._adam.build([image])

    def update(self, loss: Tensor, gradient: Tensor, same: Tensor) -> None:
        """See `Optimizer`; it looks at the gradient alone."""
        self._adam.apply([gradient], [self._image])
        self._image.assign(_within_range(self._image.value))

    def takes_back(self, loss: float) -> bool:
        """See `Optimizer`; Adam never does."""
        return False

    def begin(self, step: int) -> None:
        """See `Optimizer`; the moments are what it remembers."""
        if not step:
            for variable in self._adam.variables:
                variable.assign(keras.ops.zeros_like(variable))
        self._adam.iterations.assign(step)

    def learning_rate(self, step: int) -> float:
        """See `Optimizer`; of single pixels, at the most."""
        return float(self._schedule(step))


class LBFGS:
    """Preconditioned L-BFGS (Nocedal and Wright 2006, algorithm 7.5) that takes one look a step.

    A step looks at the picture that the one before has tried. If its loss has fallen as it should
    (Armijo's rule), it goes on from there, else part of the way back.

    Its first guess of the inverse Hessian is a filter that divides by the spatial frequency: the
    losses are far steeper along fine structure than along coarse, which L-BFGS without it has to
    find out, one pair of vectors after the other.

    Args:
        recipe: Its `learning_rate` is how far the first step goes, as a mean over all pixels.
        image: The picture, a Keras variable [1, H, W, 3].
    """

    def __init__(self, recipe: Recipe, image: Any) -> None:
        shape = tuple(image.shape)
        self._image = image
        self._first = recipe.learning_rate
        self._filter = tf.constant(_coarse_first(*shape[1:3]))
        self._steps = tf.Variable(0)
        # Of the picture that was gone on from last. Losses are divided by the first one: squares of
        # gradients of losses of 1e20 would leave float32.
        self._unit, self._loss = _zeros(), _zeros()
        self._accepted, self._gradient = _zeros(*shape), _zeros(*shape)
        # Changes of the picture and of the gradient, a pair in each row, and the products of every
        # one with every other. Rows that are empty yet are 0, and their products those of the
        # identity: so they change nothing.
        size = math.prod(shape)
        self._moves, self._turns = _zeros(PAIRS, size), _zeros(PAIRS, size)
        self._products = tf.Variable(tf.eye(PAIRS))  # of a move, down, and a turn, across
        self._pairs = tf.Variable(0)
        self._scale = _zeros()  # of the filter

    def update(self, loss: Tensor, gradient: Tensor, same: Tensor) -> None:
        """See `Optimizer`."""
        first = tf.equal(self._steps, 0)
        self._unit.assign(tf.where(self._unit > 0, self._unit, tf.maximum(loss, 1e-30)))
        loss, gradient = loss / self._unit, gradient / self._unit
        move = self._image.value - self._accepted
        slope = _dot(self._gradient, move)
        # Smaller differences of losses float32 does not tell from none.
        fallen = loss <= self._loss + 1e-4 * slope + 1e-6 * tf.abs(self._loss)
        # Losses of two functions can't be compared: where it stands is as good as any place.
        tf.cond(
            first | fallen | ~same,
            lambda: self._go_on(loss, gradient, move, same & ~first),
            lambda: self._go_back(loss, move, slope),
        )
        self._steps.assign_add(1)

    def takes_back(self, loss: float) -> bool:
        """See `Optimizer`."""
        worse = bool(self._steps > 0) and loss / float(self._unit) > float(self._loss)
        if worse:
            self._image.assign(self._accepted)
        return worse

    def begin(self, step: int) -> None:
        """See `Optimizer`; pairs of changes are what it remembers."""
        self._steps.assign(0)
        if not step:
            self._forget()
            self._unit.assign(0.0)

    def learning_rate(self, step: int) -> float:
        """See `Optimizer`; L-BFGS finds its own, this is the first step's."""
        return self._first

    def _go_on(self, loss: Tensor, gradient: Tensor, move: Tensor, same: Tensor) -> None:
        turn = gradient - self._gradient
        curved = _dot(move, turn)
        keeps = same & (curved > 1e-10 * tf.norm(move) * tf.norm(turn))
        tf.cond(keeps, lambda: self._remember(move, turn, curved), lambda: None)
        self._loss.assign(loss)
        self._gradient.assign(gradient)
        self._accepted.assign(self._image.value)
        direction = self._direction()
        self._image.assign(_within_range(self._image.value + direction))

    def _go_back(self, loss: Tensor, move: Tensor, slope: Tensor) -> None:
        """Tries where a parabola through both losses and the slope has its least."""
        least = -slope / tf.maximum(2 * (loss - self._loss - slope), 1e-30)
        self._image.assign(self._accepted + tf.clip_by_value(least, 0.1, 0.5) * move)

    def _remember(self, move: Tensor, turn: Tensor, curved: Tensor) -> None:
        place = self._pairs % PAIRS
        filtered = tf.reshape(self._filtered(turn), [-1])
        move, turn = tf.reshape(move, [-1]), tf.reshape(turn, [-1])
        self._moves[place].assign(move)
        self._turns[place].assign(turn)
        self._products[place].assign(tf.linalg.matvec(self._turns, move))
        self._products[:, place].assign(tf.linalg.matvec(self._moves, turn))
        self._scale.assign(curved / _dot(turn, filtered))
        self._pairs.assign_add(1)

    def _forget(self) -> None:
        for variable in (self._moves, self._turns):
            variable.assign(tf.zeros_like(variable))
        self._products.assign(tf.eye(PAIRS))
        self._pairs.assign(0)

    def _direction(self) -> Tensor:
        """Returns the step from the last picture that was gone on from."""
        ahead = self._quasi_newton()
        return tf.cond(
            (self._pairs > 0) & (_dot(ahead, self._gradient) < 0),
            lambda: ahead,
            self._down,
        )

    def _down(self) -> Tensor:
        """Returns the step where nothing is known yet, or what is known leads upwards."""
        self._forget()
        down = -self._filtered(self._gradient)
        return down * (self._first / tf.maximum(tf.reduce_mean(tf.abs(down)), 1e-30))

    def _quasi_newton(self) -> Tensor:
        """Returns minus the approximate inverse Hessian times the gradient.

        The two loops of algorithm 7.4 in closed form (Byrd, Nocedal and Schnabel 1994): what each
        of them finds, pair by pair, solves a triangular system of the pairs' products.
        """
        order = (self._pairs + tf.range(PAIRS)) % PAIRS  # oldest first
        products = tf.gather(tf.gather(self._products, order), order, axis=1)
        upper = tf.linalg.band_part(products, 0, -1)
        down = -tf.reshape(self._gradient, [-1])

        along = _in_order(self._moves, down, order)
        back = tf.linalg.triangular_solve(upper, along, lower=False)
        down -= _combined(self._turns, back, order)
        down = self._scale * tf.reshape(
            self._filtered(tf.reshape(down, self._gradient.shape)), [-1]
        )
        along = tf.linalg.diag_part(products)[:, tf.newaxis] * back
        along -= _in_order(self._turns, down, order)
        forth = tf.linalg.triangular_solve(upper, along, lower=False, adjoint=True)
        down += _combined(self._moves, forth, order)
        return tf.reshape(down, self._gradient.shape)

    def _filtered(self, gradient: Tensor) -> Tensor:
        channels = tf.transpose(gradient, [0, 3, 1, 2])
        waves = tf.signal.rfft2d(channels) * tf.cast(self._filter, tf.complex64)
        return tf.transpose(tf.signal.irfft2d(waves, tf.shape(channels)[2:]), [0, 2, 3, 1])


def _coarse_first(height: int, width: int) -> np.ndarray:
    """Returns what each wave of a picture is multiplied by, float32 [H, W // 2 + 1]; mean 1."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, np.newaxis], np.fft.rfftfreq(width))
    weights = (1 / (frequency + _COARSE)).astype(np.float32)
    even: np.ndarray = weights / weights.mean()
    return even


def _in_order(rows: Tensor, vector: Tensor, order: Tensor) -> Tensor:
    """Returns the rows' products with a vector, [PAIRS, 1], in that order."""
    return tf.gather(tf.linalg.matvec(rows, vector), order)[:, tf.newaxis]


def _combined(rows: Tensor, weights: Tensor, order: Tensor) -> Tensor:
    """Returns the sum of the rows, the one that `order` names first times the first weight."""
    placed = tf.scatter_nd(order[:, tf.newaxis], weights[:, 0], [PAIRS])
    return tf.linalg.matvec(rows, placed, transpose_a=True)


def _zeros(*shape: int) -> tf.Variable:
    return tf.Variable(tf.zeros(shape))


def _dot(one: Tensor, other: Tensor) -> Tensor:
    return tf.reduce_sum(one * other)


def _within_range(image: Tensor) -> Tensor:
    return tf.clip_by_value(image, 0.0, 255.0)
