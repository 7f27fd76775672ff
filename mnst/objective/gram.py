"""The style term: how far Gram matrices are from the styles', K styles at the price of one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from mnst.backend import tf
from mnst.checks import check_choice
from mnst.objective.regions import region_counts
from mnst.objective.terms import Counts, Layers, Losses, Mix, Seen, Tensor, Term
from mnst.objective.zones import Zoned

GramKind = Literal["sum", "mean"]
StyleReduction = Literal["mean", "gatys"]

Grams = Mapping[str, Tensor]


class GramTargets(NamedTuple):
    """What `Gram` aims at.

    Attributes:
        styles: Layer to the Gram matrices A_k of the K styles, [K, N, N].
        mixed: Layer to what is aimed at in each region, [R, N, N]: the mean of the A_k, weighted
            with `Mix.shares`.
        weights: Layer to how much each region weighs, [R]: the sum of the shares in it.
        owned: Layer to how much of each region a style is measured by, [K, R]; see `Mix.owned`.
        spread: How far the styles are from what is aimed at, as much as they weigh, float32 []: the
            part of the loss that no picture changes.
    """

    styles: dict[str, Tensor]
    mixed: dict[str, Tensor]
    weights: dict[str, Tensor]
    owned: dict[str, Tensor]
    spread: Tensor


@dataclass(frozen=True, kw_only=True)
class Gram(Term):
    """sum_k g_k sigma_k L_style_k, with L_style_k a weighted sum over layers of `style_loss`.

    Differentiated as it stands, it would cost a pass per style. But with fixed weights a sum of
    squared errors against several targets is one squared error against their weighted mean, plus
    the styles' own spread about it, which no picture changes:

        sum_k w_k |G - A_k|^2  =  W |G - A|^2  +  sum_k w_k |A_k - A|^2,
        W = sum_k w_k,  A = sum_k w_k A_k / W.

    So the objective that is differentiated holds one style, the weighted mean, and a step costs the
    same whatever the number of styles. The total and the styles' own losses are only measured.

    Where the styles have regions of their own (paper, section 3.4, goes as far as a mask over all
    of them), the Gram matrices differ, and each is compared with its own style's.

    Attributes:
        layers: Weight of each of the network's layers.
        kind: "sum" over the positions (article, paper eq. 3), or "mean" (tutorial).
        reduction: "mean" over the N x N entries of (G - A)^2 (article, tutorial), or "gatys",
            1/(4 N^2 M^2) sum of it (paper, eq. 4).
    """

    layers: Layers
    kind: GramKind = "sum"
    reduction: StyleReduction = "mean"

    name = "gram"
    takes_zones = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("kind", self.kind, get_args(GramKind))
        check_choice("reduction", self.reduction, get_args(StyleReduction))

    def see(self, layer: str, features: Tensor, counts: Counts | None) -> Tensor:
        """See `Term`; the sum of F_p F_p^T over positions p, [B, N, N] or [R, N, N]."""
        return gram_sum(features, counts)

    def grams(self, seen: Seen) -> dict[str, Tensor]:
        """Returns the Gram matrices of this kind, given what was seen."""
        if self.kind == "sum":
            return seen.values
        return {layer: of / seen.positions[layer] for layer, of in seen.values.items()}

    def style_target(self, style: Seen, photo: Seen) -> dict[str, Tensor]:
        """Returns a style's Gram matrices, brought to the photo's number of positions.

        A summed Gram grows with the number of positions M, so a style's is multiplied by
        M_photo / M_style; neither text says it, but without it a style image of another size asks
        for another brightness of the activations. A mean Gram needs nothing.
        """
        grams = {layer: of[0] for layer, of in self.grams(style).items()}
        if self.kind == "mean":
            return grams
        return {
            layer: photo.positions[layer] * (gram / style.positions[layer])
            for layer, gram in grams.items()
        }

    def targets(self, photo: Seen, styles: Grams, mix: Mix) -> GramTargets:
        """See `Term`."""
        mixed, weights = mix.mixed(styles)
        of_layers = []
        for layer, weight in self.layer_weights:
            # A region at a time, for many styles' sake.
            apart = [
                self._distance(layer, mean, styles[layer], photo.positions)
                for mean in tf.unstack(mixed[layer])
            ]
            shares = tf.constant(mix.shares(layer), tf.float32)
            of_layers.append(weight * tf.reduce_sum(shares * tf.stack(apart)))
        return GramTargets(
            dict(styles),
            mixed,
            {layer: tf.constant(of, tf.float32) for layer, of in weights.items()},
            {layer: tf.constant(mix.owned(layer), tf.float32) for layer in mixed},
            tf.add_n(of_layers),
        )

    def losses(self, name: str, seen: Seen, targets: GramTargets, weight: Tensor) -> Losses:
        """See `Term`; the styles' losses are named NAME_1 to NAME_K, each over its own region."""
        grams, positions = self.grams(seen), seen.positions
        of_regions, of_styles = [], []
        for layer, of_layer in self.layer_weights:
            apart = self._distance(layer, grams[layer], targets.mixed[layer], positions)
            of_regions.append(of_layer * tf.reduce_sum(targets.weights[layer] * apart))
            own = of_each_style(grams[layer], targets.owned[layer])
            of_styles.append(
                of_layer * self._distance(layer, own, targets.styles[layer], positions)
            )
        objective = weight * tf.add_n(of_regions)
        each = tf.unstack(tf.add_n(of_styles))
        return Losses(
            objective,
            total=objective + weight * targets.spread,
            named={f"{name}_{k}": loss for k, loss in enumerate(each, start=1)},
        )

    def corrected(self, targets: GramTargets, full: Seen, small: Seen) -> GramTargets:
        """See `Term`."""
        of_full = self.grams(full)
        moves = {layer: of - of_full[layer] for layer, of in self.grams(small).items()}
        return targets._replace(
            styles={
                layer: of + of_each_style(moves[layer], targets.owned[layer])
                for layer, of in targets.styles.items()
            },
            mixed={layer: of + moves[layer] for layer, of in targets.mixed.items()},
        )

    def distances(self, styles: Grams, photo: Seen) -> Tensor:
        """Returns the style loss of every style's Gram matrices against every other's.

        Args:
            styles: From `style_target`, stacked, [K, N, N] each.
            photo: What is seen of the content image; its numbers of positions are looked at.

        Returns:
            float32 [K, K], symmetric, 0 on the diagonal: what the closed form of sigma rests on.
        """
        count = next(iter(styles.values())).shape[0]
        # A row at a time: all at once, the differences of 40 styles would take gigabytes.
        of_layers = []
        for layer, weight in self.layer_weights:
            rows = [
                self._distance(layer, styles[layer][k], styles[layer], photo.positions)
                for k in range(count)
            ]
            of_layers.append(weight * tf.stack(rows))
        return tf.add_n(of_layers)

    def _distance(
        self, layer: str, gram: Tensor, target: Tensor, positions: Mapping[str, Tensor]
    ) -> Tensor:
        return style_loss(gram, target, reduction=self.reduction, positions=positions[layer])


