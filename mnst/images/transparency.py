"""Transparent pictures: laid on white, and with colours beneath their transparency.

Pure functions on arrays. Colours are straight, not premultiplied, as PNG, WebP and TIFF have them.
"""

from __future__ import annotations

import numpy as np

# From so much opacity on, of 255, a pixel's colour is its own. Of a fainter one 8 bits say little.
_TELLING = 32

# A neighbourhood is asked for its mean colour once a share of one in so many of it can be seen.
_ENOUGH = 16


def on_white(picture: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """Returns a picture laid on white.

    Args:
        picture: uint8 [H, W, 3].
        alpha: How opaque it is, uint8 [H, W]; None is all of it.

    Returns:
        uint8 [H, W, 3].

    Example:
        >>> import numpy as np
        >>> from mnst.images.transparency import on_white
        >>> on_white(np.zeros((1, 2, 3), "uint8"), np.array([[0, 255]], "uint8"))[..., 0]
        array([[255,   0]], dtype=uint8)
    """
    if alpha is None:
        return picture
    share = alpha[..., np.newaxis] / 255
    laid: np.ndarray = np.rint(255 + share * (picture - 255.0))
    return laid.astype(np.uint8)


def with_alpha(picture: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """Returns a picture, uint8 [H, W, 3], with its alpha as a fourth channel, if it has any."""
    return picture if alpha is None else np.dstack([picture, alpha])


def colours_beneath(laid: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Returns the colours of a picture that was laid on white, also where it is transparent.

    White is taken out of half-transparent pixels. What can't be seen gets the colours of what is
    seen around it: of the nearest, and from further away the more even. So nothing that is painted
    there knows of white, and no edge has a fringe on another ground.

    Args:
        laid: float32 [H, W, 3], 0..255, or beyond, as Lanczos leaves it.
        alpha: float32 [H, W], likewise.

    Returns:
        float32 [H, W, 3], 0..255; all of it white where nothing is seen.

    Example:
        >>> import numpy as np
        >>> from mnst.images.transparency import colours_beneath
        >>> laid = np.array([[[20.0], [137.5], [255.0]]], "float32").repeat(3, axis=-1)
        >>> colours_beneath(laid, np.array([[255.0, 127.5, 0.0]], "float32"))[0, :, 0].round()
        array([20., 20., 20.], dtype=float32)
    """
    opacity = alpha[..., np.newaxis] / np.float32(255)
    weighted = opacity * 255 + laid - np.float32(255)  # the colours, times how opaque they are
    telling = np.clip(alpha / np.float32(_TELLING), 0, 1)[..., np.newaxis]
    beneath = _spread(weighted, opacity)
    own = weighted / np.maximum(opacity, np.float32(1 / 255))
    colours: np.ndarray = np.clip(telling * own + (1 - telling) * beneath, 0, 255)
    return colours.astype(np.float32)


def _spread(weighted: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """Returns colours for all pixels: means over what is seen around them, the narrowest there are.

    From the whole picture's mean down, the means over half as wide a neighbourhood take the place
    of the wider ones, as far as that neighbourhood has something to be seen.
    """
    seen = opacity.sum()
    if seen <= 0:
        return np.full_like(weighted, 255)
    beneath = np.broadcast_to(weighted.sum(axis=(0, 1)) / seen, weighted.shape)
    sigma = max(opacity.shape[:2]) / 4
    while sigma >= 1:
        near, mass = (_blurred(each, sigma) for each in (weighted, opacity))
        share = np.clip(mass * _ENOUGH, 0, 1)
        beneath = share * near / np.maximum(mass, 1e-6) + (1 - share) * beneath
        sigma /= 2
    return beneath


def _blurred(maps: np.ndarray, sigma: float) -> np.ndarray:
    from scipy import ndimage  # for transparent photos alone

    blurred: np.ndarray = ndimage.gaussian_filter(maps, (sigma, sigma, 0), mode="nearest")
    return blurred
