"""People stay themselves: DeepLab names every pixel of a photo, and masks are made of the names.

The paper's sections 3.4 and 4.3. A model is asked about the whole photo, letterboxed to its input
size, and about overlapping tiles of it, so that small people in large photos are seen, too. Its
answers are brought to the photo's own size and their edges moved to the photo's own.
"""

from __future__ import annotations

import colorsys
import dataclasses
import io
import math
import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np
from PIL import Image

from mnst import __version__, images
from mnst.errors import calls_within_mnst
from mnst.masks import hub, labelling
from mnst.masks.labelling import opencv
from mnst.reporting.plots import axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Classes: TypeAlias = "str | int | Sequence[str | int]"
"""A class or several, by name or by the number of its label."""

DEEPLAB_VARIABLE = "MNST_DEEPLAB"
"""Environment variable that holds the path or the name of a segmentation model."""

# fmt: off
PASCAL_VOC = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)
# fmt: on
"""The classes of PASCAL VOC, in the order of their labels: person is 15."""


@dataclass(frozen=True)
class SegmentationModel:
    """A network that labels pixels, and what has to be known to use it.

    Attributes:
        address: A TensorFlow Hub handle, or another http(s) address, of a SavedModel or a `.tflite`
            file; or the path of a SavedModel's folder, of its `.tar.gz`, or of a `.tflite` file.
        names: The names of its labels 0, 1, ..; none, if they aren't known.
        size: The side of its square input, in pixels; None is what the file says.
        scaling: (d, s), where its input is pixels / d + s with pixels in 0..255. None is right for
            files that take bytes. A quantised file's own quantisation comes on top.
        license: The licence it is published under.

    Raises:
        ValueError: If size or scaling is out of range.

    Example:
        >>> import mnst
        >>> mnst.SegmentationModel("my.tflite", names=("other", "person"), scaling=(127.5, -1))
        ... # doctest: +ELLIPSIS
        SegmentationModel(address='my.tflite', names=('other', 'person'), ...)
    """

    address: str
    names: Sequence[str] = ()
    size: int | None = None
    scaling: tuple[float, float] | None = None
    license: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.names, str):
            raise ValueError(f"names is {self.names!r}: give a list of names")
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "address", os.fspath(self.address))
        if self.size is not None and (int(self.size) != self.size or self.size < 1):
            raise ValueError(f"size is {self.size!r}: give the input's side in pixels")
        if self.scaling is not None and (len(self.scaling) != 2 or not self.scaling[0]):
            raise ValueError(f"scaling is {self.scaling!r}: give (d, s) of pixels / d + s")


def _pascal(address: str, size: int) -> SegmentationModel:
    return SegmentationModel(address, PASCAL_VOC, size, (127.5, -1.0), "Apache-2.0")


def _edge_tpu(kind: str) -> SegmentationModel:
    # Their pages say ADE20K in 32 classes, but not which class has which number. Neither does the
    # code that trained them. So their labels have no names here: a guessed person would be wrong
    # in silence.
    address = f"https://tfhub.dev/google/edgetpu/vision/deeplab-edgetpu/default_argmax/{kind}/1"
    return SegmentationModel(address, (), 512, (128.0, -0.5), "Apache-2.0")