def of_each_style(of_regions: Tensor, owned: Tensor) -> Tensor:
    """Returns means over what each style is measured by, [K, ..], given those of regions, [R, ..].

    One region that all of them share is not laid out for each: [1, ..].
    """
    return of_regions if owned.shape[1] == 1 else tf.tensordot(owned, of_regions, axes=1)


def gram_matrix(
    features: Tensor, *, kind: GramKind = "sum", region: Tensor | None = None
) -> Tensor:
    """Returns the Gram matrix G = F F^T of a layer (paper, eq. 3).

    With a region t it is that of the region, brought to all M positions of the layer, so that it
    is measured against the same targets: G = M / sum_p t_p * sum_p t_p F_p F_p^T.

    Args:
        features: Activations [B, H, W, N], any float dtype.
        kind: "sum" over the M = H * W positions (article, paper), or their "mean" (TensorFlow's
            tutorial).
        region: How much each position counts, float32 [R, H, W] in 0..1; not all 0. R is B, or
            either of them 1.

    Returns:
        float32 [B, N, N], or [R, N, N] for the regions of one picture.

    Example:
        >>> import mnst, numpy as np
        >>> mnst.gram_matrix(np.ones((1, 4, 5, 2), "float32"))[0].numpy().tolist()
        [[20.0, 20.0], [20.0, 20.0]]
        >>> half = np.repeat([[1, 1, 0, 0, 0]], 4, axis=0)[None].astype("float32")
        >>> mnst.gram_matrix(np.ones((1, 4, 5, 2), "float32"), region=half)[0].numpy().tolist()
        [[20.0, 20.0], [20.0, 20.0]]
    """
    features = tf.convert_to_tensor(features)
    gram = gram_sum(features, None if region is None else region_counts(region))
    return (
        gram / tf.cast(tf.shape(features)[1] * tf.shape(features)[2], tf.float32)
        if kind == "mean"
        else gram
    )


