"""Preconditioned L-BFGS that takes one gradient a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mnst.backend import tf
from mnst.checks import check_number, check_whole, settle
from mnst.optimizers.base import OptimizerState, Tensor
from mnst.optimizers.frequency import coarse_first, filtered


@dataclass(frozen=True, kw_only=True)
class LBFGS:
    """L-BFGS whose first guess of the inverse Hessian divides by the spatial frequency.

    Attributes:
        learning_rate: How far the first step goes, in units of pixel values 0..255, as a mean over
            all pixels. Later steps find their own.
        pairs: How many steps it remembers, with two arrays of the picture's size for each.
        frequency_floor: In cycles per pixel: frequencies below it are hardly told apart.

    Raises:
        ValueError: If a value is out of its range.
    """

    learning_rate: float = 4.0
    pairs: int = 10
    frequency_floor: float = 0.01

    name = "lbfgs"
    resumes = True

    def __post_init__(self) -> None:
        for field in ("learning_rate", "frequency_floor"):
            value = check_number(field, getattr(self, field), lambda v: v > 0, "more than 0")
            settle(self, **{field: value})
        settle(self, pairs=check_whole("pairs", self.pairs))

    @property
    def arrays(self) -> int:
        """Its pairs, where it stands, and what it computes with."""
        return 2 * self.pairs + 8

    def start(self, image: Any) -> LBFGSState:
        """See `Optimizer`."""
        return LBFGSState(self, image)


class LBFGSState(OptimizerState):
    """L-BFGS at work on a picture (Nocedal and Wright 2006, algorithm 7.5); see `OptimizerState`.

    A step looks at the picture that the one before has tried. If its loss has fallen as it should
    (Armijo's rule), it goes on from there, else part of the way back.

    The losses are far steeper along fine structure than along coarse. L-BFGS without the filter has
    to find that out, one pair of vectors after the other.
    """

    def __init__(self, settings: LBFGS, image: Any) -> None:
        shape = tuple(image.shape)
        self._image = image
        self._first, self._rows = settings.learning_rate, settings.pairs
        self._filter = tf.constant(coarse_first(shape[1], shape[2], settings.frequency_floor))
        self._steps = tf.Variable(0)
        # Of the picture that was gone on from last. Losses are divided by the first one: squares of
        # gradients of losses of 1e20 would leave float32.
        self._unit, self._loss = _zeros(), _zeros()
        self._accepted, self._gradient = _zeros(*shape), _zeros(*shape)
        # Changes of the picture and of the gradient, the oldest first, and the products of each
        # move with its own turn and those after it. The last so many count. The products of the
        # others are those of the identity: so they change nothing.
        self._moves, self._turns = ([_zeros(*shape) for _ in range(self._rows)] for _ in range(2))
        self._products = tf.Variable(tf.eye(self._rows))  # of a move, down, and a turn
        self._pairs = tf.Variable(0)
        self._scale = _zeros()  # of the filter

    def update(self, loss: Tensor, gradient: Tensor, comparable: Tensor) -> None:
        """See `OptimizerState`."""
        first = tf.equal(self._steps, 0)
        self._unit.assign(tf.where(self._unit > 0, self._unit, tf.maximum(loss, 1e-30)))
        loss, gradient = loss / self._unit, gradient / self._unit
        move = self._image.value - self._accepted
        slope = _dot(self._gradient, move)
        # Smaller differences of losses float32 does not tell from none.
        fallen = loss <= self._loss + 1e-4 * slope + 1e-6 * tf.abs(self._loss)
        # Losses of two functions can't be compared: where it stands is as good as any place.
        tf.cond(
            first | fallen | ~comparable,
            lambda: self._go_on(loss, gradient, move, comparable & ~first),
            lambda: self._go_back(loss, move, slope),
        )
        self._steps.assign_add(1)

    def takes_back(self, loss: float) -> bool:
        """See `OptimizerState`."""
        worse = bool(self._steps > 0) and loss / float(self._unit) > float(self._loss)
        if worse:
            self._image.assign(self._accepted)
        return worse

    def begin(self, step: int) -> None:
        """See `OptimizerState`; pairs of changes are what it remembers."""
        self._steps.assign(0)
        if not step:
            self._forget()
            self._unit.assign(0.0)

    def learning_rate(self, step: int) -> float:
        """See `OptimizerState`; L-BFGS finds its own, this is the first step's."""
        return self._first

    @property
    def variables(self) -> dict[str, Any]:
        """See `OptimizerState`; the whole history of pairs."""
        moves = {f"move_{k}": move for k, move in enumerate(self._moves)}
        turns = {f"turn_{k}": turn for k, turn in enumerate(self._turns)}
        return {
            **moves,
            **turns,
            "products": self._products,
            "pairs": self._pairs,
            "scale": self._scale,
            "steps": self._steps,
            "unit": self._unit,
            "loss": self._loss,
            "accepted": self._accepted,
            "gradient": self._gradient,
        }

    def _go_on(self, loss: Tensor, gradient: Tensor, move: Tensor, pairs_up: Tensor) -> None:
        turn = gradient - self._gradient
        curved = _dot(move, turn)
        keeps = pairs_up & (curved > 1e-10 * tf.norm(move) * tf.norm(turn))
        tf.cond(keeps, lambda: self._remember(move, turn, curved), lambda: None)
        self._loss.assign(loss)
        self._gradient.assign(gradient)
        self._accepted.assign(self._image.value)
        direction = self._direction()
        self._image.assign(tf.clip_by_value(self._image.value + direction, 0.0, 255.0))

    def _go_back(self, loss: Tensor, move: Tensor, slope: Tensor) -> None:
        """Tries where a parabola through both losses and the slope has its least."""
        least = -slope / tf.maximum(2 * (loss - self._loss - slope), 1e-30)
        self._image.assign(self._accepted + tf.clip_by_value(least, 0.1, 0.5) * move)

    def _remember(self, move: Tensor, turn: Tensor, curved: Tensor) -> None:
        self._pairs.assign_add(1)
        for rows, newest in ((self._moves, move), (self._turns, turn)):
            # Each variable is handed what the next one holds, and nothing is copied. (Rows of one
            # variable would be copied, all of them and at every reading, once one is assigned.)
            for row, later in zip(rows, [*rows[1:], newest], strict=True):
                row.assign(later)
        along = self._along(self._moves, turn)
        older = tf.concat([self._products[1:, 1:], tf.zeros([1, self._rows - 1])], 0)
        self._products.assign(tf.concat([older, along[:, tf.newaxis]], 1))
        self._scale.assign(curved / _dot(turn, self._coarsened(turn)))

    def _forget(self) -> None:
        self._products.assign(tf.eye(self._rows))
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
        down = -self._coarsened(self._gradient)
        return down * (self._first / tf.maximum(tf.reduce_mean(tf.abs(down)), 1e-30))

    def _quasi_newton(self) -> Tensor:
        """Returns minus the approximate inverse Hessian times the gradient.

        The two loops of algorithm 7.4 in closed form (Byrd, Nocedal and Schnabel 1994): what each
        of them finds, pair by pair, solves a triangular system of the pairs' products.
        """
        products = self._products.value()
        down = -self._gradient.value()

        back = _solved(products, self._along(self._moves, down))
        down -= _combined(self._turns, back)
        down = self._scale * self._coarsened(down)
        along = tf.linalg.diag_part(products) * back - self._along(self._turns, down)
        forth = _solved(products, along, adjoint=True)
        return down + _combined(self._moves, forth)

    def _along(self, rows: Sequence[Tensor], image: Tensor) -> Tensor:
        """Returns the products of the rows that count with an array, [pairs]; of others, 0."""
        products: list[Tensor] = []
        for row in rows:
            with _after(products):
                products.append(_dot(row, image))
        counts = tf.range(self._rows) >= self._rows - self._pairs
        return tf.where(counts, tf.stack(products), 0.0)

    def _coarsened(self, gradient: Tensor) -> Tensor:
        return filtered(gradient, self._filter)


def _combined(rows: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Returns the weighted sum of the rows."""
    sums: list[Tensor] = [tf.zeros_like(rows[0])]
    for row, weight in zip(rows, tf.unstack(weights), strict=True):
        with _after(sums):
            sums.append(sums[-1] + weight * row)
    return sums[-1]


def _after(made: Sequence[Tensor]) -> Any:
    """Has something made after the last: all at a time, they would take an array for each row."""
    return tf.control_dependencies(made[-1:])


def _solved(upper: Tensor, along: Tensor, *, adjoint: bool = False) -> Tensor:
    """Returns what an upper triangular matrix, or its adjoint, takes to a vector, [pairs]."""
    column = along[:, tf.newaxis]
    return tf.linalg.triangular_solve(upper, column, lower=False, adjoint=adjoint)[:, 0]


def _zeros(*shape: int) -> Any:
    return tf.Variable(tf.zeros(shape))


def _dot(one: Tensor, other: Tensor) -> Tensor:
    return tf.reduce_sum(one * other)
