"""Which DeepLab is asked: the table of models, and what has to be known to use one."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnst import images
from mnst.checks import (
    check_number,
    check_path,
    check_whole,
    did_you_mean,
    settle,
    shown,
    user_path,
)
from mnst.masks import Classes, hub
from mnst.sources import hubs, tfhub
from mnst.sources.releases import RELEASES, TENSORFLOW_HUB

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
        address: A TensorFlow Hub handle, another http(s) address, or one on Hugging Face or Kaggle,
            `hf://...` or `kaggle://...`, of a SavedModel or a `.tflite` file; or the path of a
            SavedModel's folder, of its `.tar.gz`, or of a `.tflite` file.
        names: The names of its labels 0, 1, ..; none, if they aren't known.
        size: The side of its square input, in pixels; None is what the file says.
        scaling: (d, s), where its input is pixels / d + s with pixels in 0..255. None is right for
            files that take bytes. A quantised file's own quantisation comes on top.
        license: The licence it is published under.

    Raises:
        ValueError: If names is no list, or size or scaling is out of range.
        TypeError: If the address is no text.

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
        listed = isinstance(self.names, (list, tuple))
        if not listed or not all(isinstance(name, str) for name in self.names):
            raise ValueError(f"names is {shown(self.names)}: give a list of names")
        settle(self, names=tuple(self.names), address=_as_address("address", self.address))
        if self.size is not None:
            settle(self, size=check_whole("size", self.size))
        if self.scaling is not None:
            settle(self, scaling=_check_scaling(self.scaling))


def _as_address(name: str, given: Any) -> str:
    return given if isinstance(given, str) else str(check_path(name, given))


def _check_scaling(scaling: Any) -> tuple[float, float]:
    try:
        divisor, shift = scaling
    except (TypeError, ValueError):
        raise ValueError(f"scaling is {shown(scaling)}: give (d, s) of pixels / d + s") from None
    of = f"scaling is {shown(scaling)}, and d"
    return (
        check_number(of, divisor, lambda value: value != 0, "not 0"),
        check_number(f"{of[:-1]}s", shift, lambda _: True, "any that is finite"),
    )


def _pascal(name: str, size: int) -> SegmentationModel:
    address = RELEASES[name].addresses[0]
    return SegmentationModel(address, PASCAL_VOC, size, (127.5, -1.0), "Apache-2.0")


def _edge_tpu(name: str) -> SegmentationModel:
    # Their pages say ADE20K in 32 classes, but not which class has which number. Neither does the
    # code that trained them. So their labels have no names here: a guessed person would be wrong
    # in silence.
    address = RELEASES[name].addresses[0]
    return SegmentationModel(address, (), 512, (128.0, -0.5), "Apache-2.0")


MODELS = {
    "deeplabv3-mobilenetv2": _pascal("deeplabv3-mobilenetv2", 513),
    "deeplabv3-mobilenetv2-quant": _pascal("deeplabv3-mobilenetv2-quant", 513),
    "deeplabv3": _pascal("deeplabv3", 257),
    "deeplabv3-mobilenetv2-dm05": _pascal("deeplabv3-mobilenetv2-dm05", 513),
    "deeplabv3-mobilenetv2-dm05-int8": _pascal("deeplabv3-mobilenetv2-dm05-int8", 513),
    "deeplabv3-xception65": _pascal("deeplabv3-xception65", 513),
    "deeplab-edgetpu-xs": _edge_tpu("deeplab-edgetpu-xs"),
    "deeplab-edgetpu-s": _edge_tpu("deeplab-edgetpu-s"),
    "deeplab-edgetpu-m": _edge_tpu("deeplab-edgetpu-m"),
}
"""Models by the names of their releases, with input size, scaling, labels and licence."""

DEFAULT_MODEL = "deeplabv3-mobilenetv2"
_ELSEWHERE = "deeplabv3-mobilenetv2-quant"  # what to take where TensorFlow Hub can't be reached

# Files that are known by their contents, wherever they lie: the SHA-256 of a `.tflite` file, or of
# a SavedModel's saved_model.pb. Both are DeepLabv3 on MobileNetV2 for PASCAL VOC.
KNOWN_CONTENTS = {
    "350af47fd346ea6d74b58833a351f583ba860e9806ec5bd292ff8d8f1f249398": MODELS[_ELSEWHERE],
    "1f4f38ee02ed2bedf6e072d12207c1978ec850253f4bb108b582fe2bea739cbb": MODELS[_ELSEWHERE],
}


def find_model(
    model: SegmentationModel | str | os.PathLike[str] | None = None,
) -> SegmentationModel:
    """Says which model would be used, without loading or downloading anything.

    Args:
        model: What `segment` takes.

    Raises:
        TypeError: If it is none of what `segment` takes.
        ValueError: If it is no address on a hub, though it begins as one.
        FileNotFoundError: If there is no such file, folder, or name.

    Example:
        >>> from mnst.masks.models import find_model
        >>> find_model("deeplab-edgetpu-s").size
        512
    """
    named_by = "model"
    if model is None:
        model = os.environ.get(DEEPLAB_VARIABLE) or DEFAULT_MODEL
        named_by = DEEPLAB_VARIABLE
    if not isinstance(model, SegmentationModel):
        address = _as_address(named_by, model)
        model = _in_table(address) or SegmentationModel(address)
    if hubs.is_hub_address(model.address):
        hubs.parse(named_by, model.address)
    elif not images.is_address(model.address) and not user_path(model.address).exists():
        raise FileNotFoundError(
            f"{images.named(model.address)}: there is no such file or folder, but {named_by} names "
            f"it; give one, a TensorFlow Hub handle, or one of {', '.join(MODELS)}"
            f"{did_you_mean(model.address, MODELS)}"
        )
    return model


def _in_table(text: str) -> SegmentationModel | None:
    """Looks a name, an address, or a handle without its host up in the table."""
    by_address = {model.address: model for model in MODELS.values()}
    on_hub = {
        mirror: dataclasses.replace(model, address=mirror)
        for name, model in MODELS.items()
        for mirror in RELEASES[name].addresses[1:]
    }
    return (
        MODELS.get(text)
        or by_address.get(text.partition("?")[0])
        or by_address.get(TENSORFLOW_HUB + text)
        or on_hub.get(text)
    )


def display_name(model: SegmentationModel) -> str:
    """Returns a model's name in the table, or else its address, or its file's name."""
    name = next((name for name, known in MODELS.items() if known is model), model.address)
    return images.describe(name) if images.is_address(name) else Path(name).name


def fetch_model(model: SegmentationModel) -> Path:
    """Returns where a model's files are, once they are there; see `tfhub.fetch`."""
    instead = ""
    if model.address.startswith(TENSORFLOW_HUB):
        instead = f"set {DEEPLAB_VARIABLE}={_ELSEWHERE}, which is not on TensorFlow Hub"
    return tfhub.fetch(model.address, variable=DEEPLAB_VARIABLE, instead=instead)