def gram_sum(features: Tensor, counts: Counts | None = None) -> Tensor:
    """Returns the sum of F_p F_p^T over positions p, each counted `counts` times.

    Sums over the parts of a layer add up to the sum over the layer.

    Args:
        features: Activations [B, H, W, N], any float dtype.
        counts: float32 [R, H, W], 0 or more, from `region_counts`; R is B, or either of them 1. Or
            a `Zoned`, for the zones of one picture.

    Returns:
        float32 [B, N, N], or [R, N, N].
    """
    if isinstance(counts, Zoned):
        return zone_sums(features, counts)[..., :-1]
    if counts is not None:
        # The Gram matrix of sqrt(t) F counts every position t times.
        features = tf.sqrt(counts)[..., tf.newaxis] * tf.cast(features, tf.float32)
    shape = tf.shape(features)
    flat = tf.reshape(features, [shape[0], -1, features.shape[-1]])
    return _product(flat.dtype, features.shape[-1])(flat)


@functools.cache
def _product(dtype: Any, channels: int) -> Callable[[Tensor], Tensor]:
    """Returns the function that takes [B, M, N] to F^T F, float32 [B, N, N].

    The gradient that TensorFlow derives by itself takes two float32 products where one in the
    features' own dtype gives the same: nearly half of the time of a Gram matrix, or two thirds.

    TensorFlow registers a custom gradient for good whenever it is traced, and with it the graph
    around it. So it has a graph of its own, the same for all sizes of pictures: otherwise each new
    size would take some 30 MB that no one gets back.
    """

    def product(features: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        wide = tf.cast(features, tf.float32)

        def gradient(upstream: Tensor) -> Tensor:
            both = upstream + tf.linalg.matrix_transpose(upstream)
            return tf.matmul(features, tf.cast(both, features.dtype))

        return tf.matmul(wide, wide, transpose_a=True), gradient

    # Through `partial`, since TensorFlow counts tracings by a function's code, and warns of many.
    compiled: Callable[[Tensor], Tensor] = tf.function(
        functools.partial(tf.custom_gradient(product)),
        input_signature=[tf.TensorSpec([None, None, channels], dtype)],
    )
    return compiled


def zone_sums(features: Tensor, zones: Zoned) -> Tensor:
    """Returns sums over positions in each zone, each counted as often as it does there.

    All positions are laid out level by level. The sums of each level are taken once, and those of
    the zones are put together from them: Z zones cost little more than the whole layer.

    Args:
        features: Activations [1, h, w, N], any float dtype.
        zones: Of Z zones.

    Returns:
        float32 [Z, N, N + 1]: the sums of F_p F_p^T, and behind them a column, those of F_p.
    """
    channels = features.shape[-1]
    flat = tf.reshape(features, [-1, channels])
    order, ends = tf.convert_to_tensor(zones.order), tf.convert_to_tensor(zones.ends)
    weights = tf.gather(tf.reshape(zones.weights, [-1, 1]), order)
    return _zoned_product(flat.dtype, channels)(flat, order, ends, weights, zones.table)


@functools.cache
def _zoned_product(dtype: Any, channels: int) -> Callable[..., Tensor]:
    """Returns what `zone_sums` is, of positions [M, N]; for its graph of its own see `_product`."""

    def product(
        features: Tensor, order: Tensor, ends: Tensor, weights: Tensor, table: Tensor
    ) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor | None, ...]]]:
        ordered = tf.gather(features, order)

        def sums(level: Tensor) -> Tensor:
            wide = tf.cast(ordered[ends[level] : ends[level + 1]], tf.float32)
            weighed = weights[ends[level] : ends[level + 1]] * wide
            of_one = tf.reduce_sum(weighed, axis=0)[:, tf.newaxis]
            return tf.concat([tf.matmul(weighed, wide, transpose_a=True), of_one], axis=1)

        levels = tf.range(tf.shape(table)[1])
        of_levels = tf.TensorSpec([channels, channels + 1], tf.float32)
        of_each = tf.map_fn(sums, levels, fn_output_signature=of_levels)

        def gradient(upstream: Tensor) -> tuple[Tensor | None, ...]:
            asked = tf.tensordot(table, upstream, axes=[[0], [0]])
            products, ones = asked[..., :-1], tf.cast(asked[..., -1], dtype)
            both = tf.cast(products + tf.linalg.matrix_transpose(products), dtype)

            def pulled(level: Tensor, parts: Any) -> tuple[Tensor, Any]:
                here = slice(ends[level], ends[level + 1])
                of_level = tf.matmul(ordered[here], both[level]) + ones[level]
                return level + 1, parts.write(level, tf.cast(weights[here], dtype) * of_level)

            parts = tf.TensorArray(
                dtype, tf.size(levels), infer_shape=False, element_shape=[None, channels]
            )
            _, parts = tf.while_loop(lambda level, _: level < tf.size(levels), pulled, (0, parts))
            placed = tf.gather(parts.concat(), tf.math.invert_permutation(order))
            return placed, None, None, None, None

        return tf.tensordot(table, of_each, axes=1), gradient

    compiled: Callable[..., Tensor] = tf.function(
        functools.partial(tf.custom_gradient(product)),
        input_signature=[
            tf.TensorSpec([None, channels], dtype),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None, 1], tf.float32),
            tf.TensorSpec([None, None], tf.float32),
        ],
    )
    return compiled


