"""Gram matrices, content loss, style loss, and the mixed objective, in the tutorial's vocabulary.

Whatever the network computes in, Gram matrices and losses are float32: summed Grams reach 1e10
and their squares 1e20, which float16 can't hold, and a mean over so many terms needs the mantissa.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mnst.backend import tf
from mnst.objective.regions import Regions, as_seen, halvings
from mnst.recipes import ContentReduction, GramKind, Recipe, StyleReduction

Tensor = Any
Features = Mapping[str, Tensor]


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
    return gram / _positions(features) if kind == "mean" else gram


def gram_sum(features: Tensor, counts: Tensor | None = None) -> Tensor:
    """Returns the sum of F_p F_p^T over positions p, each counted `counts` times.

    Sums over the parts of a layer add up to the sum over the layer.

    Args:
        features: Activations [B, H, W, N], any float dtype.
        counts: float32 [R, H, W], 0 or more, from `region_counts`; R is B, or either of them 1.

    Returns:
        float32 [B, N, N], or [R, N, N].
    """
    if counts is not None:
        # The Gram matrix of sqrt(t) F counts every position t times.
        features = tf.sqrt(counts)[..., tf.newaxis] * tf.cast(features, tf.float32)
    shape = tf.shape(features)
    return _products(tf.reshape(features, [shape[0], -1, features.shape[-1]]))


def region_counts(region: Tensor) -> Tensor:
    """Returns how often each position counts, so that a region counts as much as the whole layer.

    Args:
        region: float32 [R, H, W] in 0..1; not all 0.

    Returns:
        The same, divided by its mean over each layer.
    """
    return region / tf.reduce_mean(region, axis=[-2, -1], keepdims=True)


def _products_and_gradient(features: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Returns F^T F of [B, M, N], float32, and its gradient, which is F (U + U^T) in F's dtype."""
    wide = tf.cast(features, tf.float32)

    def gradient(upstream: Tensor) -> Tensor:
        both = upstream + tf.linalg.matrix_transpose(upstream)
        return tf.matmul(features, tf.cast(both, features.dtype))

    return tf.matmul(wide, wide, transpose_a=True), gradient


# The gradient that TensorFlow derives by itself takes two float32 products where one in the
# features' own dtype gives the same: nearly half of the time of a Gram matrix, or two thirds.
_products = tf.custom_gradient(_products_and_gradient)


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


class Statistics(NamedTuple):
    """All that the losses know of a picture: tensors only.

    Attributes:
        grams: Style layer to Gram matrix, float32 [B, N, N]; with regions that of each, [R, N, N].
        content: Content layer to F(x), [B, H, W, N].
        positions: Style layer to its number of positions M = H * W, float32 [].
    """

    grams: dict[str, Tensor]
    content: dict[str, Tensor]
    positions: dict[str, Tensor]


def statistics(features: Features, recipe: Recipe, *, regions: Sequence[Tensor] = ()) -> Statistics:
    """Takes from a picture's features what the recipe's losses look at.

    Args:
        features: Layer to activations [B, H, W, N], with all of the recipe's layers.
        recipe: Which layers, and which kind of Gram.
        regions: Of `Targets`: where each style may paint.

    Returns:
        Gram matrices and content features.

    Example:
        >>> import mnst, numpy as np
        >>> recipe = mnst.ARTICLE.replace(content_layers={"deep": 1}, style_layers={"deep": 1})
        >>> mnst.statistics({"deep": np.ones((1, 4, 5, 2), "float32")}, recipe).grams["deep"].shape
        TensorShape([1, 2, 2])
    """
    style = {layer: tf.convert_to_tensor(features[layer]) for layer, _ in recipe.style_layers}
    return Statistics(
        grams={
            layer: gram_matrix(of, kind=recipe.gram, region=as_seen(regions, *of.shape[1:3]))
            for layer, of in style.items()
        },
        content={layer: features[layer] for layer, _ in recipe.content_layers},
        positions={layer: _positions(of) for layer, of in style.items()},
    )


