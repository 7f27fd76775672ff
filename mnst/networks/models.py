"""A Keras model of the user's as a backbone."""

from __future__ import annotations

import bisect
import functools
import hashlib
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnst.backend import keras
from mnst.networks.vgg import select_layers
from mnst.networks.weights import WeightsSource

_LARGEST = 4096  # pixels; no network's smallest picture is larger


@dataclass(frozen=True)
class KerasBackbone:
    """A functional Keras model that measures pictures; a `Backbone`.

    It is used as it is: with the weights that it has, in the precision that it was built for.

    Args:
        model: From pictures of any size, float32 [B, H, W, 3], RGB, 0..255, to a dict of feature
            maps, [B, H', W', N]. Preprocessing belongs into it. The names of its outputs are the
            names of its layers, and their order is the network's.

    Raises:
        ValueError: If the model has other inputs or outputs, or computes in neither float32 nor
            bfloat16.

    Example:
        >>> import keras
        >>> from mnst.networks import get_backbone
        >>> rgb = keras.Input((None, None, 3))
        >>> early = keras.layers.Conv2D(8, 3, strides=2)(rgb / 255)
        >>> late = keras.layers.Conv2D(16, 3, strides=2)(early)
        >>> backbone = get_backbone(keras.Model(rgb, {"early": early, "late": late}))
        >>> backbone.minimum_side(["early"]), backbone.minimum_side(["late"])
        (3, 7)
    """

    model: keras.Model

    def __post_init__(self) -> None:
        outputs = getattr(self.model, "output", None)  # a model of another kind has none
        usable = (
            isinstance(outputs, dict)
            and [tuple(tensor.shape[1:]) for tensor in self.model.inputs] == [(None, None, 3)]
            and all(len(output.shape) == 4 for output in outputs.values())
        )
        if not usable:
            raise ValueError(
                f"backbone is the Keras model {self.name!r}: give one from pictures of any size, "
                f"keras.Input((None, None, 3)), to a dict of feature maps, {{name: [B, H, W, N]}}"
            )
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(
                f"backbone is the Keras model {self.name!r}, whose outputs are {self.precision}: "
                f"give one that computes in float32 or bfloat16"
            )

    @property
    def name(self) -> str:
        """See `Backbone`; the model's."""
        return str(self.model.name)

    @property
    def precision(self) -> str:
        """See `Backbone`."""
        return ", ".join(sorted({output.dtype for output in self.model.output.values()}))

    @functools.cached_property
    def activations(self) -> float:
        """See `Backbone`; a model among the layers counts as if it saw the picture in full size."""
        # So large that what is lost at the edges weighs little.
        side = max(512, 4 * self.minimum_side(self.model.output))
        return _values(self.model, side) / side**2

    def check_layers(self, names: Iterable[str]) -> tuple[str, ...]:
        """See `Backbone`."""
        return select_layers(
            names,
            self.model.output,
            f"the Keras model {self.name!r} has no layer",
            f"give names of its outputs, {', '.join(self.model.output)}",
        )

    def channels(self, name: str) -> int:
        """See `Backbone`."""
        return int(self.model.output[name].shape[-1])

    def minimum_side(self, names: Iterable[str]) -> int:
        """See `Backbone`."""
        through = self._until(self.check_layers(names))

        def has_positions(side: int) -> bool:
            try:
                shapes = through.compute_output_shape((1, side, side, 3))
            except Exception:  # each kind of layer refuses what is too small in its own way
                return False
            return all(min(shape[1:3]) > 0 for shape in shapes.values())

        return 1 + bisect.bisect_left(range(1, _LARGEST), True, key=has_positions)

    def find_weights(self, weights: str | os.PathLike[str] | None = None) -> WeightsSource:
        """See `Backbone`: the model's own weights, by a digest of their values and its form."""
        if weights is not None:
            raise ValueError(
                f"weights is {Path(weights).name}, but backbone is a Keras model, which has its "
                f"own: load them into the model"
            )
        return WeightsSource(self, "Keras model", digest=_digest(self.model))

    def build(self, path: Path | None, layers: tuple[str, ...], dtype: str) -> keras.Model:
        """See `Backbone`: the model with no more than these outputs; it shares the user's layers.

        They aren't frozen, since that would freeze them for the user, too; nothing trains them.
        """
        if dtype != self.precision:
            raise ValueError(
                f"precision is {dtype!r}, but the Keras model {self.name!r} computes in "
                f"{self.precision}: give 'auto', or another model"
            )
        return self._until(layers)

    def _until(self, layers: Iterable[str]) -> keras.Model:
        outputs = {name: self.model.output[name] for name in layers}
        return keras.Model(self.model.inputs[0], outputs, name=self.name)


def _values(model: keras.Model, side: int) -> int:
    """Counts the values that a model's layers put out for a square picture."""
    counts: list[int] = []

    def count(layer: Any, *inputs: Any, **options: Any) -> Any:
        outputs = layer(*inputs, **options)
        if isinstance(layer, keras.Model):
            counts.append(_values(layer, side))
        else:
            counts.extend(math.prod(output.shape) for output in keras.tree.flatten(outputs))
        return outputs

    picture = keras.Input(batch_shape=(1, side, side, model.input_shape[-1]))
    # Not a clone, but the same layers, called once more: one that stands in several models
    # doesn't tell its outputs in this one.
    keras.models.clone_model(
        model, picture, clone_function=lambda layer: layer, call_function=count
    )
    return sum(counts)


def _digest(model: keras.Model) -> str:
    digest = hashlib.sha256(model.to_json().encode())
    for value in map(np.ascontiguousarray, model.get_weights()):
        digest.update(f"{value.dtype}{value.shape}".encode() + value.tobytes())
    return digest.hexdigest()
