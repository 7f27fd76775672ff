"""The style term of `FINE`: how far means and covariances are from the styles'.

A Gram matrix has both in one: the squares of the means outweigh all else in it, so that a picture
of the right colours comes near, whatever its strokes are. Apart, and each in units of what is
aimed at, forms count as much as colours do.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from mnst.backend import tf
from mnst.objective.gram import gram_sum, of_each_style, zone_sums
from mnst.objective.terms import Counts, Layers, Losses, Mix, Seen, Tensor, Term
from mnst.objective.zones import Zoned

# Of the square of the mean: a covariance below it counts as if it were so large. A layer of a
# single position has none, nor has a style of a single colour.
_LEAST_COVARIANCE = 0.01


class Aims(NamedTuple):
    """What is aimed at in a layer: by B styles, or in B regions.

    Attributes:
        moments: float32 [B, N, N + 1]: the covariances, and behind them a column of the means.
        units: What squared differences are divided by, of covariances and of means, [B, 2].
    """

    moments: Tensor
    units: Tensor


class MomentTargets(NamedTuple):
    """What `Moments` aims at.

    Attributes:
        styles: Layer to what the K styles ask for.
        mixed: Layer to what is aimed at in each of R regions: the mean of the styles', weighted
            with `Mix.shares`.
        weights: Layer to how much each region weighs, [R]: the sum of the shares in it.
        owned: Layer to how much of each region a style is measured by, [K, R]; see `Mix.owned`.
    """

    styles: dict[str, Aims]
    mixed: dict[str, Aims]
    weights: dict[str, Tensor]
    owned: dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Moments(Term):
    """How far the means m and covariances C of a picture's features are from those aimed at.

        E(x; m, C) = sum_l w_l (|C_l(x) - C_l|^2 / |C_l|^2 + |m_l(x) - m_l|^2 / |m_l|^2)

    It has no unit: each of its fractions is about 1 where nothing fits, whatever the layer, the
    style and the size of the picture, and a weight means the same for all of them.

    The styles are mixed first, layer by layer, `C_l = sum_k v_k C_kl` with v_k = g_k sigma_k /
    sum_j g_j sigma_j, and the means alike. The picture is compared with the mixture, in units of
    the mixture. (With Gram matrices the order makes no difference. Here it does: to add up the
    styles' own relative losses would let the style of the lowest contrast decide.) So a step costs
    the same whatever the number of styles, and the term's part of the total is
    `beta * sum_k g_k sigma_k * E(x; m, C)`. The styles' own losses, each in units of its own
    style, are only measured.

    Attributes:
        layers: Weight w_l of each of the network's layers.
    """

    layers: Layers

    name = "moments"
    takes_zones = True
    widens = True

    def see(self, layer: str, features: Tensor, counts: Counts | None) -> Tensor:
        """See `Term`; sums of F_p F_p^T over positions p, and behind them a column, that of F_p."""
        if isinstance(counts, Zoned):
            return zone_sums(features, counts)
        wide = tf.cast(features, tf.float32)
        if counts is not None:
            wide = counts[..., tf.newaxis] * wide
        sums = tf.reduce_sum(wide, axis=[-3, -2])
        return tf.concat([gram_sum(features, counts), sums[..., tf.newaxis]], axis=-1)

    def style_target(self, style: Seen, photo: Seen) -> dict[str, Tensor]:
        """See `Term`; means over positions are the same at any size."""
        return {layer: _moments(of[0]) for layer, of in _means(style).items()}

    def targets(self, photo: Seen, styles: dict[str, Tensor], mix: Mix) -> MomentTargets:
        """See `Term`."""
        mixed, weights = mix.mixed(styles)
        return MomentTargets(
            {layer: Aims(of, _units(of)) for layer, of in styles.items()},
            {layer: Aims(of, _units(of)) for layer, of in mixed.items()},
            {layer: tf.constant(of, tf.float32) for layer, of in weights.items()},
            {layer: tf.constant(mix.owned(layer), tf.float32) for layer in mixed},
        )

    def losses(self, name: str, seen: Seen, targets: MomentTargets, weight: Tensor) -> Losses:
        """See `Term`; the styles' losses are named NAME_1 to NAME_K, each over its own region."""
        means, of_regions, of_styles = _means(seen), [], []
        for layer, of_layer in self.layer_weights:
            apart = _distance(_moments(means[layer]), targets.mixed[layer])
            of_regions.append(of_layer * tf.reduce_sum(targets.weights[layer] * apart))
            own = _moments(of_each_style(means[layer], targets.owned[layer]))
            of_styles.append(of_layer * _distance(own, targets.styles[layer]))
        objective = weight * tf.add_n(of_regions)
        each = tf.unstack(tf.add_n(of_styles))
        named = {f"{name}_{k}": loss for k, loss in enumerate(each, start=1)}
        return Losses(objective, total=objective, named=named)

    def corrected(self, targets: MomentTargets, full: Seen, small: Seen) -> MomentTargets:
        """See `Term`; the units stay as they are."""
        of_full, of_small = _means(full), _means(small)

        def moved(layer: str, aims: Aims, gathered: Callable[[Tensor], Tensor]) -> Aims:
            moves = _moments(gathered(of_small[layer])) - _moments(gathered(of_full[layer]))
            return aims._replace(moments=aims.moments + moves)

        styles, mixed = {}, {}
        for layer, owned in targets.owned.items():
            own = functools.partial(of_each_style, owned=owned)
            styles[layer] = moved(layer, targets.styles[layer], own)
            mixed[layer] = moved(layer, targets.mixed[layer], lambda means: means)
        return targets._replace(styles=styles, mixed=mixed)

    def distances(self, styles: dict[str, Tensor], photo: Seen) -> Tensor:
        """See `Term`; every style has units of its own, so it is [K, K, K]."""
        of_layers = []
        for layer, weight in self.layer_weights:
            of = styles[layer]
            # A row at a time: all at once, the differences of 40 styles would take gigabytes.
            rows = [_parts(tf.math.squared_difference(of, of[j])) for j in range(of.shape[0])]
            in_units = tf.einsum("ijp,kp->kij", tf.stack(rows), 1 / _units(of))
            of_layers.append(weight * in_units)
        return tf.add_n(of_layers)


def _means(seen: Seen) -> dict[str, Tensor]:
    """Returns each layer's means over positions, of F_p F_p^T and of F_p, [B, N, N + 1]."""
    return {layer: sums / seen.positions[layer] for layer, sums in seen.values.items()}


def _moments(means: Tensor) -> Tensor:
    """Returns covariances and means, [.., N, N + 1], given the means of F_p F_p^T and of F_p."""
    mean = means[..., -1:]
    covariance = means[..., :-1] - mean * tf.linalg.matrix_transpose(mean)
    return tf.concat([covariance, mean], axis=-1)


def _distance(moments: Tensor, aims: Aims) -> Tensor:
    """Returns how far both are, relative to what is aimed at, [B]."""
    squared = tf.math.squared_difference(moments, aims.moments)
    return tf.reduce_sum(_parts(squared) / aims.units, axis=-1)


def _parts(squared: Tensor) -> Tensor:
    """Returns sums of what lies in the covariances and in the means, [B, 2]."""
    of_covariances = tf.reduce_sum(squared[..., :-1], axis=[-2, -1])
    return tf.stack([of_covariances, tf.reduce_sum(squared[..., -1], axis=-1)], axis=-1)


def _units(moments: Tensor) -> Tensor:
    """Returns |C|^2 and |m|^2, [B, 2]; above 0."""
    of_covariances, of_means = tf.unstack(_parts(tf.square(moments)), axis=-1)
    least = tf.square(_LEAST_COVARIANCE * of_means)
    return tf.stack([of_covariances + least, of_means], axis=-1) + 1e-12
