"""Colours of pictures: as greys, with colours of another, and in the palette of another.

Pure functions on arrays [..., H, W, 3], RGB, 0..255. The first way is the luminance transfer of
Gatys et al. 2016, "Preserving color in neural artistic style transfer" (arXiv 1606.05897), the
second its colour matching.
"""

from __future__ import annotations

import numpy as np

# Of red, green and blue in what is seen as light (ITU-R BT.601, on pixels as they are stored).
_LIGHT = np.array([0.299, 0.587, 0.114])

# Added to the variances of colours, in squares of pixel values: of a picture that lacks a colour,
# as greys do, none is made by enlarging its noise.
_LEAST = 1.0


def luminance(picture: np.ndarray) -> np.ndarray:
    """Returns how light each pixel is, float64 [..., H, W], 0..255."""
    light: np.ndarray = np.asarray(picture, np.float64) @ _LIGHT
    return light


def greyed(picture: np.ndarray, like: np.ndarray | None = None) -> np.ndarray:
    """Returns a picture as a grey one.

    Args:
        picture: float [..., H, W, 3], 0..255.
        like: Another, whose mean and deviation of luminance it is brought to.

    Returns:
        float32 [..., H, W, 3], 0..255, with three channels alike.

    Example:
        >>> import numpy as np
        >>> from mnst.images.colours import greyed
        >>> greyed(np.array([[[255.0, 0, 0]]])).round().tolist()
        [[[76.0, 76.0, 76.0]]]
    """
    light = luminance(picture)
    if like is not None:
        target = luminance(like)
        contrast = target.std() / max(light.std(), np.sqrt(_LEAST))
        light = (light - light.mean()) * contrast + target.mean()
    grey = np.clip(light, 0, 255).astype(np.float32)[..., np.newaxis]
    return np.repeat(grey, 3, axis=-1)


def coloured(painted: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Gives what was painted the colours of a photo; its luminance stays as it is.

    What a pixel of the photo has above or below its own grey is added. Where that would leave
    0..255, as in shadows and lights, there is less of it, in the same hue: a clipped one would take
    from the strokes.

    Args:
        painted: float [..., H, W, 3], 0..255.
        photo: Of the same shape.

    Returns:
        float32, of the same shape. Where the painted is `greyed(photo)` it is the photo itself.

    Example:
        >>> import numpy as np
        >>> from mnst.images.colours import coloured
        >>> photo, painted = np.array([[[200.0, 100, 100]]]), np.full((1, 1, 3), 50.0)
        >>> coloured(painted, photo).round().tolist()
        [[[120.0, 20.0, 20.0]]]
    """
    light = np.clip(luminance(painted), 0, 255)[..., np.newaxis]
    chroma = np.asarray(photo, np.float64) - greyed(photo)
    room = np.where(chroma > 0, 255 - light, light)
    share = np.min(room / np.maximum(np.abs(chroma), 1e-9), axis=-1, keepdims=True)
    seen = light + np.minimum(share, 1) * chroma
    within: np.ndarray = np.clip(seen, 0, 255)
    return within.astype(np.float32)


def in_palette(picture: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Returns a picture with the colours of another: their means and covariances become alike.

    Of all linear maps that do so, it is the one that moves colours least (Pitie and Kokaram 2007).

    Args:
        picture: float [..., H, W, 3], 0..255.
        palette: Another, in any size.

    Returns:
        float32, of the picture's shape, clipped to 0..255.

    Example:
        >>> import numpy as np
        >>> from mnst.images.colours import in_palette
        >>> dark = np.random.default_rng(0).uniform(0, 100, (8, 8, 3))
        >>> in_palette(dark, dark + 100).mean().round() == (dark + 100).mean().round()
        np.True_
    """
    own, mean = _spread(picture)
    wanted, target = _spread(palette)
    root = _power(own, 0.5)
    back = _power(own, -0.5)
    change = back @ _power(root @ wanted @ root, 0.5) @ back
    moved = (np.asarray(picture, np.float64) - mean) @ change + target
    within: np.ndarray = np.clip(moved, 0, 255)
    return within.astype(np.float32)


def _spread(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the covariance of a picture's colours, [3, 3], and their mean, [3]."""
    colours = np.asarray(picture, np.float64).reshape(-1, 3)
    mean = colours.mean(axis=0)
    return np.cov(colours.T, bias=True) + _LEAST * np.eye(3), mean


def _power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    """Returns a power of a symmetric matrix with positive eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    powered: np.ndarray = (vectors * values**exponent) @ vectors.T
    return powered
