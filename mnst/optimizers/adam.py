"""Keras' Adam, with a rate that decays exponentially (article, "The Setup")."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mnst.backend import keras, tf
from mnst.checks import check_number, check_whole, settle
from mnst.optimizers.base import OptimizerState, Tensor
from mnst.optimizers.frequency import coarse_first, filtered


@dataclass(frozen=True, kw_only=True)
class Adam:
    """Adam with exponential decay.

    Attributes:
        learning_rate: The initial step, in units of pixel values 0..255.
        decay_steps: The learning rate is multiplied by `decay_rate` once every so many steps,
            smoothly.
        decay_rate: In (0, 1]; 1 is a constant rate.
        beta_1: Decay of the first moment.
        beta_2: Decay of the second moment.
        epsilon: In units of the gradient with respect to 0..255 pixels.
        frequency_floor: Divides the gradient by the spatial frequency, those below so many cycles
            per pixel alike (0.01 is L-BFGS'), so that coarse forms move first. 0 does not.

    Raises:
        ValueError: If a value is out of its range.
    """

    learning_rate: float = 12.0
    decay_steps: int = 100
    decay_rate: float = 0.6
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    frequency_floor: float = 0.0

    name = "adam"
    arrays = 2  # its moments
    resumes = True

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[Callable[[float], bool], str]] = {
            "learning_rate": (lambda v: v > 0, "more than 0"),
            "decay_rate": (lambda v: 0 < v <= 1, "in (0, 1]"),
            "beta_1": (lambda v: 0 <= v < 1, "in [0, 1)"),
            "beta_2": (lambda v: 0 <= v < 1, "in [0, 1)"),
            "epsilon": (lambda v: v > 0, "more than 0"),
            "frequency_floor": (lambda v: v >= 0, "0 or more"),
        }
        for field, of_field in ranges.items():
            settle(self, **{field: check_number(field, getattr(self, field), *of_field)})
        settle(self, decay_steps=check_whole("decay_steps", self.decay_steps))

    def start(self, image: Any) -> AdamState:
        """See `Optimizer`."""
        return AdamState(self, image)


class AdamState(OptimizerState):
    """Keras' Adam at work on a picture; see `OptimizerState`."""

    def __init__(self, settings: Adam, image: Any) -> None:
        self._image = image
        self._schedule = keras.optimizers.schedules.ExponentialDecay(
            settings.learning_rate, settings.decay_steps, settings.decay_rate
        )
        self._adam = keras.optimizers.Adam(
            self._schedule, beta_1=settings.beta_1, beta_2=settings.beta_2, epsilon=settings.epsilon
        )
        self._adam.build([image])
        self._filter = None
        if settings.frequency_floor:
            _, height, width, _ = image.shape
            self._filter = tf.constant(coarse_first(height, width, settings.frequency_floor))

    def update(self, loss: Tensor, gradient: Tensor, comparable: Tensor) -> None:
        """See `OptimizerState`; it looks at the gradient alone."""
        if self._filter is not None:
            gradient = filtered(gradient, self._filter)
        # Keras' apply() would send it through an all-reduce, of which TensorFlow keeps every
        # tracing for good: memory would grow with each new size of pictures.
        self._adam.update_step(gradient, self._image, self._adam.learning_rate)
        self._adam.iterations.assign_add(1)
        self._image.assign(tf.clip_by_value(self._image.value, 0.0, 255.0))

    def begin(self, step: int) -> None:
        """See `OptimizerState`; the moments are what it remembers."""
        if not step:
            for variable in self._adam.variables:
                variable.assign(keras.ops.zeros_like(variable))
        self._adam.iterations.assign(step)

    def go_on_from(self, before: AdamState, step: int) -> None:
        """See `OptimizerState`; the moments are enlarged, and the learning rate goes on falling."""
        sides = self._image.shape[1:3]
        for variable, of_before in zip(self._adam.variables, before._adam.variables, strict=True):
            if variable.shape == self._image.shape:
                variable.assign(tf.image.resize(of_before.value, sides))
        self._adam.iterations.assign(step)

    def learning_rate(self, step: int) -> float:
        """See `OptimizerState`; of single pixels, at the most."""
        return float(self._schedule(step))

    @property
    def variables(self) -> dict[str, Any]:
        """See `OptimizerState`; the number of steps, on which the learning rate depends, as well.

        Keras' names of them depend on what else was made in the process.
        """
        return {f"adam_{k}": variable for k, variable in enumerate(self._adam.variables)}