_HUB = "https://tfhub.dev/"
_SAYAK = f"{_HUB}sayakpaul/lite-model/deeplabv3"
MODELS = {
    "deeplabv3-mobilenetv2": _pascal(f"{_SAYAK}-mobilenetv2/1/default/1", 513),
    # Not from TensorFlow Hub, whose addresses lead to Kaggle now: users report HTTP 403 from there.
    "deeplabv3-mobilenetv2-quant": _pascal(
        "https://raw.githubusercontent.com/google-coral/test_data/"
        "104342d2d3480b3e66203073dac24f4e2dbb4c41/deeplabv3_mnv2_pascal_quant.tflite",
        513,
    ),
    "deeplabv3": _pascal(f"{_HUB}tensorflow/lite-model/deeplabv3/1/metadata/2", 257),
    "deeplabv3-mobilenetv2-dm05": _pascal(f"{_SAYAK}-mobilenetv2_dm05/1/default/2", 513),
    "deeplabv3-mobilenetv2-dm05-int8": _pascal(f"{_SAYAK}-mobilenetv2_dm05-int8/1/default/2", 513),
    "deeplabv3-xception65": _pascal(f"{_SAYAK}-xception65/1/default/2", 513),
    "deeplab-edgetpu-xs": _edge_tpu("xs"),
    "deeplab-edgetpu-s": _edge_tpu("s"),
    "deeplab-edgetpu-m": _edge_tpu("m"),
}
"""Models by name, with input size, scaling, labels and licence."""

DEFAULT_MODEL = "deeplabv3-mobilenetv2"
_ELSEWHERE = "deeplabv3-mobilenetv2-quant"  # what to take where TensorFlow Hub can't be reached

# Files that are known by their contents, wherever they lie: the SHA-256 of a `.tflite` file, or of
# a SavedModel's saved_model.pb. Both are DeepLabv3 on MobileNetV2 for PASCAL VOC.
_KNOWN = {
    "350af47fd346ea6d74b58833a351f583ba860e9806ec5bd292ff8d8f1f249398": MODELS[_ELSEWHERE],
    "1f4f38ee02ed2bedf6e072d12207c1978ec850253f4bb108b582fe2bea739cbb": MODELS[_ELSEWHERE],
}


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
        numbers, counts = np.unique(self.labels, return_counts=True)
        largest_first = np.argsort(-counts, kind="stable")
        return {self._name(numbers[k]): float(counts[k] / self.labels.size) for k in largest_first}

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
            ImportError: If OpenCV isn't installed.

        Example:
            >>> mnst.segment("photo.jpg").mask(["person", "dog"])  # doctest: +SKIP
        """
        if feather is None:
            feather = max(2, max(self.labels.shape) / 200)
        if not 0 <= feather < math.inf:
            raise ValueError(f"feather is {feather!r}: give pixels, 0 or more")
        numbers = _numbers(keep, "keep", self.names, self.model)
        for number in numbers:
            if not (self.labels == number).any():
                # Told of the line that asked, be it for a mask or for a picture.
                level = 1 + calls_within_mnst()
                warnings.warn(f"no {self._name(number)} was found in the photo", stacklevel=level)
        kept = _feathered(np.isin(self.labels, numbers), feather)
        return 1 - kept if invert else kept

    def overlay(self) -> np.ndarray:
        """Returns the photo with its classes painted over it, uint8 [H, W, 3]; not the first."""
        numbers = np.unique(self.labels)
        table = np.zeros((numbers.max() + 1, 3), np.float32)
        table[numbers] = [_colour(number) for number in numbers]
        painted = 0.5 * self.image + 0.5 * table[self.labels]
        other = self._is_background(self.labels)[..., np.newaxis]
        return np.where(other, self.image, np.rint(painted)).astype(np.uint8)

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
        shares = self.classes.items()
        numbers = {self._name(number): number for number in np.unique(self.labels)}
        patches = [
            Patch(
                facecolor="none"
                if self._is_background(numbers[name])
                else tuple(_colour(numbers[name]) / 255),
                edgecolor="grey",
                label=f"{name} {share:.1%}",
            )
            for name, share in shares
        ]
        ax.legend(handles=patches, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        return ax

    def _repr_png_(self) -> bytes:
        from matplotlib.figure import Figure

        figure = Figure(layout="constrained")
        self.plot(figure.subplots())
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", dpi=120, bbox_inches="tight")  # legend and all
        return drawn.getvalue()

    def __repr__(self) -> str:
        height, width = self.labels.shape
        found = ", ".join(f"{name} {share:.1%}" for name, share in self.classes.items())
        return f"<mnst.Segmentation: {width} x {height} pixels, {found}>"

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
        model: Which network: a name of the table `mnst.masks.segmentation.MODELS`, a TensorFlow Hub
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
        TypeError: If the picture is none of the kinds.
        FileNotFoundError: If a picture or a model isn't there.
        OSError: If a picture can't be downloaded or opened.
        ImportError: If OpenCV or, for a `.tflite` file, LiteRT isn't installed.
        WeightsError: If the model can't be had, or can't be used.

    Example:
        >>> import mnst
        >>> people = mnst.segment("photo.jpg").mask("person")  # doctest: +SKIP
    """
    if isinstance(tiles, bool) or int(tiles) != tiles or tiles < 1:
        raise ValueError(f"tiles is {tiles!r}: give a whole number, 1 or more")
    opencv()
    found = find_model(model)
    name = _shown(found)
    pixels = images.to_uint8(images.load_image(image, size=None))
    path = _fetched(found)
    found = _completed(found, path)
    run, side = hub.load(path, size=found.size, scaling=found.scaling)
    levels = labelling.levels(max(pixels.shape[:2]), side, tiles)
    if progress:
        height, width = pixels.shape[:2]
        tiled = f", in up to {levels[-1]} tiles a side" if levels else ""
        print(
            f"mnst {__version__}: {name} labels {width} x {height} pixels{tiled}",
            file=sys.stderr,
            flush=True,
        )
    background = found.names[:1] == ("background",)
    labels = labelling.label(run, side, pixels, levels, background=background)
    return Segmentation(pixels, labels, tuple(found.names), name)


