"""What a live picture is painted over, in any size: the photo, its colours, what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mnst import images
from mnst.checks import check_proportions
from mnst.images import colours
from mnst.masks.pixels import resize_mask
from mnst.painting.scene import Scene, read_photo


@dataclass(frozen=True, eq=False)
class Ground:
    """A photo, and what of it shows in a picture.

    Attributes:
        photo: In its own colours, uint8 [H, W, 3].
        painted: Where styles paint, float32 [H, W] in 0..1; None is everywhere.
        alpha: How opaque it is, uint8 [H, W]; None is all of it.
        grey: Whether its lights alone are painted, and the picture has its colours.
        wraps: Whether opposite borders are neighbours.
        source: To read the photo from in larger sizes; None, if there is nothing to read.
    """

    photo: np.ndarray
    painted: np.ndarray | None
    alpha: np.ndarray | None
    grey: bool
    wraps: bool
    source: Any = None

    @classmethod
    def of(cls, scene: Scene, source: Any) -> Ground:
        """Returns the ground of a scene; the source is its photo, as it was given."""
        canvas, regions = scene.canvases[-1], scene.regions
        return cls(
            images.to_uint8(canvas.photo if canvas.own is None else canvas.own),
            None if regions is None else regions.painted.astype(np.float32),
            scene.alpha,
            canvas.own is not None,
            scene.seamless,
            source,
        )

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], settings: Mapping[str, Any], source: Any
    ) -> Ground:
        """Returns the ground that `as_arrays` gave.

        Raises:
            ValueError: If its pictures don't fit each other.
        """
        photo, painted, alpha = (arrays.get(name) for name in ("photo", "painted", "alpha"))
        if photo is None or photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
            raise ValueError("there is no photo")
        for each in (painted, alpha):
            if each is not None and each.shape != photo.shape[:2]:
                raise ValueError("a mask is not as large as the photo")
        return cls(
            photo, painted, alpha, bool(settings["grey"]), bool(settings["seamless"]), source
        )

    def as_arrays(self) -> dict[str, np.ndarray]:
        """Returns its pictures as a file has them, by name."""
        arrays = {"photo": self.photo, "painted": self.painted, "alpha": self.alpha}
        return {name: array for name, array in arrays.items() if array is not None}

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.photo.shape[:2]
        return height, width

    def sized(self, size: int | None) -> Ground:
        """Returns it in another size.

        Args:
            size: The longest that the long side may be, in pixels; None is as it is. It never gets
                larger than the photo that was given.

        Raises:
            ValueError: If it is larger, and it is seamless or has no photo to read.
            OSError: If the photo can't be read any more.
        """
        longest = max(self.sides)
        if size is None or size == longest:
            return self
        if size < longest:
            photo = images.resize_to(self._pixels, size)
            if self.wraps:
                photo = images.resize_image(self._pixels, *photo.shape[1:3], wraps=True)
            return self._with(photo, self.alpha)
        if self.wraps or self.source is None:
            why = "is seamless" if self.wraps else "was opened without its photo"
            raise ValueError(
                f"size is {size}, but the picture {why}: give {longest}, which was learnt, or less"
            )
        read = read_photo(self.source, size=size)
        check_proportions(read.name, read.pixels.shape[1:3], self.sides, "give the one it learnt")
        return self._with(read.pixels, read.alpha)

    def _with(self, photo: np.ndarray, alpha: np.ndarray | None) -> Ground:
        sides = photo.shape[1:3]
        painted = None if self.painted is None else resize_mask(self.painted, *sides)
        if alpha is not None and alpha.shape != sides:
            opaque = resize_mask(alpha.astype(np.float32) / 255, *sides)
            alpha = np.rint(255 * opaque).astype(np.uint8)
        return replace(self, photo=images.to_uint8(photo), painted=painted, alpha=alpha)

    @property
    def _pixels(self) -> np.ndarray:
        return self.photo[np.newaxis].astype(np.float32)

    @property
    def beneath(self) -> np.ndarray:
        """What a network paints over, float32 [1, H, W, 3]."""
        return colours.greyed(self._pixels) if self.grey else self._pixels

    def seen(self, painting: Any) -> np.ndarray:
        """Returns what was painted over it as it is seen, uint8 [H, W, 3], or 4 with alpha."""
        picture = np.clip(np.asarray(painting), 0, 255)
        if self.painted is not None:
            share = self.painted[np.newaxis, ..., np.newaxis]
            picture = (1 - share) * self.beneath + share * picture
        if self.grey:
            picture = colours.coloured(picture, self._pixels)
        return images.with_alpha(images.to_uint8(picture), self.alpha)
