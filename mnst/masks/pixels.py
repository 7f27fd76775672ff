"""Masks with pixels of their own, and pictures put together by them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from PIL import Image

from mnst import images
from mnst.checks import check_proportions, check_whole, shown


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
            NaN; or if height or width is no whole number.
        TypeError: If it is none of the kinds above.
        FileNotFoundError: If there is no such file.
        OSError: If an address can't be reached, or a file can't be opened.

    Example:
        >>> import mnst
        >>> mnst.load_mask([[0, 51], [255, 255]], 2, 2)
        array([[0. , 0.2],
               [1. , 1. ]], dtype=float32)
    """
    height, width = check_whole("height", height), check_whole("width", width)
    kept = read_mask(mask, name=name)
    name = f"{name} ({images.describe(mask)})"
    check_proportions(name, (kept.shape[0], kept.shape[1]), (height, width))
    return resize_mask(kept, height, width)


def resize_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns a mask, float32 [H, W] in 0..1, in another size, of whatever proportions."""
    if mask.shape == (height, width):
        return mask
    resized = Image.fromarray(mask).resize((width, height), Image.Resampling.BILINEAR)
    # What was all kept or all left stays so, exactly, whatever the resampling's weights sum to.
    grown: np.ndarray = np.rint(np.asarray(resized, np.float64) * 65535) / 65535
    return grown.astype(np.float32)


def read_mask(mask: Any, *, name: str = "mask") -> np.ndarray:
    """Reads a mask in its own size, float32 [H, W] in 0..1; see `load_mask`."""
    name = f"{name} ({images.describe(mask)})"
    if isinstance(mask, (str, os.PathLike, Image.Image)):
        grey = images.load_image(mask, size=None, name=name)[0].mean(axis=-1)
        kept: np.ndarray = np.rint(grey).astype(np.float32) / np.float32(255)
        return kept
    if not isinstance(mask, (list, tuple)) and not hasattr(mask, "__array__"):
        raise TypeError(f"{name}: a mask is a path, an http(s) address, a PIL image or an array")
    values = _as_array(mask, name)
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


def _as_array(given: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(given)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {shown(given)}: give an array") from None


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
        TypeError: If the mask is none of the kinds.
        FileNotFoundError: If there is no such file.
        OSError: If an address can't be reached, or a file can't be opened.

    Example:
        >>> import mnst, numpy as np
        >>> black, white = np.zeros((1, 2, 3), "uint8"), np.full((1, 2, 3), 255, "uint8")
        >>> mnst.composite(black, white, np.array([[True, False]]))[..., 0]
        array([[  0, 255]], dtype=uint8)
    """
    content, painted = _as_array(content, "content"), _as_array(painted, "painted")
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
