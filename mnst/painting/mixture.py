"""What a run mixes: a gamma for all layers or each, the same everywhere or a picture of its own."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

import numpy as np

from mnst.masks.pixels import load_mask
from mnst.objective.mixing import Shares, by_layer, equal_in_all, style_shares, told
from mnst.objective.regions import Regions, halvings
from mnst.objective.zones import Zones, zones_of
from mnst.painting.canvas import Canvas
from mnst.recipes import Recipe


@dataclass(frozen=True, eq=False)
class Mixture:
    """What a run mixes.

    Attributes:
        layers: The gamma of each layer in which styles are mixed.
    """

    layers: dict[str, Gamma]

    @classmethod
    def of(cls, gamma: Any, styles: int, recipe: Recipe, *, name: str = "gamma") -> Mixture:
        """Returns what a gamma asks for, as `stylize` takes it; `name` is what errors call it.

        Raises:
            ValueError: If it is out of range, does not fit the styles, or names no layer.
        """
        each = by_layer(gamma, recipe.groups, recipe.mixed_layers, name=name)
        # One that is for several layers is read once.
        read = {id(of): read_gamma(of, styles, name=name) for of in each.values()}
        return cls({layer: read[id(of)] for layer, of in each.items()})

    @property
    def shares(self) -> Shares | dict[str, Shares] | None:
        """The share of each style, in all layers alike or by layer; None if it is a picture."""
        numbers = {
            layer: of for layer, of in self.layers.items() if not isinstance(of, GammaPicture)
        }
        if len(numbers) < len(self.layers):
            return None
        return equal_in_all(numbers) or numbers

    @property
    def is_even(self) -> bool:
        """Whether the shares are the same in all layers and everywhere."""
        return not isinstance(self.shares, (Mapping, NoneType))

    def settings(self) -> Any:
        """Returns what is worth knowing of it later, as JSON holds it."""
        listed = {layer: _settings(of) for layer, of in self.layers.items()}
        first, *others = listed.values()
        return first if all(other == first for other in others) else listed

    def told(self, groups: Mapping[str, Sequence[str]]) -> str:
        """Says it in words."""
        if self.shares is None:
            return "styles in shares that change over the picture"
        return f"styles in shares {told(self.shares, groups)}"

    def on(
        self, canvas: Canvas, regions: Regions | None, positions: Mapping[str, int]
    ) -> tuple[dict[str, Shares], dict[str, Zones]]:
        """Returns gamma by layer, and the zones of the layers in which it changes, on a canvas.

        Args:
            canvas: In which size.
            regions: What masks make of it; None is all of it.
            positions: How many each of the layers has.

        Raises:
            ValueError: If each style has a region of its own already, or a picture doesn't fit.
        """
        pictures = {id(of): of for of in self.layers.values() if isinstance(of, GammaPicture)}
        if pictures and regions is not None and len(regions.styles) > 1:
            raise ValueError("gamma is a picture, and style_masks were given: give one of them")
        around = canvas.margin.around
        painted = None if regions is None else halvings(regions.painted[np.newaxis])
        seen = {
            key: halvings(around(of.shares(*canvas.sides, "gamma"))) for key, of in pictures.items()
        }
        gamma, zones = {}, {}
        for layer, of in self.layers.items():
            if not isinstance(of, GammaPicture):
                gamma[layer] = of
                continue
            level = _as_large(seen[id(of)], positions[layer], layer)
            found = zones_of(seen[id(of)][level], None if painted is None else painted[level][0])
            if len(found.shares) == 1:  # it changes nowhere
                gamma[layer] = tuple(found.shares[0].tolist())
            else:
                zones[layer] = found
        return gamma, zones


def _as_large(levels: Sequence[np.ndarray], positions: int, layer: str) -> int:
    """Returns which of the `halvings` of a picture has as many positions as a layer."""
    for number, level in enumerate(levels):
        if math.prod(level.shape[1:]) == positions:
            return number
    raise ValueError(
        f"gamma is a picture, which can't be brought to {layer}, a layer of {positions} positions: "
        f"it has to halve the picture, so many times as it does, and drop an odd row or column"
    )


@dataclass(frozen=True, eq=False)
class GammaPicture:
    """A gamma that changes over the picture.

    Attributes:
        pictures: How much of each style there is, as `mnst.load_mask` takes it; of two styles the
            first one's alone.
    """

    pictures: tuple[Any, ...]

    def shares(self, height: int, width: int, name: str) -> np.ndarray:
        """Returns the share of each style at each pixel, float64 [K, height, width], in sum 1.

        Raises:
            ValueError: If pictures have other proportions, or leave a pixel without any style.
        """
        each = [
            np.float64(load_mask(picture, height, width, name=name)) for picture in self.pictures
        ]
        if len(each) == 1:
            return np.stack([each[0], 1 - each[0]])
        stacked = np.stack(each)
        whole = stacked.sum(axis=0)
        if not whole.all():
            raise ValueError(f"{name} leaves {np.mean(whole == 0):.1%} of the picture to no style")
        shares: np.ndarray = stacked / whole
        return shares


Gamma = Shares | GammaPicture


def _settings(gamma: Gamma) -> Any:
    return "picture" if isinstance(gamma, GammaPicture) else list(gamma)


def read_gamma(gamma: Any, styles: int, *, name: str = "gamma") -> Gamma:
    """Returns the shares of the styles, or the pictures of them that were given.

    Raises:
        ValueError: If it is neither, or does not fit the styles.
    """
    several = isinstance(gamma, Sequence) and not isinstance(gamma, str)
    if any(map(_is_picture, gamma)) if several else np.ndim(gamma) == 3:
        pictures = tuple(gamma)
    elif _is_picture(gamma):
        pictures = (gamma,)
    else:
        return style_shares(gamma, styles, name=name)
    if len(pictures) != (1 if styles == 2 and len(pictures) == 1 else styles):
        raise ValueError(
            f"{name} has {len(pictures)} pictures for {styles} styles: give one for each; for two "
            f"styles one of the first's share is enough"
        )
    return GammaPicture(pictures)


def _is_picture(given: Any) -> bool:
    if isinstance(given, (str, os.PathLike)) or hasattr(given, "getbands"):
        return True
    return not isinstance(given, Mapping) and np.ndim(given) == 2
