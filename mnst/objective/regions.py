"""Where the styles may paint: masks on the picture, and at every layer of the network.

Pure functions on arrays. A mask is float32 [H, W] in 0..1, as large as the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mnst.backend import tf


class Regions(NamedTuple):
    """What of the picture is painted, and by which style.

    Attributes:
        painted: float32 [H, W], 1 where the picture is painted, 0 where the photo is kept.
        styles: t_k, float32 [R, H, W], 1 where style k may paint. R is the number of styles, or 1
            where all of them share one region.
    """

    painted: np.ndarray
    styles: np.ndarray

    @property
    def areas(self) -> np.ndarray:
        """The share of the picture's pixels that each region has, float64 [R]."""
        areas: np.ndarray = self.styles.mean(axis=(1, 2), dtype=np.float64)
        return areas

    def changed(self, change: Callable[[np.ndarray], np.ndarray]) -> Regions:
        """Returns the regions of what something makes of pictures, given masks [B, H, W]."""
        return Regions(change(self.painted[np.newaxis])[0], change(self.styles))


def paint_regions(
    mask: np.ndarray | None,
    style_masks: Sequence[np.ndarray | None] | None,
    styles: int,
    *,
    cell: int = 1,
) -> Regions | None:
    """Returns where each style may paint: t_k = (1 - mask) * style_mask_k.

    A pixel that no style may paint is kept. Where the masks of several styles meet, they add up:
    two that fade into each other leave nothing of the photo between them.

    Args:
        mask: 1 keeps the photo's pixel, 0 paints it. None keeps nothing.
        style_masks: One for each style, 1 where it may paint; None is everywhere.
        styles: How many styles there are.
        cell: The side in pixels of the deepest layer's positions; its backbone's `minimum_side`.

    Returns:
        The regions; None where every style may paint everywhere, which is no masks at all.

    Raises:
        ValueError: If there is not one mask per style, their sizes differ, or a style has no place
            that the deepest layer sees.

    Example:
        >>> import numpy as np
        >>> from mnst.objective.regions import paint_regions
        >>> left = np.zeros((4, 6), "float32")
        >>> left[:, :3] = 1
        >>> paint_regions(None, [left, 1 - left], 2).areas.tolist()
        [0.5, 0.5]
        >>> paint_regions(left, None, 2).areas.tolist()  # both styles share the right half
        [0.5]
    """
    given = [None] if style_masks is None else [*style_masks]
    if style_masks is not None and len(given) != styles:
        raise ValueError(
            f"style_masks has {len(given)} masks for {styles} styles: give one for each, None for "
            f"a style that may paint everywhere"
        )
    shapes = {each.shape for each in (mask, *given) if each is not None}
    if not shapes:
        return None
    if len(shapes) > 1:
        listed = ", ".join(f"{width} x {height}" for height, width in sorted(shapes))
        raise ValueError(f"the masks are {listed} pixels: give them all in one size")
    everywhere = np.ones(shapes.pop(), np.float32)
    each = np.stack([everywhere if own is None else own for own in given]).astype(np.float32)
    if np.all(each == each[0]):
        each = each[:1]
    open_to_all = everywhere - (0 if mask is None else mask.astype(np.float32))
    regions = Regions(open_to_all * np.minimum(each.sum(axis=0), 1), open_to_all * each)
    if not regions.painted.any():
        raise ValueError("the mask keeps the whole picture: leave something to paint")
    seen = halvings(regions.styles)[cell.bit_length() - 1]
    for k, (region, positions) in enumerate(zip(regions.styles, seen, strict=True), start=1):
        if not positions.any():
            raise ValueError(
                f"style {k} may paint {np.count_nonzero(region)} pixels, and the deepest layer, of "
                f"{seen.shape[2]} x {seen.shape[1]} positions, sees none of them: give it a larger "
                f"region that is not kept"
            )
    return None if regions.painted.min() == regions.styles.min() == 1 else regions


def halvings(masks: np.ndarray) -> list[np.ndarray]:
    """Returns masks as the layers see them: each position has the mean of the pixels below it.

    They follow VGG19's pools: each halves the picture, and drops an odd row or column. What a
    position sees beyond those pixels, through the convolutions, is left aside.

    Args:
        masks: float32 [R, H, W] in 0..1.

    Returns:
        The masks themselves, then float32 [R, H // 2, W // 2], and so on while there is a position.

    Example:
        >>> import numpy as np
        >>> from mnst.objective.regions import halvings
        >>> halvings(np.array([[[1, 1, 0, 0, 1], [1, 0, 0, 0, 1]]], "float32"))[1].tolist()
        [[[0.75, 0.0]]]
    """
    levels = [masks]
    while min(masks.shape[1:]) > 1:
        height, width = masks.shape[1] // 2, masks.shape[2] // 2
        cells = masks[:, : 2 * height, : 2 * width].reshape(-1, height, 2, width, 2)
        masks = cells.mean(axis=(2, 4))
        levels.append(masks)
    return levels


def as_seen(levels: Sequence[Any], height: int, width: int) -> Any:
    """Returns the one of the `halvings` that is as large as a layer; None if there are no masks.

    Raises:
        ValueError: If there are masks, but none of that size.
    """
    for level in levels:
        if tuple(level.shape[1:]) == (height, width):
            return level
    if levels:
        raise ValueError(
            f"masks of {levels[0].shape[2]} x {levels[0].shape[1]} pixels don't fit a layer of "
            f"{width} x {height} positions: give masks of the picture's size"
        )
    return None


def region_counts(region: Any) -> Any:
    """Returns how often each position counts, so that a region counts as much as the whole layer.

    Args:
        region: float32 [R, H, W] in 0..1; not all 0.

    Returns:
        The same, divided by its mean over each layer; a tensor.
    """
    return region / tf.reduce_mean(region, axis=[-2, -1], keepdims=True)
