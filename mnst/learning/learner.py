"""The learner: step by step it teaches a network what a scene asks for, at drawn positions.

A step draws a position of the controls, lets the network paint it, and moves the network where the
scene's own losses send the picture. Coarse sizes come first, as in any painting; the full size has
the last word. Which position a step draws, in which size and how far it moves depends on the
number of the step alone. So a learner that goes on where another has stopped makes the same bytes.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mnst.backend import keras, tf
from mnst.engine.trainer import DivergenceError, StepRecord
from mnst.learning.controls import Controls, Position
from mnst.learning.network import WHOLE, LiveNetwork, Window
from mnst.objective.losses import Targets, mixed_losses
from mnst.objective.terms import Tensor
from mnst.painting.at_size import AtSize
from mnst.painting.canvas import Canvas
from mnst.painting.mixture import Mixture
from mnst.painting.transfer import StyleTransfer

BETWEEN_LOOKS = 50
"""How many steps there are between two looks at how far the network is."""

_COARSE = 30  # steps in each size but the last
_RATE = 0.01  # in the coarse sizes
_HALVED_IN = 150  # steps in the last size, after which they are half as large
# What is shown is a mean over so much of the steps in the last size: each step serves one position,
# and undoes a little of what others have gained.
_MEAN_OF = 1 / 8
_BETA_1, _BETA_2 = 0.7, 0.95  # less is remembered than usual: the next position is another

# It has learnt what it can, when in so many looks less than a hundredth of the loss was gained.
_LOOKS, _LEAST_GAIN = 3, 0.01


class Learner:
    """A network that learns a scene.

    Args:
        transfer: The scene, opened.
        controls: What can be moved.
        seed: Of what is drawn.

    Attributes:
        network: What learns.
        shown: What has been learnt: the mean of what `network` was in the last steps.
        step: How many steps that took.
        looks: What was found whenever it looked how far it is.
    """

    def __init__(self, transfer: StyleTransfer, controls: Controls, seed: int = 0) -> None:
        scene = transfer.scene
        self._recipe, self._controls, self._seed = scene.recipe, controls, seed
        self.network = LiveNetwork(
            *scene.canvases[-1].painted_sides,
            **controls.of_network,
            wraps=scene.seamless,
            seed=seed,
        )
        self.shown = self.network.copy()
        self._adam = keras.optimizers.Adam(_RATE, beta_1=_BETA_1, beta_2=_BETA_2)
        self._adam.build([*self.network.variables.values()])
        self._sizes = [
            _Size(at, self.network, self.shown, self._adam, scene.canvases[-1])
            for at in transfer.sizes
        ]
        full = self._sizes[-1]
        self._landmarks = [
            (tf.constant(controls.vector(each)), self._targets(full, each))
            for each in controls.landmarks
        ]
        # Of the photo, with which a network begins.
        self._at_first = self._totals()
        self.step, self._seconds = 0, 0.0
        self.looks: list[StepRecord] = []
        remembered = {f"adam_{k}": variable for k, variable in enumerate(self._adam.variables)}
        shown = {f"shown_{name}": variable for name, variable in self.shown.variables.items()}
        self._variables = {**self.network.variables, **shown, **remembered}

    def learn(self, steps: int) -> Iterator[StepRecord | None]:
        """Learns until so many steps are behind it, or nothing is gained any more.

        Yields:
            After every step None; or, when it has looked how far it is, a record. Its loss "left"
            is what is left of the photo's loss: the geometric mean over `Controls.landmarks`.

        Raises:
            DivergenceError: If a loss is no number.
        """
        while True:
            ended = self.step >= steps
            if ended or self.step % BETWEEN_LOOKS == 0:
                yield self.look()
                if ended or self._has_learnt:
                    return
            self._take_step()
            yield None

    def look(self) -> StepRecord:
        """Looks how far the network is."""
        if self.looks and self.looks[-1].step == self.step:
            return self.looks[-1]
        left = self._totals() / self._at_first if self.step else np.ones(1)
        record = StepRecord(
            step=self.step,
            losses={"left": float(np.exp(np.log(left).mean()))},
            learning_rate=self._of_step(self.step)[1],
            seconds=self._seconds,
            size=max(self._sizes[-1].at.canvas.sides),
        )
        self.looks.append(record)
        return record

    def _totals(self) -> np.ndarray:
        """Returns the total loss at each landmark."""
        totals = [float(self._sizes[-1].total(*landmark)) for landmark in self._landmarks]
        return np.maximum(totals, 1e-12)  # not 0, which a style that is the photo itself may have

    def as_arrays(self) -> dict[str, np.ndarray]:
        """Returns all that it takes to go on from here, but for `looks`, by name."""
        return {name: np.asarray(variable) for name, variable in self._variables.items()}

    def go_on_from(self, arrays: Mapping[str, np.ndarray], looks: Sequence[StepRecord]) -> None:
        """Goes on where another has stopped.

        Args:
            arrays: Its `as_arrays`.
            looks: Its own.

        Raises:
            ValueError: If it has learnt another scene.
        """
        shapes = {name: tuple(variable.shape) for name, variable in self._variables.items()}
        if {name: array.shape for name, array in arrays.items()} != shapes or not looks:
            raise ValueError("what is learnt is of another network")
        for name, variable in self._variables.items():
            variable.assign(arrays[name])
        self.looks = list(looks)
        self.step, self._seconds = looks[-1].step, looks[-1].seconds

    def _take_step(self) -> None:
        began = time.perf_counter()
        size, rate, fresh = self._of_step(self.step)
        random = np.random.default_rng([self._seed, self.step])
        position = self._controls.drawn(self.step, random)
        total = float(
            size.teach(
                tf.constant(self._controls.vector(position)),
                self._targets(size, position),
                tf.constant(rate, tf.float32),
                tf.constant(fresh, tf.float32),
            )
        )
        if not math.isfinite(total):
            raise DivergenceError(self.step, "total", total, None)
        self.step += 1
        self._seconds += time.perf_counter() - began

    def _of_step(self, step: int) -> tuple[_Size, float, float]:
        """Returns in which size a step is taken, how far it goes, and its part of what is shown."""
        coarse = len(self._sizes) - 1
        size = min(step // _COARSE, coarse)
        fine = max(step - coarse * _COARSE, 0)
        rate = _RATE * 0.5 ** (fine / _HALVED_IN)
        return self._sizes[size], rate, 1 / (1 + _MEAN_OF * fine)

    def _targets(self, size: _Size, position: Position) -> Targets:
        """Returns what a position asks for in a size."""
        recipe, controls = self._recipe, self._controls
        if position.strength != controls.strength:
            recipe = recipe.replace(strength=position.strength)
        mixture = Mixture.of(position.gamma, controls.styles, recipe)
        return size.at.targets(recipe, size.at.mix(mixture, controls.sigma))

    @property
    def _has_learnt(self) -> bool:
        """Whether the last looks, all of them in the last size, have found hardly any gain."""
        coarse = (len(self._sizes) - 1) * _COARSE
        regular = [look for look in self.looks if look.step % BETWEEN_LOOKS == 0]
        fine = [look.losses["left"] for look in regular if look.step > coarse]
        return len(fine) > _LOOKS and fine[-1] > (1 - _LEAST_GAIN) * min(fine[:-_LOOKS])


class _Size:
    """One of the sizes that a scene is painted in, as a network learns in it.

    Args:
        at: The scene in that size.
        network: Who learns.
        shown: What is shown of it.
        adam: Keras' Adam, built for the network's variables.
        full: The canvas of the last size: that is what the network paints, with its margin.
    """

    def __init__(
        self, at: AtSize, network: LiveNetwork, shown: LiveNetwork, adam: Any, full: Canvas
    ) -> None:
        self.at, self._network, self._shown, self._adam = at, network, shown, adam
        canvas, is_full = at.canvas, at.canvas is full
        self._beneath = tf.constant(canvas.content if is_full else canvas.photo)
        self._window = WHOLE if is_full else inner_window(full)
        self._margin = None if is_full else canvas.margin
        self.teach = tf.function(functools.partial(self._teach))
        self.total = tf.function(functools.partial(self._total))

    def _teach(self, position: Tensor, targets: Targets, rate: Tensor, fresh: Tensor) -> Tensor:
        """Moves the network towards what is asked for at a position; returns the total loss.

        What is followed is the logarithm of the loss: positions of much loss, such as those of
        little strength, would outweigh all others.
        """
        with tf.GradientTape() as tape:
            painting = self._painting(position, self._network)
        picture = _picture(painting, targets)
        _, gradient, losses = self.at.trainer.step_evaluator.gradient(picture, targets)
        gradient = tf.math.divide_no_nan(gradient, losses["total"])
        if targets.kept:
            gradient = (1.0 - targets.kept[1]) * gradient
        # What leaves the range of pixels is seen as their last value, and called back alone.
        leaves = ((painting < 0.0) & (gradient > 0.0)) | ((painting > 255.0) & (gradient < 0.0))
        gradient = tf.where(leaves, 0.0, gradient)
        learnt = [variable.value for variable in self._network.variables.values()]
        gradients = tape.gradient(painting, learnt, output_gradients=gradient)
        for variable, towards in zip(self._network.variables.values(), gradients, strict=True):
            if towards is not None:  # a small picture does not show the finest glazes
                # Not by apply(); see `mnst.optimizers.adam`.
                self._adam.update_step(towards, variable, rate)
        self._adam.iterations.assign_add(1)
        for name, variable in self._network.variables.items():
            mean = self._shown.variables[name]
            mean.assign_add(fresh * (variable.value - mean.value))
        return losses["total"]

    def _total(self, position: Tensor, targets: Targets) -> Tensor:
        """Returns the total loss of what is shown at a position."""
        trainer = self.at.trainer
        picture = _picture(self._painting(position, self._shown), targets)
        seen = trainer.step_evaluator.statistics(picture, places=targets.places)
        return mixed_losses(seen, targets, trainer.recipe)[1]["total"]

    def _painting(self, position: Tensor, network: LiveNetwork) -> Tensor:
        """Returns what a network paints in this size, with what is painted around it."""
        painting = network(self._beneath, position, self._window)
        if self._margin is None:
            return painting
        # A margin is so many pixels in every size, and so more of a smaller picture than the
        # network has. Here, where it is far from the last word, what lies within is mirrored.
        for axis, widths in ((1, self._margin.rows), (2, self._margin.columns)):
            places = np.pad(np.arange(painting.shape[axis]), widths, "symmetric")
            painting = tf.gather(painting, places, axis=axis)
        return painting


def _picture(painting: Tensor, targets: Targets) -> Tensor:
    """Returns what is seen of a painting: pixels in their range, and those that are kept."""
    picture = tf.clip_by_value(painting, 0.0, 255.0)
    if not targets.kept:
        return picture
    photo, mask = targets.kept
    return mask * photo + (1.0 - mask) * picture


def inner_window(canvas: Canvas) -> Window:
    """Returns which part of what is painted on a canvas is the picture."""
    (top, bottom), (left, right) = canvas.margin
    height, width = canvas.painted_sides
    return Window(top / height, 1 - bottom / height, left / width, 1 - right / width)