def style_loss(
    gram: Tensor,
    target: Tensor,
    *,
    reduction: StyleReduction = "mean",
    positions: Tensor | int | None = None,
) -> Tensor:
    """Returns how far a layer's Gram matrix is from a style's.

    Args:
        gram: G, the picture's, [..., N, N].
        target: A, the style's, brought to the picture's number of positions; broadcast with
            `gram`.
        reduction: "mean" over the N x N squared differences (article, tutorial), or "gatys",
            E = 1/(4 N^2 M^2) times their sum (paper, eq. 4).
        positions: M, the picture's number of positions at that layer; "gatys" needs it.

    Returns:
        float32 [...].

    Raises:
        ValueError: If "gatys" is asked for without `positions`.

    Example:
        >>> import mnst, numpy as np
        >>> gram, target = np.zeros((1, 2, 2), "float32"), np.full((1, 2, 2), 6, "float32")
        >>> float(mnst.style_loss(gram, target)[0])
        36.0
        >>> float(mnst.style_loss(gram, target, reduction="gatys", positions=3)[0])
        1.0
    """
    mean = tf.reduce_mean(tf.math.squared_difference(gram, target), axis=[-2, -1])
    if reduction == "mean":
        return mean
    if positions is None:
        raise ValueError("reduction 'gatys' needs positions, the picture's H * W at that layer")
    # 1/(4 N^2 M^2) sum = 1/(4 M^2) mean, since the mean is over N^2 entries.
    return mean / (4.0 * tf.cast(positions, tf.float32) ** 2)