class Targets(NamedTuple):
    """All that the loss of a picture is measured against: tensors only, so a `tf.function` takes
    new targets of the same shapes without being traced again.

    Attributes:
        content: Layer to F(c), [1, H, W, N].
        styles: Layer to the Gram matrices A_k of the K styles, [K, N, N].
        mixed: Layer to what is aimed at in each region, [R, N, N]: the mean of the A_k, weighted
            with `shares`, in the one region that all styles share; A_k in that of style k.
        shares: g_k * sigma_k, [K]; with regions, times their strength and share of the picture.
        weight: Of each region, [R]: the sum of the shares in it.
        alpha: Weight of the content loss, [].
        beta: Weight of the style loss, [].
        regions: Where each style may paint, [R, H, W], and as smaller layers see it, from
            `mnst.objective.regions.halvings`; empty without masks.
        painted: Where the picture is painted at all, [1, H, W], and so on; empty without masks.
    """

    content: dict[str, Tensor]
    styles: dict[str, Tensor]
    mixed: dict[str, Tensor]
    shares: Tensor
    weight: Tensor
    alpha: Tensor
    beta: Tensor
    regions: tuple[Tensor, ...]
    painted: tuple[Tensor, ...]


def style_targets(
    styles: Iterable[Statistics], content: Statistics, recipe: Recipe
) -> dict[str, Tensor]:
    """Returns the styles' Gram matrices, brought to the content image's number of positions.

    A summed Gram grows with the number of positions M, so a style's is multiplied by
    M_content / M_style; neither text says it, but without it a style image of another size asks
    for another brightness of the activations. A mean Gram needs nothing.

    Args:
        styles: Statistics of each style image; they may differ in size. They are looked at one
            after the other, so a generator needs the memory of one.
        content: Statistics of the content image; only their number of positions is looked at.
        recipe: Which layers, and which kind of Gram.

    Returns:
        Layer to float32 [K, N, N].
    """
    scaled: dict[str, list[Tensor]] = {layer: [] for layer, _ in recipe.style_layers}
    for style in styles:
        for layer, grams in scaled.items():
            gram = style.grams[layer][0]
            if recipe.gram == "sum":
                gram = content.positions[layer] * (gram / style.positions[layer])
            grams.append(gram)
    return {layer: tf.stack(grams) for layer, grams in scaled.items()}


def style_distances(styles: Mapping[str, Tensor], content: Statistics, recipe: Recipe) -> Tensor:
    """Returns the style loss of every style's Gram matrices against every other's.

    Args:
        styles: From `style_targets`.
        content: Statistics of the content image; only their number of positions is looked at.
        recipe: Which layers, weights and reduction.

    Returns:
        float32 [K, K], symmetric, 0 on the diagonal: what the closed form of sigma rests on.
    """
    return tf.add_n(
        [
            weight
            * style_loss(
                styles[layer][:, tf.newaxis],
                styles[layer][tf.newaxis],
                reduction=recipe.style_reduction,
                positions=content.positions[layer],
            )
            for layer, weight in recipe.style_layers
        ]
    )


def make_targets(
    content: Statistics,
    styles: Mapping[str, Tensor],
    recipe: Recipe,
    *,
    gamma: Sequence[float],
    sigma: Sequence[float],
    regions: Regions | None = None,
) -> Targets:
    """Puts together what a run is measured against.

    Args:
        content: Statistics of the content image.
        styles: From `style_targets`.
        recipe: Whose layers, alpha and beta are used.
        gamma: Share g_k of each style, in sum 1.
        sigma: Calibration sigma_k of each style.
        regions: Where each style may paint, from `mnst.objective.regions.paint_regions`; None is
            everywhere.

    Returns:
        The targets, with the weighted mean of the styles' Gram matrices.

    Raises:
        ValueError: If there is not one gamma and sigma per style.
    """
    scales = _scales(regions, gamma)
    shares = [float(g) * float(s) * a for g, s, a in zip(gamma, sigma, scales, strict=True)]
    if regions is None or len(regions.styles) == 1:
        weight = [math.fsum(shares)]
        # Summed in float64, so that the order of the styles does not show in the picture.
        weights = tf.constant([[share / weight[0] for share in shares]], tf.float64)
        mixed = {
            layer: tf.cast(tf.tensordot(weights, tf.cast(grams, tf.float64), axes=1), tf.float32)
            for layer, grams in styles.items()
        }
    else:
        weight, mixed = shares, dict(styles)
    return Targets(
        content={layer: tf.cast(of, tf.float32) for layer, of in content.content.items()},
        styles=dict(styles),
        mixed=mixed,
        shares=tf.constant(shares, tf.float32),
        weight=tf.constant(weight, tf.float32),
        alpha=tf.constant(recipe.alpha, tf.float32),
        beta=tf.constant(recipe.beta, tf.float32),
        regions=style_regions(regions),
        painted=() if regions is None else _levels(regions.painted[np.newaxis]),
    )


def style_regions(regions: Regions | None) -> tuple[Tensor, ...]:
    """Returns where each style may paint, as each layer sees it; empty without masks."""
    return () if regions is None else _levels(regions.styles)


