"""People stay themselves: DeepLab names every pixel of a photo, and masks are made of the names.

See the paper's sections 3.4 and 4.3.
"""

from __future__ import annotations

import colorsys
import io
import math
import os
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mnst import __version__, images
from mnst.checks import check_number, check_whole
from mnst.errors import calls_within_mnst, tell
from mnst.masks import Classes, hub, models
from mnst.masks.models import SegmentationModel
from mnst.reporting.plots import axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A photo and the class of every pixel of it.

    Attributes:
        image: The photo, uint8 [H, W, 3], RGB.
        labels: int32 [H, W], the number of each pixel's class.
        names: The names of classes 0, 1, ..; empty, if the model's aren't known.
        model: Which model it was: its name or address.
    """

    image: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    model: str

    @property
    def classes(self) -> dict[str, float]:
        """The classes that were found, and the share of the pixels that each has, largest first."""
        return {self._name(number): share for number, share in self._shares()}

    def mask(
        self,
        keep: Classes = "person",
        *,
        invert: bool = False,
        feather: float | None = None,
    ) -> np.ndarray:
        """Returns where the photo shows classes, with a soft edge.

        Args:
            keep: A class or several, by name or number. One that isn't in the photo gives a
                warning.
            invert: Where the photo does not show them.
            feather: Half the width of the soft edge, in pixels: exactly 1 where the edge is as far
                away inside, exactly 0 where it is as far away outside. 0 is a hard edge; None is a
                200th of the photo's long side, 2 or more.

        Returns:
            float32 [H, W], in 0..1.

        Raises:
            ValueError: If the model has no such class, none is given, or feather is out of range.

        Example:
            >>> mnst.segment("photo.jpg").mask(["person", "dog"])  # doctest: +SKIP
        """
        if feather is None:
            feather = max(2, max(self.labels.shape) / 200)
        feather = check_feather(feather)
        numbers = models.label_numbers(keep, "keep", self.names, self.model)
        for number in numbers:
            if not (self.labels == number).any():
                # Told of the line that asked, be it for a mask or for a picture.
                level = 1 + calls_within_mnst()
                warnings.warn(f"no {self._name(number)} was found in the photo", stacklevel=level)
        kept = _feathered(np.isin(self.labels, numbers), feather)
        return 1 - kept if invert else kept

    def overlay(self) -> np.ndarray:
        """Returns the photo with its classes painted over it, uint8 [H, W, 3].

        The background, where the model has one, is left as it is.
        """
        numbers = np.unique(self.labels)
        table = np.zeros((numbers.max() + 1, 3), np.float32)
        table[numbers] = [_colour(number) for number in numbers]
        painted = np.rint(0.5 * self.image + 0.5 * table[self.labels])
        background = self._is_background(self.labels)[..., np.newaxis]
        return np.where(background, self.image, painted).astype(np.uint8)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the overlay; see `mnst.save_image`, also for what it raises."""
        images.save_image(path, self.overlay(), {"model": self.model, "classes": self.classes})

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws the overlay with a legend.

        Args:
            ax: Matplotlib axes to draw on; a new figure, if not given.

        Returns:
            The axes.
        """
        from matplotlib.patches import Patch

        ax = axes(ax)
        ax.imshow(self.overlay())
        ax.set_axis_off()
        patches = []
        for number, share in self._shares():
            colour = "none" if self._is_background(number) else tuple(_colour(number) / 255)
            label = f"{self._name(number)} {share:.1%}"
            patches.append(Patch(facecolor=colour, edgecolor="grey", label=label))
        ax.legend(handles=patches, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        return ax

    def _repr_png_(self) -> bytes:
        from matplotlib.figure import Figure

        figure = Figure(layout="constrained")
        self.plot(figure.subplots())
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=120, bbox_inches="tight")  # legend and all
        return png.getvalue()

    def __repr__(self) -> str:
        height, width = self.labels.shape
        found = ", ".join(f"{name} {share:.1%}" for name, share in self.classes.items())
        return f"<mnst.Segmentation: {width} x {height} pixels, {found}>"

    def _shares(self) -> list[tuple[int, float]]:
        numbers, counts = np.unique(self.labels, return_counts=True)
        shares = zip(numbers.tolist(), (counts / self.labels.size).tolist(), strict=True)
        return sorted(shares, key=lambda found: -found[1])

    def _name(self, number: int) -> str:
        return self.names[number] if number < len(self.names) else f"class {number}"

    def _is_background(self, labels: Any) -> Any:
        return (labels == 0) & (self.names[:1] == ("background",))


def segment(
    image: Any,
    *,
    model: SegmentationModel | str | os.PathLike[str] | None = None,
    tiles: int = 4,
    progress: bool = True,
) -> Segmentation:
    """Finds out what every pixel of a photo shows (paper, section 3.4).

    Args:
        image: The photo, anything that `mnst.load_image` takes. It is labelled at its own size.
        model: Which network: a name of the table `mnst.masks.models.MODELS`, a TensorFlow Hub
            handle or another address, the path of a SavedModel's folder, of its `.tar.gz` or of a
            `.tflite` file; or a `SegmentationModel`, which also says what a file can't. Without it
            path or name in the variable MNST_DEEPLAB is taken, or a small PASCAL VOC model, which
            is downloaded.
        tiles: How many tiles to lay along the long side, at most, to find what is small. There
            are no more than the photo has pixels for; 1 is none.
        progress: Say on standard error which model labels what.

    Returns:
        The labels, which give masks. It shows itself in a notebook.

    Raises:
        ValueError: If tiles or the picture is out of range, or the model's file doesn't say what
            has to be known.
        TypeError: If the picture or the model is none of the kinds.
        FileNotFoundError: If a picture or a model isn't there.
        OSError: If a picture can't be downloaded or opened.
        WeightsError: If the model can't be had, or can't be used.

    Example:
        >>> import mnst
        >>> people = mnst.segment("photo.jpg").mask("person")  # doctest: +SKIP
    """
    tiles = check_whole("tiles", tiles)
    model = models.find_model(model)
    name = models.display_name(model)
    pixels = images.to_uint8(
        images.load_image(image, size=None, name=images.name_of("image", image))
    )
    path = models.fetch_model(model)
    model = models.complete_by_contents(model, path)
    from mnst.masks import labelling  # SciPy, which takes half a second to import

    run, side = hub.load(path, size=model.size, scaling=model.scaling)
    height, width = pixels.shape[:2]
    levels = labelling.levels(max(height, width), side, tiles)
    if progress:
        tiled = f", in up to {levels[-1]} tiles a side" if levels else ""
        line = f"mnst {__version__}: {name} labels {width} x {height} pixels{tiled}"
        tell(line)
    background = model.names[:1] == ("background",)
    labels = labelling.label(run, side, pixels, levels, background=background)
    return Segmentation(pixels, labels, tuple(model.names), name)


def check_feather(feather: Any) -> float:
    """Returns the half width of a soft edge, in pixels; no photo is a million pixels wide."""
    return check_number("feather", feather, lambda value: 0 <= value <= 1e6, "0 to 1e6 pixels")


def _feathered(kept: np.ndarray, feather: float) -> np.ndarray:
    """Returns 1 where `kept` is, with an edge that falls evenly over twice `feather` pixels.

    This is done block by block. Most blocks of a large photo have no edge, and nothing to be done.
    """
    feather = max(feather, 0.5)
    margin = math.ceil(feather)
    side = max(512, 4 * margin)
    soft = np.empty(kept.shape, np.float32)
    for top in range(0, kept.shape[0], side):
        for left in range(0, kept.shape[1], side):
            above, before = min(top, margin), min(left, margin)
            around = kept[top - above : top + side + margin, left - before : left + side + margin]
            block = soft[top : top + side, left : left + side]
            block[:] = _ramp(around, feather)[above:, before:][: block.shape[0], : block.shape[1]]
    return soft


def _ramp(kept: np.ndarray, feather: float) -> np.ndarray:
    """Does so for a block, from each pixel's distance to the nearest of the other side."""
    if kept.all() or not kept.any():
        return kept
    from scipy import ndimage

    inside, outside = (ndimage.distance_transform_edt(side) for side in (kept, ~kept))
    # The nearest pixel of the other side is 1 away or more.
    ramp: np.ndarray = np.where(kept, inside + (feather - 1), feather - outside)
    return np.clip(ramp / max(2 * feather - 1, 1e-6), 0, 1)


def _colour(number: int) -> np.ndarray:
    """Returns a class's colour, RGB in 0..255: hues that no two neighbours have in common."""
    return 255 * np.array(colorsys.hsv_to_rgb(number * 0.618 % 1, 0.85, 1))
