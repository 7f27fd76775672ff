"""All terms of the loss together: what they see, what they aim at, what they say of a picture.

Whatever the network computes in, Gram matrices and losses are float32: summed Grams reach 1e10
and their squares 1e20, which float16 can't hold, and a mean over so many terms needs the mantissa.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from operator import add
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from mnst.backend import tf
from mnst.objective.regions import Regions, as_seen, halvings, region_counts
from mnst.objective.terms import Counts, InLayers, Mix, Nest, Seen, Tensor, Term
from mnst.objective.zones import Zoned, Zones

Statistics = dict[str, Seen]
"""All that the losses know of a picture: what each term has seen of it, by the term's name."""


class Objective(Protocol):
    """What is minimised: terms by the names that they have in records. A `Recipe` has them."""

    @property
    def objective(self) -> Mapping[str, Term]:
        """The terms, by name, in the order in which they are added up."""


class Places(NamedTuple):
    """Where is painted what, in tensors: what `statistics` are taken over.

    Attributes:
        regions: Of each style, or of all, float32 [R, H, W], and as smaller layers see them, from
            `mnst.objective.regions.halvings`; empty without masks.
        zones: Of the layers in which gamma changes from place to place, instead.
    """

    regions: tuple[Tensor, ...] = ()
    zones: Mapping[str, Zoned] = MappingProxyType({})

    @classmethod
    def of(cls, regions: Regions | None, zones: Mapping[str, Zones] | None = None) -> Places:
        """Returns those of masks, and of zones by layer, if there are any."""
        levels = () if regions is None else halvings(regions.styles)
        laid_out = {layer: Zoned.of(each) for layer, each in (zones or {}).items()}
        return cls(
            tuple(tf.constant(level, tf.float32) for level in levels),
            {layer: Zoned(*map(tf.constant, each)) for layer, each in laid_out.items()},
        )

    def counts(self, layer: str, height: int, width: int) -> Counts | None:
        """Returns how often each position of a layer counts; None is once."""
        if layer in self.zones:
            return self.zones[layer]
        region = as_seen(self.regions, height, width)
        return None if region is None else region_counts(region)


EVERYWHERE = Places()
"""All of the picture, for all styles."""


class Targets(NamedTuple):
    """All that the loss of a picture is measured against: tensors only, so a `tf.function` takes
    new targets of the same shapes without being traced again.

    Attributes:
        terms: What each term aims at, by its name.
        weights: Of each term, float32 [].
        places: Where is painted what.
        kept: The photo's pixels, float32 [1, H, W, 3], and a mask of the same size, [1, H, W, 1],
            1 where the picture shows them; empty where nothing of the photo is kept.
    """

    terms: dict[str, Nest]
    weights: dict[str, Tensor]
    places: Places
    kept: tuple[Tensor, ...]


def statistics(
    features: Mapping[str, Tensor], recipe: Objective, *, places: Places = EVERYWHERE
) -> Statistics:
    """Takes from a picture's features what the recipe's terms see of it.

    Args:
        features: Layer to activations [B, H, W, N], with all of the recipe's layers. (The layer
            "picture", where a term sees it, is the picture itself.)
        recipe: Whose terms.
        places: Of `Targets`: where is painted what.

    Returns:
        Sums over positions, such as Gram matrices, and features; float32 [..] or the features'.

    Example:
        >>> import mnst, numpy as np
        >>> recipe = mnst.ARTICLE.replace(content_layers={"deep": 1}, style_layers={"deep": 1})
        >>> seen = mnst.statistics({"deep": np.ones((1, 4, 5, 2), "float32")}, recipe)
        >>> seen["style"].values["deep"].shape, float(seen["style"].positions["deep"])
        (TensorShape([1, 2, 2]), 20.0)
    """

    def see(term: Term, layer: str) -> Tensor:
        of_layer = tf.convert_to_tensor(features[layer])
        return term.look(layer, of_layer, places.counts(layer, *of_layer.shape[1:3]))

    return {
        name: Seen(
            values={layer: see(term, layer) for layer in term.layer_names},
            positions={
                layer: _positions(features[layer])
                for layer in term.layer_names
                if term.over_tiles == "add"
            },
        )
        for name, term in recipe.objective.items()
    }


