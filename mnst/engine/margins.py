"""A margin around the picture, that is painted with it and cut off.

A convolution pads with zeros, which after VGG's preprocessing is a grey wall around the picture.
What is painted before it answers to that wall, as a frame of some pixels. So more is painted than
is asked for, from a photo that is mirrored at its borders, as printers do it, and the frame goes
with what is cut off. (To mirror the picture itself for the network's eyes alone does not do: every
stroke that meets the border then makes a corner there, which a style has none of.)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

# Side of the cells that VGG's deepest layers see, in pixels. Pools drop what does not fill one: the
# margin fills it, so that no layer overlooks the last rows and columns.
_CELL = 16


class Margin(NamedTuple):
    """How many pixels are painted beyond the picture.

    Attributes:
        rows: Above and below it.
        columns: To its left and right.

    Example:
        >>> from mnst.engine.margins import margin_of
        >>> margin_of(8, 100, 128)
        Margin(rows=(8, 20), columns=(8, 8))
    """

    rows: tuple[int, int]
    columns: tuple[int, int]

    def around(self, maps: np.ndarray) -> np.ndarray:
        """Returns pictures, [B, H, W, N], or masks, [B, H, W], with a margin that mirrors them."""
        if self == _NONE:
            return maps
        widths = [(0, 0), self.rows, self.columns, (0, 0)]
        return np.pad(maps, widths[: maps.ndim], "symmetric")

    def cut(self, maps: Any) -> Any:
        """Returns pictures, [B, H, W, N], or masks, [B, H, W], without their margin: a view."""
        if self == _NONE:
            return maps
        (top, bottom), (left, right) = self
        height, width = maps.shape[1:3]
        return maps[:, top : height - bottom, left : width - right]

    def inner_sides(self, height: int, width: int) -> tuple[int, int]:
        """Returns the height and width of the picture in what is painted for it."""
        return height - sum(self.rows), width - sum(self.columns)


_NONE = Margin((0, 0), (0, 0))


def margin_of(pixels: int, height: int, width: int) -> Margin:
    """Returns a margin of at least so many pixels around a picture; of none at all, if 0."""
    if not pixels:
        return _NONE
    below, beyond = (pixels - (side + 2 * pixels) % -_CELL for side in (height, width))
    return Margin((pixels, below), (pixels, beyond))
