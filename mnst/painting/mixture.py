"""What a run mixes: a gamma for all layers or each, the same everywhere or a picture of its own."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import NoneType
from typing import Any

import numpy as np

from mnst import maps
from mnst.checks import did_you_mean
from mnst.masks.pixels import load_mask, read_mask, resize_mask
from mnst.objective.mixing import Shares, by_layer, in_short, style_shares, told
from mnst.objective.regions import Regions, halvings
from mnst.objective.zones import Zones, zones_of
from mnst.painting.canvas import Canvas
from mnst.recipes import Recipe

MAPS: dict[str, Callable[..., np.ndarray]] = {
    "left-to-right": maps.left_to_right,
    "top-to-bottom": maps.top_to_bottom,
    "radial": maps.radial,
    "luminance": maps.by_luminance,
}
"""Maps that a gamma may name; see `mnst.maps`."""


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

    def over(self, photo: np.ndarray, sides: tuple[int, int]) -> Mixture:
        """Returns it with the maps that it names drawn for a photo; see `GammaPicture.over`."""
        pictures = {id(of): of for of in self.layers.values() if isinstance(of, GammaPicture)}
        drawn = {key: of.over(photo, sides) for key, of in pictures.items()}
        return Mixture({layer: drawn.get(id(of), of) for layer, of in self.layers.items()})

    @property
    def shares(self) -> Shares | dict[str, Shares] | None:
        """The share of each style, in all layers alike or by layer; None if it is a picture."""
        numbers = {
            layer: of for layer, of in self.layers.items() if not isinstance(of, GammaPicture)
        }
        if len(numbers) < len(self.layers):
            return None
        first, *others = numbers.values()
        return first if all(other == first for other in others) else numbers

    @property
    def is_even(self) -> bool:
        """Whether the shares are the same in all layers and everywhere."""
        return not isinstance(self.shares, (Mapping, NoneType))

    @property
    def pictures(self) -> list[np.ndarray]:
        """The gammas that change over the picture, each once."""
        found = {id(of): of for of in self.layers.values() if isinstance(of, GammaPicture)}
        return [picture for of in found.values() for picture in of.pictures]

    def settings(self, groups: Mapping[str, Sequence[str]]) -> Any:
        """Returns what is worth knowing of it later, as JSON holds it."""
        return in_short({layer: _settings(of) for layer, of in self.layers.items()}, groups)

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
        pictures: How much of each style there is, float32 [h, w] in 0..1; of two styles the first
            one's alone. None where it is named, and not drawn yet.
        name: Of the map in `MAPS`, or "picture".
        styles: How many there are.
    """

    pictures: tuple[np.ndarray, ...]
    name: str
    styles: int

    def over(self, photo: np.ndarray, sides: tuple[int, int]) -> GammaPicture:
        """Returns it for a photo: drawn, if it is named.

        Args:
            photo: float32 [1, H, W, 3], 0..255.
            sides: Height and width whose proportions pictures have.

        Raises:
            ValueError: If they have others.
        """
        if self.name in MAPS:
            drawn = MAPS[self.name](photo, styles=self.styles)
            pictures = (drawn,) if drawn.ndim == 2 else tuple(drawn)
        else:
            pictures = tuple(load_mask(each, *sides, name="gamma") for each in self.pictures)
        return replace(self, pictures=pictures)

    def shares(self, height: int, width: int, name: str) -> np.ndarray:
        """Returns the share of each style at each pixel, float64 [K, height, width], in sum 1.

        Raises:
            ValueError: If pictures leave a pixel without any style.
        """
        each = [np.float64(resize_mask(picture, height, width)) for picture in self.pictures]
        if len(each) < self.styles:
            return np.stack([each[0], 1 - each[0]])
        stacked = np.stack(each)
        whole = stacked.sum(axis=0)
        if not whole.all():
            raise ValueError(f"{name} leaves {np.mean(whole == 0):.1%} of the picture to no style")
        shares: np.ndarray = stacked / whole
        return shares


Gamma = Shares | GammaPicture


def _settings(gamma: Gamma) -> Any:
    return gamma.name if isinstance(gamma, GammaPicture) else list(gamma)


def read_gamma(gamma: Any, styles: int, *, name: str = "gamma") -> Gamma:
    """Returns the shares of the styles, or the pictures of them that were given, read.

    Raises:
        ValueError: If it is neither, or does not fit the styles.
        TypeError: If a picture is none of the kinds that `mnst.load_mask` takes.
        FileNotFoundError: If a text is neither one of `MAPS` nor the path of a file.
        OSError: If a picture can't be downloaded or opened.
    """
    if isinstance(gamma, str) and gamma in MAPS:
        if styles < 2:
            raise ValueError(f"{name} is {gamma!r} for 1 style: give two styles or more")
        return GammaPicture((), gamma, styles)
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
    try:
        return GammaPicture(
            tuple(read_mask(each, name=name) for each in pictures), "picture", styles
        )
    except FileNotFoundError as error:
        hint = did_you_mean(gamma, MAPS)
        raise FileNotFoundError(f"{error}{hint}") if hint else error from None


def _is_picture(given: Any) -> bool:
    if isinstance(given, (str, os.PathLike)) or hasattr(given, "getbands"):
        return True
    try:
        return not isinstance(given, Mapping) and np.ndim(given) == 2
    except ValueError:  # a ragged list
        return False
