"""How styles are balanced group by group of layers, and zone by zone: in closed form, and measured.

Each group of layers is a crossfader of its own, and so is each zone of a picture whose gamma
changes from place to place: the argument behind the closed form of sigma (docs/calibration.md)
holds for each of them as it does for the whole.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mnst.objective import mixing
from mnst.objective.terms import Mix, Nest, Seen, Term


def closed_form_sigma(
    term: Term, groups: Mapping[str, Sequence[str]], photo: Seen, styles: Nest, mix: Mix
) -> dict[str, np.ndarray]:
    """Returns the sigma with which equal shares make equal relative improvement in every group.

    Args:
        term: The style's.
        groups: The layers of each group.
        photo: What the term sees of the photo; of layers with zones, in these.
        styles: From `Term.style_target`, stacked.
        mix: How the styles are mixed, with any sigma.

    Returns:
        By layer, float64 [K]; where it has zones, [Z, K].

    Raises:
        ValueError: If the styles have regions of their own, or a style's loss is 0 at the start.
    """
    if _apart(mix):
        raise ValueError(
            "sigma 'auto' and the closed form are for styles that share a region, but these have "
            "style_masks: give a number for each"
        )
    sigma = {}
    for layers in groups.values():
        rows = {layer: _rows(mix, layer) for layer in layers}
        # Zones of the same mixture are the same zone, whatever the layer.
        found: dict[tuple[float, ...], tuple[float, ...]] = {}
        for row in dict.fromkeys(row for of_layer in rows.values() for row in of_layer):
            where = {layer: of.index(row) for layer, of in rows.items() if row in of}
            part = narrowed(term, where)
            seen = Seen(
                {layer: photo.values[layer][z : z + 1] for layer, z in where.items()},
                photo.positions,
            )
            start = _losses(part, seen, styles, Mix(row, np.ones_like(row)), seen)
            found[row] = mixing.closed_form_sigma(start, part.distances(styles, photo).numpy())
        for layer, of_layer in rows.items():
            each = np.array([found[row] for row in of_layer])
            sigma[layer] = each if layer in mix.zones else each[0]
    return sigma


def losses_of_groups(
    term: Term,
    groups: Mapping[str, Sequence[str]],
    photo: Seen,
    picture: Seen,
    styles: Nest,
    mix: Mix,
) -> dict[str, dict[str, list[float]]]:
    """Returns the style losses of every group of layers, one for each style.

    Args:
        term: The style's.
        groups: The layers of each group.
        photo: What the term sees of the photo; of layers with zones, in these.
        picture: What it sees of the finished picture.
        styles: From `Term.style_target`, stacked.
        mix: How the styles were mixed.

    Returns:
        By group, K numbers each: "start", the losses of the photo; "final", those of the picture;
        and "predicted", those of a picture that meets what is aimed at in every zone, if the term
        has distances and the styles have no regions of their own. The groups' losses sum up to the
        style's. Nothing, for a term whose layers can't be told apart.
    """
    found: dict[str, dict[str, list[float]]] = {}
    if not _has_layers(term):
        return found
    for group, layers in groups.items():
        if not layers:
            continue
        part = narrowed(term, layers)
        found[group] = {
            "start": _losses(part, photo, styles, mix, photo),
            "final": _losses(part, picture, styles, mix, photo),
        }
        if type(term).distances is not Term.distances and not _apart(mix):
            found[group]["predicted"] = _predicted(term, layers, photo, styles, mix)
    return found


def narrowed(term: Term, layers: Iterable[str]) -> Term:
    """Returns a term that sees only some of its layers.

    Raises:
        ValueError: If it has no field `layers`.
    """
    if not _has_layers(term):
        raise ValueError(
            f"{term.name} has no field `layers`, which sigma='auto' by layer or place needs: give "
            f"a number for each style"
        )
    weights = dict(term.layer_weights)
    changed: Any = {"layers": {layer: weights[layer] for layer in layers}}
    return dataclasses.replace(term, **changed)


def _has_layers(term: Term) -> bool:
    return any(field.name == "layers" for field in dataclasses.fields(term))


def _apart(mix: Mix) -> bool:
    """Whether the styles have regions of their own, and so no mean."""
    return mix.regions is not None and len(mix.regions.styles) > 1


def _losses(term: Term, seen: Seen, styles: Nest, mix: Mix, photo: Seen) -> list[float]:
    """Returns L_style_k of what is seen, each style's where it paints."""
    named = term.losses("style", seen, term.targets(photo, styles, mix), 1.0).named
    return [float(loss) for loss in named.values()]


def _predicted(
    term: Term, layers: Sequence[str], photo: Seen, styles: Nest, mix: Mix
) -> list[float]:
    """Returns L_style_k of a picture that meets what is aimed at in every zone.

    What a style is measured by is a mean of zones, each of them a mean of the styles: and so a mean
    of the styles again.
    """
    losses = np.zeros(len(mix.owned(layers[0])))
    for layer in layers:
        shares = mix.shares(layer)
        weights = shares.sum(axis=1, keepdims=True)
        means = mix.owned(layer) @ (shares / np.where(weights > 0, weights, 1))
        between = narrowed(term, [layer]).distances(styles, photo).numpy()
        losses += [mixing.mixed_style_losses(mean, between)[k] for k, mean in enumerate(means)]
    predicted: list[float] = np.maximum(losses, 0.0).tolist()
    return predicted


def _rows(mix: Mix, layer: str) -> list[tuple[float, ...]]:
    """Returns the shares of the styles in each zone; in one row, where a layer has none."""
    if layer not in mix.zones:
        return [tuple(mix.gamma[layer])]
    return [tuple(row) for row in mix.zones[layer].shares.tolist()]
