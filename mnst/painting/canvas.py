"""A photo in one of the sizes that a run goes through, and what is painted there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mnst.engine.margins import Margin, margin_of
from mnst.images import colours
from mnst.objective.regions import Regions


@dataclass(frozen=True, eq=False)
class Canvas:
    """A scene in one of the sizes that it is painted in.

    Attributes:
        content: The photo in that size as it is painted from, with what is painted around it,
            float32 [1, H, W, 3], 0..255.
        painted_regions: Where the styles may paint, as large as the content; None without masks.
        margin: What of it is cut off.
        own: The photo in its own colours, where it is painted in grey, to have them back where the
            picture is seen; else None. It has no margin.
        tile: Side of the tiles that the picture is painted in, in pixels; None is as a whole.
    """

    content: np.ndarray
    painted_regions: Regions | None
    margin: Margin
    own: np.ndarray | None = None
    tile: int | None = None

    @classmethod
    def of(
        cls, photo: np.ndarray, regions: Regions | None, pixels: int, *, grey: bool = False
    ) -> Canvas:
        """Returns a canvas for a photo, to be painted as a whole, with so many pixels around it."""
        margin = margin_of(pixels, *photo.shape[1:3])
        own, photo = (photo, colours.greyed(photo)) if grey else (None, photo)
        return cls(margin.around(photo), regions and regions.changed(margin.around), margin, own)

    @property
    def photo(self) -> np.ndarray:
        """The photo itself, as it is painted from."""
        pixels: np.ndarray = self.margin.cut(self.content)
        return pixels

    @property
    def regions(self) -> Regions | None:
        """Where the styles may paint on the photo itself."""
        return self.painted_regions and self.painted_regions.changed(self.margin.cut)

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the picture."""
        return self.margin.inner_sides(*self.painted_sides)

    @property
    def painted_sides(self) -> tuple[int, int]:
        """Height and width of what is painted."""
        height, width = self.content.shape[1:3]
        return height, width

    def composited(self, image: Any) -> Any:
        """Puts the photo's pixels back where a picture keeps them (paper, section 4.3)."""
        regions = self.regions
        if regions is None:
            return image
        painted = regions.painted[None, ..., None]
        return (1 - painted) * self.photo + painted * np.asarray(image)

    def coloured(self, image: Any) -> Any:
        """Gives a picture the photo's colours back, where it was painted in grey."""
        return image if self.own is None else colours.coloured(np.asarray(image), self.own)
