"""The content term: how far activations are from the photo's, position by position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from mnst.backend import tf
from mnst.checks import check_choice
from mnst.objective.regions import as_seen, halvings
from mnst.objective.terms import Layers, Mix, Nest, Seen, Tensor, Term

ContentReduction = Literal["mean", "half_sum"]


class ContentTargets(NamedTuple):
    """What `Content` aims at.

    Attributes:
        features: Layer to F(c), float32 [1, H, W, N].
        painted: Layer to where the picture is painted at all, float32 [1, H, W]; empty without
            masks.
    """

    features: dict[str, Tensor]
    painted: dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Content(Term):
    """L_content, a weighted sum over layers of `content_loss`.

    Attributes:
        layers: Weight of each of the network's layers.
        reduction: "mean" of (F - P)^2 (article, tutorial), or "half_sum", 1/2 sum of it (paper,
            eq. 2).
    """

    layers: Layers
    reduction: ContentReduction = "mean"

    name = "content"
    over_tiles = "join"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("reduction", self.reduction, get_args(ContentReduction))

    def see(self, layer: str, features: Tensor, counts: Tensor | None) -> Tensor:
        """See `Term`; the activations themselves."""
        return features

    def targets(self, photo: Seen, styles: Nest, mix: Mix) -> ContentTargets:
        """See `Term`."""
        features = {layer: tf.cast(of, tf.float32) for layer, of in photo.values.items()}
        levels = [] if mix.regions is None else halvings(mix.regions.painted[None])
        painted = {
            layer: tf.constant(as_seen(levels, *of.shape[1:3]), tf.float32)
            for layer, of in features.items()
            if levels
        }
        return ContentTargets(features, painted)

    def loss(self, seen: Seen, targets: ContentTargets) -> Tensor:
        """See `Term`."""
        of_layers = [
            weight
            * content_loss(
                seen.values[layer],
                targets.features[layer],
                reduction=self.reduction,
                region=targets.painted.get(layer),
            )[0]
            for layer, weight in self.layer_weights
        ]
        return tf.add_n(of_layers)

    def corrected(self, targets: ContentTargets, full: Seen, small: Seen) -> ContentTargets:
        """See `Term`."""
        features = {}
        for layer, target in targets.features.items():
            of_small, of_full = (tf.cast(seen.values[layer], tf.float32) for seen in (small, full))
            features[layer] = target + (of_small - of_full)
        return targets._replace(features=features)


def content_loss(
    features: Tensor,
    target: Tensor,
    *,
    reduction: ContentReduction = "mean",
    region: Tensor | None = None,
) -> Tensor:
    """Returns how far a layer's activations are from the content image's.

    Args:
        features: F(x), activations of the picture, [B, H, W, N].
        target: F(c), those of the content image, same shape.
        reduction: "mean" of the squared differences (article, tutorial), or "half_sum", half
            their sum (paper, eq. 2).
        region: How much each position counts, float32 [B, H, W] in 0..1. The mean stays one over
            all positions: one that counts in full counts as much as without a region.

    Returns:
        float32 [B].

    Example:
        >>> import mnst, numpy as np
        >>> f = np.ones((1, 2, 2, 3), "float32")
        >>> float(mnst.content_loss(f, 3 * f)[0]), float(
        ...     mnst.content_loss(f, 3 * f, reduction="half_sum")[0]
        ... )
        (4.0, 24.0)
    """
    squared = tf.math.squared_difference(tf.cast(features, tf.float32), tf.cast(target, tf.float32))
    if region is not None:
        squared *= region[..., tf.newaxis]
    if reduction == "half_sum":
        return 0.5 * tf.reduce_sum(squared, axis=[-3, -2, -1])
    return tf.reduce_mean(squared, axis=[-3, -2, -1])