def find_mask(
    photo: Any,
    *,
    keep: Classes | None = None,
    only: Classes | None = None,
    mask: Any = None,
) -> Any:
    """Returns the mask of what `keep`, `only` or `mask` say is kept, for `load_mask`, or None.

    The photo is labelled at its own size, whatever it is painted at: small people are still seen.
    """
    if only is not None:
        rest = segment(photo, progress=False).mask(only, invert=True)
        if rest.min() == 1:
            raise ValueError(f"only is {only!r}, but the photo shows none: nothing to paint")
        return rest
    if keep is not None:
        return segment(photo, progress=False).mask(keep)
    return mask


def check_classes(classes: Classes, name: str = "keep") -> None:
    """Checks that `segment(photo).mask(classes)` could be made, without running the model.

    Args:
        classes: What shall be found.
        name: What to call them in errors.

    Raises:
        ValueError: If the model doesn't know a class. Of one that isn't in the table and has yet to
            be downloaded, that is found out later.
        FileNotFoundError: If MNST_DEEPLAB names a file that isn't there.
        ImportError: If OpenCV or, for a `.tflite` file, LiteRT isn't installed.
        WeightsError: If MNST_DEEPLAB names a file that is no model.
    """
    opencv()
    model = find_model()
    named = _shown(model)
    if images.is_address(model.address):
        lite, known = hub.names_lite(model.address), bool(model.names)
    else:
        path = _fetched(model)
        model = _completed(model, path)
        lite, known = not path.is_dir(), True
    if lite:
        hub.litert()
    if known:
        _numbers(classes, name, tuple(model.names), named)


