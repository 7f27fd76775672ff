"""Pictures of a gamma that changes over a photo: `stylize(..., gamma=mnst.maps.radial(photo))`.

All are pure functions. Of two styles they return the share of the first, float32 [H, W] in 0..1.
Of more they return the share of each, [K, H, W], in sum 1: the way from the first style to the last
leads through the others, one after the other. Any array of the photo's proportions is a gamma as
well, so what they return may be turned, mirrored, multiplied.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mnst import images
from mnst.checks import check_number, check_whole
from mnst.masks import Classes
from mnst.masks.pixels import read_mask
from mnst.masks.selection import check_classes


def left_to_right(photo: Any, *, styles: int = 2) -> np.ndarray:
    """Returns a gamma that goes from the first style at the left to the last at the right.

    Args:
        photo: For which photo: anything that `mnst.load_image` takes, or (height, width).
        styles: How many styles there are, 2 or more.

    Returns:
        float32 [H, W] in 0..1, the share of style 1 of two; of more, [K, H, W].

    Raises:
        ValueError: If a number is out of range.
        TypeError: If the photo is none of the kinds above.
        FileNotFoundError: If there is no such file.
        OSError: If an address can't be reached, or a file can't be opened.

    Example:
        >>> import mnst
        >>> mnst.maps.left_to_right((1, 5))
        array([[1.  , 0.75, 0.5 , 0.25, 0.  ]], dtype=float32)
        >>> mnst.maps.left_to_right((1, 5), styles=3)[:, 0]
        array([[1. , 0.5, 0. , 0. , 0. ],
               [0. , 0.5, 1. , 0.5, 0. ],
               [0. , 0. , 0. , 0.5, 1. ]], dtype=float32)
    """
    height, width = _sides(photo)
    return _on_the_way(np.tile(np.linspace(0, 1, width), (height, 1)), styles)


def top_to_bottom(photo: Any, *, styles: int = 2) -> np.ndarray:
    """Returns a gamma that goes from the first style at the top to the last at the bottom.

    Args:
        photo: As in `left_to_right`, which says what is returned and raised, too.
        styles: How many styles there are, 2 or more.

    Raises:
        ValueError: If a number is out of range.
        TypeError: If the photo is none of the kinds.
        FileNotFoundError: If there is no such file.
        OSError: If an address can't be reached, or a file can't be opened.

    Example:
        >>> import mnst
        >>> mnst.maps.top_to_bottom((3, 1))[:, 0]
        array([1. , 0.5, 0. ], dtype=float32)
    """
    height, width = _sides(photo)
    return _on_the_way(np.tile(np.linspace(0, 1, height)[:, np.newaxis], (1, width)), styles)


def radial(photo: Any, *, styles: int = 2) -> np.ndarray:
    """Returns a gamma that goes from the first style in the middle to the last in the corners.

    Args:
        photo: As in `left_to_right`, which says what is returned and raised, too.
        styles: How many styles there are, 2 or more.

    Raises:
        ValueError: If a number is out of range.
        TypeError: If the photo is none of the kinds.
        FileNotFoundError: If there is no such file.
        OSError: If an address can't be reached, or a file can't be opened.

    Example:
        >>> import mnst
        >>> mnst.maps.radial((1, 5))
        array([[0. , 0.5, 1. , 0.5, 0. ]], dtype=float32)
    """
    rows, columns = (np.arange(side) - (side - 1) / 2 for side in _sides(photo))
    away = np.hypot(rows[:, np.newaxis], columns)
    return _on_the_way(away / max(away[0, 0], 0.5), styles)


def by_luminance(photo: Any, *, styles: int = 2, smooth: float = 0.01) -> np.ndarray:
    """Returns a gamma that goes from the first style where a photo is brightest to the last.

    Args:
        photo: Anything that `mnst.load_image` takes.
        styles: How many styles there are, 2 or more.
        smooth: How far the photo is blurred before, so that its noise leaves no specks: the
            deviation of a Gaussian, 0 or more, in units of the photo's long side.

    Returns:
        float32 [H, W] in 0..1, the share of style 1 of two: 1 in the brightest place, 0 in the
        darkest, one half in a photo of a single grey. Of more styles, [K, H, W].

    Raises:
        ValueError: If a number is out of range.
        TypeError: If the photo is none of the kinds above.
        FileNotFoundError: If there is no such file.
        OSError: If an address can't be reached, or a file can't be opened.

    Example:
        >>> import mnst, numpy as np
        >>> greys = np.uint8([[[0] * 3, [51] * 3, [255] * 3]])
        >>> mnst.maps.by_luminance(greys, smooth=0)
        array([[0. , 0.2, 1. ]], dtype=float32)
    """
    from scipy import ndimage

    smooth = check_number("smooth", smooth, lambda value: 0 <= value <= 1, "from 0 to 1")
    pixels = images.load_image(photo, size=None, name=images.name_of("photo", photo))[0]
    luminance = pixels.astype(np.float64) @ (0.2126, 0.7152, 0.0722)  # of sRGB's primaries
    luminance = ndimage.gaussian_filter(luminance, smooth * max(luminance.shape), mode="nearest")
    darkest, range_ = luminance.min(), np.ptp(luminance)
    bright = (luminance - darkest) / range_ if range_ > 1e-6 else np.full_like(luminance, 0.5)
    return _on_the_way(1 - bright, styles)


def by_class(
    photo: Any, classes: Classes, *, feather: float | None = None, model: Any = None
) -> np.ndarray:
    """Returns a gamma that is all of style 1 where a photo shows classes, and style 2 elsewhere.

    Unlike `only` and `keep` it paints all of the photo.

    Args:
        photo: Anything that `mnst.load_image` takes.
        classes: A class or several, by name or number, as `mnst.Segmentation.mask` takes them.
        feather: Half the width of the soft edge, in pixels, as in `mnst.Segmentation.mask`.
        model: Which model finds them, as in `mnst.segment`.

    Returns:
        float32 [H, W] in 0..1.

    Raises:
        ValueError: If the model has no such class, none is given, or feather is out of range.
        TypeError: If the photo or the model is none of the kinds.
        FileNotFoundError: If there is no such file.
        OSError: If an address can't be reached, or a file can't be opened.
        WeightsError: If DeepLab can't be had, or is no such model.

    Example:
        >>> gamma = mnst.maps.by_class("photo.jpg", "person")  # doctest: +SKIP
    """
    from mnst.masks import segmentation

    check_classes(classes, "classes", model)
    if feather is not None:
        segmentation.check_feather(feather)
    found = segmentation.segment(photo, model=model, progress=False)
    return found.mask(classes, feather=feather)


def by_distance(mask: Any, *, reach: float = 0.25, styles: int = 2) -> np.ndarray:
    """Returns a gamma that is all of the first style within a mask, and goes to the last outwards.

    Args:
        mask: As `mnst.load_mask` takes it; within it is where it is one half or more.
        reach: How far from its edge all is the last style, above 0, in units of the mask's long
            side.
        styles: How many styles there are, 2 or more.

    Returns:
        float32 [H, W] in 0..1, the share of style 1 of two, as large as the mask. Of more styles,
        [K, H, W].

    Raises:
        ValueError: If a number or the mask is out of range, or nothing is within it.
        TypeError: If the mask is none of the kinds.
        FileNotFoundError: If there is no such file.
        OSError: If an address can't be reached, or a file can't be opened.

    Example:
        >>> import mnst
        >>> mnst.maps.by_distance([[1, 0, 0, 0]], reach=0.5)
        array([[1. , 0.5, 0. , 0. ]], dtype=float32)
    """
    from scipy import ndimage

    reach = check_number("reach", reach, lambda value: value > 0, "more than 0")
    within = read_mask(mask) >= 0.5
    if not within.any():
        raise ValueError("mask is below one half everywhere: give one with something within it")
    away = ndimage.distance_transform_edt(~within)
    return _on_the_way(np.minimum(away / (reach * max(within.shape)), 1), styles)


def _sides(photo: Any) -> tuple[int, int]:
    """Returns the height and width of a photo, given it or them."""
    if isinstance(photo, tuple) and len(photo) == 2:
        height, width = (
            check_whole(f"photo's {side}", value)
            for side, value in zip(("height", "width"), photo, strict=True)
        )
        return height, width
    pixels = images.load_image(photo, size=None, name=images.name_of("photo", photo))
    return pixels.shape[1], pixels.shape[2]


def _on_the_way(way: np.ndarray, styles: int) -> np.ndarray:
    """Returns the share of each style, given how far it is from the first to the last, in 0..1."""
    stops = np.arange(check_whole("styles", styles, 2)).reshape(-1, 1, 1)
    shares: np.ndarray = np.maximum(1 - np.abs(way * (len(stops) - 1) - stops), 0)
    shares = shares.astype(np.float32)
    return shares[0] if len(stops) == 2 else shares
