"""Small networks of VGG19's shape: how narrow their convolutions are, and their files, `.npz`.

`vgg19-lite` comes with the package, and `mnst.distill` makes others.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mnst.errors import WeightsError
from mnst.images import write_atomically

Width = tuple[int, int]
"""Channels of a narrow convolution: behind its first 1 x 1, and behind its 3 x 3."""

# Narrower than the responses' rank where a channel costs many positions; the layers that the style
# losses are read behind, the first of each block, are kept truest.
LITE_WIDTHS: dict[str, Width | None] = {
    "block1_conv1": None,
    "block1_conv2": (16, 24),
    "block2_conv1": (40, 48),
    "block2_conv2": (48, 56),
    "block3_conv1": (80, 80),
    "block3_conv2": (96, 80),
    "block3_conv3": (80, 72),
    "block3_conv4": (80, 72),
    "block4_conv1": (128, 112),
    "block4_conv2": (112, 96),
    "block4_conv3": (112, 96),
    "block4_conv4": (128, 96),
    "block5_conv1": (160, 128),
    "block5_conv2": (160, 128),
    "block5_conv3": (128, 96),
    "block5_conv4": (128, 96),
}
"""Channels of `vgg19-lite`: of each convolution behind its 1 x 1, and behind its 3 x 3."""


def read_lite(path: Path) -> tuple[dict[str, Width | None], dict[str, np.ndarray]]:
    """Reads a small network's file, as `write_lite` writes it.

    Returns:
        The width of each convolution by its name, None for one as wide as VGG19's; and the float32
        values of each weight, by the path that Keras gives it.

    Raises:
        WeightsError: If the file is damaged, or no such file.
    """
    try:
        # Opened here, since NumPy leaves a file open that turns out to be no archive.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            values = {name: arrays[name] for name in arrays.files}
        widths = {
            name: _check_width(name, width, values)
            for name, width in json.loads(str(values.pop("widths"))).items()
        }
        return widths, {name: value.astype(np.float32) for name, value in values.items()}
    except Exception:  # NumPy, zipfile and JSON raise what they please on a damaged file
        raise WeightsError(f"{path}: damaged, or not a network that mnst.distill made") from None


def _check_width(name: str, width: Any, values: Mapping[str, np.ndarray]) -> Width | None:
    """Returns a convolution's width, which has to be that of its weights.

    Of any other Keras would make layers, however large, or fail in ways of its own.
    """
    if width is None:
        return None
    reduce, core = (values[f"{name}_{part}/kernel"].shape[3] for part in ("reduce", "core"))
    if tuple(width) != (reduce, core):
        raise ValueError(f"{name} is {width}, but its weights are {reduce}, {core}")
    return reduce, core


def write_lite(
    path: Path, widths: Mapping[str, Width | None], values: Mapping[str, np.ndarray]
) -> None:
    """Writes a small network's weights, as float16."""
    data = io.BytesIO()
    arrays: dict[str, Any] = {name: value.astype(np.float16) for name, value in values.items()}
    arrays["widths"] = np.array(json.dumps(dict(widths)))
    np.savez_compressed(data, **arrays)
    write_atomically(path, data.getvalue())