def load_mask(mask: Any, height: int, width: int, *, name: str = "mask") -> np.ndarray:
    """Reads a mask for a picture: white, or 1, is what is kept.

    Args:
        mask: A path, an http(s) address, a PIL image, or an array [H, W] or [H, W, 1], optionally
            with a leading 1: booleans; floats in 0..1; or integers in 0..255, where those that are
            all 0 or 1 are taken as booleans. A picture's colours are taken as greys.
        height: The picture's.
        width: The picture's.
        name: What to call the mask in errors.

    Returns:
        float32 [height, width], in 0..1.

    Raises:
        ValueError: If the mask has other proportions than the picture, is out of range, or has
            NaN.
        TypeError: If it is none of the kinds above.
        FileNotFoundError: If there is no such file.
        OSError: If an address can't be reached, or a file can't be opened.

    Example:
        >>> from mnst.masks.segmentation import load_mask
        >>> load_mask([[0, 51], [255, 255]], 2, 2)
        array([[0. , 0.2],
               [1. , 1. ]], dtype=float32)
    """
    name = f"{name} ({images.describe(mask)})"
    kept = _mask_pixels(mask, name)
    if abs(kept.shape[0] * width - kept.shape[1] * height) > max(kept.shape):
        raise ValueError(
            f"{name}: is {kept.shape[1]} x {kept.shape[0]} pixels, but the picture is {width} x "
            f"{height}; give one of the same proportions"
        )
    if kept.shape == (height, width):
        return kept
    resized = Image.fromarray(kept).resize((width, height), Image.Resampling.BILINEAR)
    # What was all kept or all left stays so, exactly, whatever the resampling's weights sum to.
    grown: np.ndarray = np.rint(np.asarray(resized, np.float64) * 65535) / 65535
    return grown.astype(np.float32)


def _mask_pixels(mask: Any, name: str) -> np.ndarray:
    if isinstance(mask, (str, os.PathLike, Image.Image)):
        grey = images.load_image(mask, size=None, name=name)[0].mean(axis=-1)
        kept: np.ndarray = np.rint(grey).astype(np.float32) / np.float32(255)
        return kept
    if not isinstance(mask, (list, tuple)) and not hasattr(mask, "__array__"):
        raise TypeError(f"{name}: a mask is a path, an http(s) address, a PIL image or an array")
    values = np.asarray(mask)
    if values.ndim > 2 and values.shape[0] == 1:
        values = values[0]
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.ndim != 2 or not values.size:
        raise ValueError(f"{name}: has shape {np.shape(mask)}; give [H, W]")
    if values.dtype.kind not in "buif":
        raise TypeError(f"{name}: is an array of {values.dtype}; give booleans or numbers")
    white = 255 if values.dtype.kind in "ui" and values.max() > 1 else 1
    # NaN fails every comparison, so it is asked for what is right.
    if not (values.min() >= 0 and values.max() <= white):
        raise ValueError(
            f"{name}: values from {values.min():g} to {values.max():g}; give 0..{white}"
        )
    return values.astype(np.float32) / np.float32(white)


def composite(content: np.ndarray, painted: np.ndarray, mask: Any) -> np.ndarray:
    """Puts what a mask keeps of the content image back over the painted one (paper, section 3.4).

    Args:
        content: uint8 [H, W, 3].
        painted: uint8 [H, W, 3].
        mask: Anything that `load_mask` takes.

    Returns:
        uint8 [H, W, 3]: the content's bytes where the mask is 1, the painted picture's where it is
        0, mixed between.

    Raises:
        ValueError: If the two differ in size, aren't uint8 pictures, or the mask doesn't fit.

    Example:
        >>> import mnst, numpy as np
        >>> black, white = np.zeros((1, 2, 3), "uint8"), np.full((1, 2, 3), 255, "uint8")
        >>> mnst.composite(black, white, np.array([[True, False]]))[..., 0]
        array([[  0, 255]], dtype=uint8)
    """
    for name, picture in (("content", content), ("painted", painted)):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(
                f"{name} is {picture.dtype} of shape {picture.shape}; give uint8 [H, W, 3]"
            )
    if content.shape != painted.shape:
        raise ValueError(
            f"content is {content.shape[1]} x {content.shape[0]} pixels and painted "
            f"{painted.shape[1]} x {painted.shape[0]}; give two of the same size"
        )
    kept = load_mask(mask, *content.shape[:2])[..., np.newaxis]
    mixed: np.ndarray = np.rint(kept * content + (1 - kept) * painted)
    return mixed.astype(np.uint8)


# The model: which one, from where