def _levels(masks: np.ndarray) -> tuple[Tensor, ...]:
    return tuple(tf.constant(level, tf.float32) for level in halvings(masks))


def _scales(regions: Regions | None, gamma: Sequence[float]) -> list[float]:
    """Returns what a style's share is multiplied by, so that masks leave the balance as it was.

    A region's Gram is brought to all M positions, and the gradient at one of its positions with it:
    M / sum t times what it is without a mask. The region's share of the picture, sum t / M, takes
    that back. And where styles have places of their own, a position that one of them has to itself
    would get its share alone, not their sum. So all are made stronger alike, until the mean over
    the painted pixels is that sum again.
    """
    if regions is None:
        return [1.0] * len(gamma)
    areas = np.broadcast_to(regions.areas, len(gamma))
    strength = regions.painted.mean(dtype=np.float64) / np.dot(gamma, areas)
    scales: list[float] = (strength * areas).tolist()
    return scales


def corrected(targets: Targets, full: Statistics, small: Statistics) -> Targets:
    """Returns targets that are as far from what a small network sees as they are from VGG19's.

    The small network's Gram matrices and features differ from VGG19's, but they change with the
    picture much as VGG19's do. So it may take steps in VGG19's stead, if the targets are moved by
    the difference that there is now: at this very picture all losses are VGG19's, and near it,
    nearly. (Known from engineering as space mapping, or defect correction.)

    Args:
        targets: VGG19's, from `make_targets`.
        full: What VGG19 sees of a picture.
        small: What the small network sees of it.

    Returns:
        Targets for the small network.
    """
    grams = {layer: small.grams[layer] - of for layer, of in full.grams.items()}
    content = {
        layer: tf.cast(small.content[layer], tf.float32) - tf.cast(of, tf.float32)
        for layer, of in full.content.items()
    }
    return targets._replace(
        content={layer: of + content[layer] for layer, of in targets.content.items()},
        styles={layer: of + grams[layer] for layer, of in targets.styles.items()},
        mixed={layer: of + grams[layer] for layer, of in targets.mixed.items()},
    )


def mixed_losses(
    picture: Statistics, targets: Targets, recipe: Recipe
) -> tuple[Tensor, dict[str, Tensor]]:
    """Returns what to differentiate, and every loss by name.

    The total is `alpha * L_content + beta * sum_k g_k sigma_k L_style_k` (article, fig. 7; paper,
    eq. 7). Differentiating it as it stands costs a pass per style. But with fixed weights a sum of
    squared errors against several targets is one squared error against their weighted mean, plus
    the styles' own spread about it, which no picture changes:

        sum_k w_k |G - A_k|^2  =  W |G - A|^2  +  sum_k w_k |A_k - A|^2,
        W = sum_k w_k,  A = sum_k w_k A_k / W.

    So the objective that is differentiated holds one style, the weighted mean, and a step costs the
    same whatever the number of styles. The total and the styles' own losses are only measured.

    Where the styles have regions of their own (paper, section 3.4, goes as far as a mask over all
    of them), the Gram matrices differ, and each is compared with its own style's.

    Args:
        picture: Statistics of the picture, taken with the targets' `regions`.
        targets: From `make_targets`.
        recipe: Which layers, weights and reductions.

    Returns:
        The objective, float32 [], whose gradient is the total's; and a dict with "content",
        "style_1" .. "style_K" and "total", float32 [] each, the styles' without g, sigma and
        beta, each over its own region.
    """

    def style(against: Mapping[str, Tensor]) -> Tensor:
        return tf.add_n(
            [
                weight
                * style_loss(
                    picture.grams[layer],
                    against[layer],
                    reduction=recipe.style_reduction,
                    positions=picture.positions[layer],
                )
                for layer, weight in recipe.style_layers
            ]
        )

    content = tf.add_n(
        [
            weight
            * content_loss(
                picture.content[layer],
                targets.content[layer],
                reduction=recipe.content_reduction,
                region=as_seen(targets.painted, *targets.content[layer].shape[1:3]),
            )[0]
            for layer, weight in recipe.content_layers
        ]
    )
    mixed = tf.reduce_sum(targets.beta * targets.weight * style(targets.mixed))
    objective = targets.alpha * content + mixed
    each = style(targets.styles)
    total = targets.alpha * content + targets.beta * tf.tensordot(targets.shares, each, axes=1)
    named = {f"style_{k}": loss for k, loss in enumerate(tf.unstack(each), start=1)}
    return objective, {"content": content, **named, "total": total}


def _positions(features: Tensor) -> Tensor:
    shape = tf.shape(features)
    return tf.cast(shape[1] * shape[2], tf.float32)
