"""The content term: how far activations are from the photo's, position by position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from mnst.backend import tf
from mnst.checks import check_choice
from mnst.objective.regions import as_seen, halvings
from mnst.objective.terms import Layers, Mix, Nest, Seen, Tensor, Term

ContentReduction = Literal["mean", "half_sum"]

_LEAST_DEVIATION = 0.05  # of all channels together
_TINY = 1e-12


class ContentTargets(NamedTuple):
    """What `Content` aims at.

    Attributes:
        features: Layer to F(c), float32 [1, H, W, N]; its channels normalized, if they are to be.
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
        normalized: Compare `normalized_channels`: which places have more of a feature than others,
            not how much there is of it. A style that asks for more of a feature, or for less, then
            stands against it no more.
    """

    layers: Layers
    reduction: ContentReduction = "mean"
    normalized: bool = False

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
        features = self._compared(photo)
        levels = [] if mix.regions is None else halvings(mix.regions.painted[None])
        painted = {
            layer: tf.constant(as_seen(levels, *of.shape[1:3]), tf.float32)
            for layer, of in features.items()
            if levels
        }
        return ContentTargets(features, painted)

    def loss(self, seen: Seen, targets: ContentTargets) -> Tensor:
        """See `Term`."""
        features = self._compared(seen)
        of_layers = [
            weight
            * content_loss(
                features[layer],
                targets.features[layer],
                reduction=self.reduction,
                region=targets.painted.get(layer),
            )[0]
            for layer, weight in self.layer_weights
        ]
        return tf.add_n(of_layers)

    def corrected(self, targets: ContentTargets, full: Seen, small: Seen) -> ContentTargets:
        """See `Term`."""
        of_small, of_full = self._compared(small), self._compared(full)
        features = {
            layer: target + (of_small[layer] - of_full[layer])
            for layer, target in targets.features.items()
        }
        return targets._replace(features=features)

    def _compared(self, seen: Seen) -> dict[str, Tensor]:
        """Returns each layer as it is compared, float32."""
        return {
            layer: normalized_channels(of) if self.normalized else tf.cast(of, tf.float32)
            for layer, of in seen.values.items()
        }


def normalized_channels(features: Tensor) -> Tensor:
    """Returns activations with the mean of each channel taken away, divided by its deviation.

    To the deviation a twentieth of all channels' is added (their root mean square), so that a
    channel which hardly ever answers is not made as loud as the others.

    Args:
        features: Activations [1, H, W, N], any float dtype.

    Returns:
        float32 [1, H, W, N].

    Example:
        >>> import numpy as np
        >>> from mnst.objective.content import normalized_channels
        >>> f = np.array([1, 3], "float32").reshape(1, 1, 2, 1)
        >>> [round(value, 3) for value in normalized_channels(f).numpy().ravel().tolist()]
        [-0.952, 0.952]
    """
    wide = tf.cast(features, tf.float32)
    apart = wide - tf.reduce_mean(wide, axis=[1, 2], keepdims=True)
    variance = tf.reduce_mean(tf.square(apart), axis=[1, 2], keepdims=True)
    # Where all of it is 0 it stays so, and its root has a derivative.
    common = tf.sqrt(tf.reduce_mean(variance) + _TINY)
    return apart / (tf.sqrt(variance + _TINY) + _LEAST_DEVIATION * common)


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