def style_targets(
    styles: Iterable[Statistics], photo: Statistics, recipe: Objective
) -> dict[str, Nest]:
    """Returns what the styles ask of each term, such as their Gram matrices.

    Args:
        styles: Statistics of each style image; they may differ in size. They are looked at one
            after the other, so a generator needs the memory of one.
        photo: Statistics of the content image, to whose size the styles' are brought.
        recipe: Whose terms.

    Returns:
        By term, what it makes of the K styles, stacked along a first axis: of the Gram matrices,
        layer to float32 [K, N, N].
    """
    each = [
        {name: term.style_target(of[name], photo[name]) for name, term in recipe.objective.items()}
        for of in styles
    ]
    stacked: dict[str, Nest] = tf.nest.map_structure(lambda *of: tf.stack(of), *each)
    return stacked


def make_targets(
    photo: Statistics,
    styles: Mapping[str, Nest],
    recipe: Any,
    *,
    gamma: InLayers,
    sigma: InLayers,
    regions: Regions | None = None,
    zones: Mapping[str, Zones] = MappingProxyType({}),
    pixels: Any = None,
) -> Targets:
    """Puts together what a run is measured against.

    Args:
        photo: Statistics of the content image.
        styles: From `style_targets`.
        recipe: Whose terms and weights are used.
        gamma: Share g_k of each style, in sum 1, in all layers or by layer; see `Mix`.
        sigma: Calibration sigma_k of each style, in all layers or by layer.
        regions: Where each style may paint, from `mnst.objective.regions.paint_regions`; None is
            everywhere.
        zones: Of the layers in which gamma changes from place to place, as large as the layers,
            from `mnst.objective.zones.zones_of`.
        pixels: The content image itself, float32 [1, H, W, 3]: its pixels stay where the regions
            leave them unpainted. None lets the picture change there, too.

    Returns:
        The targets, with the weighted mean of the styles' Gram matrices.

    Raises:
        ValueError: If there is not one gamma and sigma per style.
    """
    mix = Mix(gamma, sigma, regions, zones)
    kept: tuple[Tensor, ...] = ()
    if regions is not None and pixels is not None:
        mask = 1 - regions.painted[None, ..., None]
        kept = tf.constant(pixels, tf.float32), tf.constant(mask, tf.float32)
    terms = recipe.objective
    return Targets(
        terms={name: of.targets(photo[name], styles[name], mix) for name, of in terms.items()},
        weights={name: tf.constant(of.weight, tf.float32) for name, of in terms.items()},
        places=Places.of(regions, zones),
        kept=kept,
    )


def mixed_losses(
    picture: Statistics, targets: Targets, recipe: Objective
) -> tuple[Tensor, dict[str, Tensor]]:
    """Returns what to differentiate, and every loss by name.

    The total is the sum of all terms: `alpha * L_content + beta * sum_k g_k sigma_k L_style_k`
    (article, fig. 7; paper, eq. 7), and further ones.

    Args:
        picture: Statistics of the picture, taken with the targets' `places`.
        targets: From `make_targets`.
        recipe: Whose terms.

    Returns:
        The objective, float32 [], whose gradient is the total's; and a dict with "content",
        "style_1" .. "style_K", further terms, and "total", float32 [] each. All but the total are
        without weights, and so without gamma and sigma.
    """
    each = [
        term.losses(name, picture[name], targets.terms[name], targets.weights[name])
        for name, term in recipe.objective.items()
    ]
    named = {name: loss for losses in each for name, loss in losses.named.items()}
    # Added up before the total: TensorFlow orders what it adds by the names of operations, and so
    # by when they are made, which shows in the last bit.
    objective = reduce(add, (losses.objective for losses in each))
    total = reduce(add, (losses.total for losses in each))
    return objective, {**named, "total": total}


def corrected(targets: Targets, full: Statistics, small: Statistics, recipe: Objective) -> Targets:
    """Returns targets that are as far from what a small network sees as they are from VGG19's.

    The small network's Gram matrices and features differ from VGG19's, but they change with the
    picture much as VGG19's do. So it may take steps in VGG19's stead, if the targets are moved by
    the difference that there is now: at this very picture all losses are VGG19's, and near it,
    nearly. (Known from engineering as space mapping, or defect correction.)

    Args:
        targets: VGG19's, from `make_targets`.
        full: What VGG19 sees of a picture.
        small: What the small network sees of it.
        recipe: Whose terms.

    Returns:
        Targets for the small network.
    """
    moved = {
        name: term.corrected(targets.terms[name], full[name], small[name])
        for name, term in recipe.objective.items()
    }
    return targets._replace(terms=moved)


def _positions(features: Tensor) -> Tensor:
    shape = tf.shape(features)
    return tf.cast(shape[1] * shape[2], tf.float32)
