"""A picture's statistics and gradient, from one pass of the network over the whole of it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

from mnst.backend import tf
from mnst.objective.losses import (
    EVERYWHERE,
    Objective,
    Places,
    Statistics,
    Targets,
    mixed_losses,
    statistics,
)
from mnst.objective.terms import PICTURE, Tensor

NamedLosses = dict[str, Tensor]


class Evaluator(Protocol):
    """What measures pictures for the loop: `Whole`, or `mnst.engine.tiled.Tiled`."""

    def statistics(self, image: Any, *, places: Places = EVERYWHERE) -> Statistics:
        """Returns what the losses know of a picture, [1, H, W, 3]."""

    def gradient(self, image: Tensor, targets: Targets) -> tuple[Tensor, Tensor, NamedLosses]:
        """Returns the objective, its gradient, float32 [1, H, W, 3], and all losses by name."""


class Whole:
    """Measures a picture in one pass of the network: the fastest, where its activations fit.

    Args:
        extractor: From float32 [1, H, W, 3], 0..255, to a dict of layer name to features.
        recipe: Which losses.
    """

    def __init__(self, extractor: Callable[[Tensor], Any], recipe: Objective) -> None:
        self._extractor = extractor
        self._recipe = recipe
        # Compiled, as the step is: op by op, bfloat16 activations are rounded more often, and the
        # content image would not have the features that the step sees. Styles of other sizes share
        # a second tracing. Through `partial`, since TensorFlow counts tracings by their code,
        # and would warn of those for several sizes.
        self._compiled = tf.function(functools.partial(self._seen), reduce_retracing=True)

    def statistics(self, image: Any, *, places: Places = EVERYWHERE) -> Statistics:
        """See `Evaluator`."""
        # TensorFlow traces dicts, and no other mappings.
        seen: Statistics = self._compiled(image, Places(places.regions, dict(places.zones)))
        return seen

    def gradient(self, image: Tensor, targets: Targets) -> tuple[Tensor, Tensor, NamedLosses]:
        """See `Evaluator`."""
        with tf.GradientTape() as tape:
            tape.watch(image)
            seen = self._seen(image, targets.places)
            objective, losses = mixed_losses(seen, targets, self._recipe)
        return objective, tape.gradient(objective, image), losses

    def _seen(self, image: Tensor, places: Places) -> Statistics:
        features = {PICTURE: image, **self._extractor(image)}
        return statistics(features, self._recipe, places=places)
