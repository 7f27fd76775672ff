"""What a term of the loss is, and what it is given.

A recipe minimises a sum of terms. A term is one class: it says what it sees of a picture, what it
aims at, given the photo and the styles, and how far the picture is from that. Those of this folder
are built in this way, and a class of a user's own works in the same places: whole and in tiles,
with masks, with any number of styles, in histories, plots and logs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from mnst.backend import tf
from mnst.checks import check_choice, check_number, settle, shown
from mnst.objective.regions import Regions
from mnst.objective.zones import Zoned, Zones

Tensor = Any
Nest = Any
"""Tensors, in any nest of tuples and dicts."""

InLayers = Any
"""Numbers for each style, the same in all layers, or by layer."""

Counts = Tensor | Zoned
"""How often each position of a layer counts in each region."""

Layers = Mapping[str, float] | Iterable[tuple[str, float]]
"""Weights of layers: a mapping, or pairs."""

PICTURE = "picture"
"""The name of the layer that is the picture itself, [1, H, W, 3] in 0..255."""


class Seen(NamedTuple):
    """What a term has seen of a picture: tensors only.

    Attributes:
        values: Layer to what the term's `see` gave, over the whole picture.
        positions: Layer to its number of positions M = H * W, float32 [], where values are summed
            up over them.
    """

    values: dict[str, Tensor]
    positions: dict[str, Tensor]


class Mix(NamedTuple):
    """How a run mixes its styles: in each region and each layer, by a share of each style.

    Attributes:
        gamma: The share g_k of each style, K numbers in sum 1, in all layers or by layer.
        sigma: The calibration weight sigma_k of each style, K numbers, or a row of them for each
            zone, [Z, K]; in all layers or by layer.
        regions: Where is painted: all styles share the one region that there is, or each of several
            is that of one style. None is everywhere.
        zones: Of the layers in which gamma changes from place to place. They are the regions there.
    """

    gamma: InLayers
    sigma: InLayers
    regions: Regions | None = None
    zones: Mapping[str, Zones] = MappingProxyType({})

    def shares(self, layer: str) -> np.ndarray:
        """Returns how much the k-th style weighs in the r-th region, float64 [R, K].

        It is g_rk * sigma_k, times the region's share of the picture. A region's statistics are
        brought to the whole picture, and the gradient at one of its positions with them: that share
        takes it back. And where styles have places of their own, a position that one of them has to
        itself would get its share alone, not their sum. So all are made stronger alike, until the
        mean over the painted pixels is that sum again.
        """
        rows, areas = self._rows(layer), self._areas(layer)
        strength = self._painted(layer) / (rows.sum(axis=1) @ areas)
        by_area: np.ndarray = (strength * areas)[:, np.newaxis]
        weighed: np.ndarray = by_area * rows * _in_layer(self.sigma, layer)
        return weighed

    def mixed(
        self, styles: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, np.ndarray]]:
        """Returns what is aimed at in each of R regions, and how much each region weighs.

        Args:
            styles: What the K styles ask for, by layer, float32 [K, ..], from `Term.style_target`.

        Returns:
            By layer, the means of the styles weighted with `shares`, float32 [R, ..], and the sums
            of the shares, float64 [R].
        """
        mixtures, weights = {}, {}
        for layer, of_styles in styles.items():
            shares = self.shares(layer)
            weights[layer] = shares.sum(axis=1)
            # A zone without a place has a mixture, too, but no weight.
            whole = np.where(weights[layer] > 0, weights[layer], 1)[:, np.newaxis]
            # Summed in float64, so that the order of the styles does not show in the picture.
            parts = tf.constant(shares / whole, tf.float64)
            mean = tf.tensordot(parts, tf.cast(of_styles, tf.float64), axes=1)
            mixtures[layer] = tf.cast(mean, tf.float32)
        return mixtures, weights

    def owned(self, layer: str) -> np.ndarray:
        """Returns how much of each region makes up what a style is measured by, float64 [K, R].

        That is all that it may paint: the region that it shares with all or has to itself; or, of
        several that are shared, each as much as it has a share in it. In sum 1.
        """
        rows, areas = self._rows(layer), self._areas(layer)
        if layer not in self.zones:
            rows = np.eye(len(rows)) if len(rows) > 1 else np.ones_like(rows)
        parts = rows.T * areas
        # A style that has no share anywhere is measured everywhere.
        parts = np.where(parts.any(axis=1, keepdims=True), parts, areas)
        whole: np.ndarray = parts / parts.sum(axis=1, keepdims=True)
        return whole

    def _rows(self, layer: str) -> np.ndarray:
        """Returns gamma in each region, float64 [R, K]."""
        if layer in self.zones:
            return self.zones[layer].shares
        gamma = _in_layer(self.gamma, layer)
        return gamma[np.newaxis] if len(self._areas(layer)) == 1 else np.diag(gamma)

    def _areas(self, layer: str) -> np.ndarray:
        """Returns the share of the picture that each region has, float64 [R]."""
        if layer in self.zones:
            return self.zones[layer].areas
        return np.ones(1) if self.regions is None else self.regions.areas

    def _painted(self, layer: str) -> float:
        """Returns how much of the picture is painted, as the layer has it."""
        if layer in self.zones:
            return float(self.zones[layer].areas.sum())
        return 1.0 if self.regions is None else float(self.regions.painted.mean(dtype=np.float64))


def _in_layer(numbers: InLayers, layer: str) -> np.ndarray:
    of_layer = numbers[layer] if isinstance(numbers, Mapping) else numbers
    return np.asarray(of_layer, np.float64)


class Losses(NamedTuple):
    """What a term has to say of a picture.

    Attributes:
        objective: What is differentiated, float32 []: any function with the total's gradient.
        total: The term's part of the total loss, weight included, float32 [].
        named: What records and plots show, by name, without weights, float32 [] each.
    """

    objective: Tensor
    total: Tensor
    named: dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Term:
    """A term of the loss, as a value: a frozen dataclass that a recipe holds.

    A subclass names itself and its layers, and defines `see`, `targets` and `loss`. A term that
    looks at styles defines `style_target` as well, and has `Mix.mixed` mix them; one that is to
    work with a surrogate defines `corrected`. A field `layers` holds the weights of its layers, a
    mapping or pairs; it is kept as a tuple of pairs. Nothing of TensorFlow may be touched before
    the methods are called.

    Attributes:
        weight: What its loss is multiplied by, 0 or more.
        name: What its loss is called in records.
        over_tiles: How what `see` gives for the parts of a picture becomes what it gives for the
            whole: "add" sums it up, "join" lays it side by side, position by position, and
            "refuse" says that it can't, so that a picture which needs tiles is refused.
        takes_zones: Whether `see` takes a `Zoned` for its counts, which is many times as fast.
        widens: Whether `see` brings a layer to float32. That makes no difference to anything but
            how much memory is planned with.

    Example:
        A term that pulls the picture's mean colour towards grey:

        >>> from dataclasses import dataclass
        >>> import mnst
        >>> from mnst.backend import tf
        >>> @dataclass(frozen=True, kw_only=True)
        ... class Grey(mnst.Term):
        ...     name = "grey"
        ...     layer_names = ("picture",)
        ...
        ...     def see(self, layer, features, counts):
        ...         return tf.reduce_sum(features, axis=[0, 1, 2])
        ...
        ...     def loss(self, seen, targets):
        ...         mean = seen.values["picture"] / seen.positions["picture"]
        ...         return tf.reduce_sum((mean - 128.0) ** 2)
        >>> mnst.ARTICLE.replace(terms=[Grey(weight=2.0)]).objective["grey"].weight
        2.0
    """

    weight: float = 1.0

    name: ClassVar[str]
    over_tiles: ClassVar[Literal["add", "join", "refuse"]] = "add"
    takes_zones: ClassVar[bool] = False
    widens: ClassVar[bool] = False

    def __post_init__(self) -> None:
        weight = check_number("weight", self.weight, lambda value: value >= 0, "0 or more")
        settle(self, weight=weight)
        check_choice("over_tiles", self.over_tiles, ("add", "join", "refuse"))
        if "layers" in (field.name for field in fields(self)):
            settle(self, layers=weights_of(self.layers))  # type: ignore[attr-defined]

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The layers that it sees; `PICTURE` is the picture itself."""
        return tuple(layer for layer, _ in self.layer_weights)

    @property
    def layer_weights(self) -> tuple[tuple[str, float], ...]:
        """The weight of each layer, for a term that has a field `layers`."""
        return tuple(self.layers)  # type: ignore[attr-defined]

    def look(self, layer: str, features: Tensor, counts: Counts | None) -> Tensor:
        """Returns what it sees; of zones, too, if `see` knows nothing of them."""
        if isinstance(counts, Zoned) and not self.takes_zones:
            counts = counts.each
        return self.see(layer, features, counts)

    def see(self, layer: str, features: Tensor, counts: Any) -> Tensor:
        """Returns what it sees of a layer, or of a part of a layer.

        Args:
            layer: Which of its layers.
            features: Activations [1, h, w, N], in the network's dtype. Cast them before summing:
                a sum in bfloat16 has three digits.
            counts: How often each position counts, float32 [R, h, w], for each of R regions; None
                without masks. Over a whole layer they are 1 in the mean, so that a sum is of as
                many positions as without. Where gamma is a picture, regions are its zones.
        """
        raise NotImplementedError

    def style_target(self, style: Seen, photo: Seen) -> Nest:
        """Returns what one style asks for; nothing, for a term that looks at no style."""
        return ()

    def targets(self, photo: Seen, styles: Nest, mix: Mix) -> Nest:
        """Returns what a run aims at: tensors only.

        Args:
            photo: What it sees of the content image.
            styles: From `style_target`, the K styles stacked along a new first axis.
            mix: How they are mixed.
        """
        return ()

    def periodic(self) -> Term:
        """Returns the term for pictures whose opposite borders are neighbours.

        That is itself, unless it compares what lies at different places.
        """
        return self

    def loss(self, seen: Seen, targets: Nest) -> Tensor:
        """Returns how far a picture is from the targets, float32 [], without the weight."""
        raise NotImplementedError

    def losses(self, name: str, seen: Seen, targets: Nest, weight: Tensor) -> Losses:
        """Returns all that it has to say of a picture; `loss` and its weight, unless overridden.

        Args:
            name: What to call it in records: its own name, or "content" or "style" in their place.
            seen: What it sees of the picture.
            targets: From `targets`.
            weight: Its weight, float32 []. A tensor, so that a run with another weight does not
                compile the step again.
        """
        value = self.loss(seen, targets)
        weighted = weight * value
        return Losses(weighted, weighted, {name: value})

    def corrected(self, targets: Nest, full: Seen, small: Seen) -> Nest:
        """Returns targets as far from what a small network sees as they are from what VGG19 sees.

        Args:
            targets: VGG19's.
            full: What it sees of a picture through VGG19.
            small: What it sees of that picture through the small network.
        """
        return targets

    def distances(self, styles: Nest, photo: Seen) -> Tensor:
        """Returns how far every style is from every other, as a style term's loss has it.

        What sigma's closed form rests on: float32 [K, K], symmetric, 0 on the diagonal. Where a
        style's loss is in units of its own, [K, K, K]: such a matrix in the units of each style.

        Args:
            styles: From `style_target`, stacked.
            photo: What it sees of the content image.
        """
        raise NotImplementedError

    def check_distances(self) -> None:
        """Raises a ValueError if it has no `distances`, which sigma="auto" and calibration need."""
        if type(self).distances is Term.distances:
            raise ValueError(
                f"{self.name} has no distances between styles, which sigma='auto' and calibration "
                f"need: give a number for each style"
            )

    @property
    def can_be_corrected(self) -> bool:
        """Whether a surrogate can take the steps: a term that sees its features corrects them."""
        return set(self.layer_names) <= {PICTURE} or type(self).corrected is not Term.corrected

    def as_dict(self) -> dict[str, Any]:
        """Returns it as plain values that JSON can hold, with its name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if "layers" in values:
            values["layers"] = dict(values["layers"])
        return {"name": self.name, **values}


def weights_of(layers: Layers) -> tuple[tuple[str, float], ...]:
    """Returns weights of layers as a tuple of pairs, so that a term can be hashed.

    Raises:
        ValueError: If there is no layer, or a weight is below 0.
    """
    try:
        weights = dict(layers)
    except (TypeError, ValueError):
        raise ValueError(
            f"layers is {shown(layers)}: give each one's weight, as in {{'block1_conv1': 1}}"
        ) from None
    if not weights:
        raise ValueError("layers is empty: name at least one layer, as in {'block1_conv1': 1}")
    return tuple(
        (str(layer), check_number(f"layers[{layer!r}]", weight, lambda v: v >= 0, "0 or more"))
        for layer, weight in weights.items()
    )
