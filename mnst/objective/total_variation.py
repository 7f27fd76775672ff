"""The total variation: how much neighbouring pixels differ, against fine noise."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, get_args

from mnst.backend import tf
from mnst.checks import check_choice
from mnst.objective.terms import PICTURE, Nest, Seen, Tensor, Term


@dataclass(frozen=True, kw_only=True)
class TotalVariation(Term):
    """The absolute differences of pixels that are neighbours, along rows and columns.

    Attributes:
        reduction: "mean" over the positions, so that a weight means the same at any size, or
            "sum". The last section of TensorFlow's tutorial has the sum, on pixels in 0..1, with a
            weight of 30: that is `TotalVariation(weight=30 / 255, reduction="sum")`.
        wraps: Whether opposite borders are neighbours, too, as they are in a seamless picture.
    """

    reduction: Literal["mean", "sum"] = "mean"
    wraps: bool = False

    name = "total_variation"
    over_tiles = "join"  # neighbours may lie in two tiles

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("reduction", self.reduction, get_args(Literal["mean", "sum"]))

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The picture itself."""
        return (PICTURE,)

    def periodic(self) -> TotalVariation:
        """See `Term`."""
        return dataclasses.replace(self, wraps=True)

    def see(self, layer: str, features: Tensor, counts: Tensor | None) -> Tensor:
        """See `Term`; the pixels, whatever is kept of the photo: an edge at a mask is one, too."""
        return features

    def loss(self, seen: Seen, targets: Nest) -> Tensor:
        """See `Term`."""
        picture = seen.values[PICTURE]
        if self.wraps:
            turned = [tf.abs(picture - tf.roll(picture, 1, axis)) for axis in (1, 2)]
            varied = tf.reduce_sum(turned)
        else:
            varied = tf.image.total_variation(picture)[0]
        if self.reduction == "sum":
            return varied
        return varied / tf.cast(tf.reduce_prod(tf.shape(picture)[1:3]), tf.float32)