def find_model(
    model: SegmentationModel | str | os.PathLike[str] | None = None,
) -> SegmentationModel:
    """Says which model would be used, without loading or downloading anything.

    Args:
        model: What `segment` takes.

    Raises:
        FileNotFoundError: If there is no such file, folder, or name.

    Example:
        >>> from mnst.masks.segmentation import find_model
        >>> find_model("deeplab-edgetpu-s").size
        512
    """
    named_by = "model"
    if model is None:
        model = os.environ.get(DEEPLAB_VARIABLE) or DEFAULT_MODEL
        named_by = DEEPLAB_VARIABLE
    if not isinstance(model, SegmentationModel):
        text = os.fspath(model)
        by_address = {one.address: one for one in MODELS.values()}
        model = MODELS.get(text) or by_address.get(text.partition("?")[0])
        model = model or by_address.get(_HUB + text) or SegmentationModel(text)
    if not images.is_address(model.address) and not Path(model.address).expanduser().exists():
        raise FileNotFoundError(
            f"{model.address}: there is no such file or folder, but {named_by} names it; give one, "
            f"a TensorFlow Hub handle, or one of {', '.join(MODELS)}"
        )
    return model


def _shown(model: SegmentationModel) -> str:
    """Returns a model's name in the table, or else its address, or its file's name."""
    name = next((name for name, one in MODELS.items() if one is model), model.address)
    return name if images.is_address(name) else Path(name).name


def _fetched(model: SegmentationModel) -> Path:
    instead = ""
    if model.address.startswith(_HUB):
        instead = f"set {DEEPLAB_VARIABLE}={_ELSEWHERE}, which is not on TensorFlow Hub"
    return hub.fetch(model.address, variable=DEEPLAB_VARIABLE, instead=instead)


def _numbers(classes: Classes, option: str, names: tuple[str, ...], model: str) -> list[int]:
    """Returns the labels of classes, or says of the first that isn't known which ones are."""
    wanted: list[Any] = [classes]
    if isinstance(classes, Iterable) and not isinstance(classes, str):
        wanted = list(classes)
    if not wanted:
        raise ValueError(f"{option} is {classes!r}: give a class or several, such as 'person'")
    numbers = []
    for one in wanted:
        if isinstance(one, str) and one in names:
            numbers.append(names.index(one))
        elif _is_number(one) and 0 <= one < (len(names) or math.inf):
            numbers.append(int(one))
        elif names:
            raise ValueError(f"{option} is {one!r}: {model} knows {', '.join(names)}")
        else:
            raise ValueError(
                f"{option} is {one!r}, but nobody says what the labels of {model} mean: give a "
                f"label's number, or a mnst.SegmentationModel with names"
            )
    return numbers


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _completed(model: SegmentationModel, path: Path) -> SegmentationModel:
    """Adds what is known of a file by its contents, where nothing else was said of it."""
    if dataclasses.replace(model, address="") != SegmentationModel(""):
        return model
    known = _KNOWN.get(hub.fingerprint(path), model)
    return dataclasses.replace(known, address=model.address)


def _feathered(kept: np.ndarray, feather: float) -> np.ndarray:
    """Returns 1 where `kept` is, with an edge that falls evenly over twice `feather` pixels."""
    cv2 = opencv()
    feather = max(feather, 0.5)
    width = max(2 * feather - 1, 1e-6)
    inside, outside = (
        cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for side in (kept, ~kept)
    )
    # The nearest pixel of the other side is 1 away or more.
    ramp = np.where(kept, inside + (feather - 1), feather - outside) / width
    soft: np.ndarray = ramp.clip(0, 1).astype(np.float32)
    return soft


def _colour(number: int) -> np.ndarray:
    """Returns a class's colour, RGB in 0..255: hues that no two neighbours have in common."""
    return 255 * np.array(colorsys.hsv_to_rgb(number * 0.618 % 1, 0.85, 1))