def complete_by_contents(model: SegmentationModel, path: Path) -> SegmentationModel:
    """Adds what is known of a file by its contents, where nothing but its address was given."""
    if model != SegmentationModel(model.address):
        return model
    known = KNOWN_CONTENTS.get(hub.fingerprint(path), model)
    return dataclasses.replace(known, address=model.address)


def label_numbers(
    classes: Classes, option: str, names: Sequence[str], model_name: str
) -> list[int]:
    """Returns the labels of classes, or says of the first that isn't known which ones are."""
    several = isinstance(classes, (list, tuple, set, frozenset)) or np.ndim(classes) == 1
    wanted: Any = classes if several else [classes]
    numbers = [_label_number(each, option, names, model_name) for each in wanted]
    if not numbers:
        raise ValueError(f"{option} is {shown(classes)}: give a class or several, as in 'cat'")
    return numbers


def _label_number(wanted: Any, option: str, names: Sequence[str], model_name: str) -> int:
    if isinstance(wanted, str) and wanted in names:
        return names.index(wanted)
    whole = isinstance(wanted, (int, np.integer)) and not isinstance(wanted, bool)
    if whole and 0 <= wanted < (len(names) or math.inf):
        return int(wanted)
    if names:
        raise ValueError(
            f"{option} is {shown(wanted)}: {model_name} knows {', '.join(names)}"
            f"{did_you_mean(wanted, names)}"
        )
    raise ValueError(
        f"{option} is {shown(wanted)}, but nobody says what the labels of {model_name} mean: "
        f"give a label's number, or a mnst.SegmentationModel with names"
    )
