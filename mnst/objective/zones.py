"""Zones of a picture whose gamma changes from place to place: in each the styles are mixed once.

Two masks that fade into each other leave a grey gap between them: where each is one half, no style
gets through. So what is aimed at is blended, too. A picture is laid out in zones that overlap, each
with a mixture of its own, and a pixel between two of them belongs to both.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Of two styles there are so many steps from the one to the other, and a zone more; of more styles,
# half as many along each edge between two of them. Neighbours' mixtures are alike enough then.
_STEPS = 4

# A picture of no more gammas than these has a zone for each, and nothing in between.
_FEW = 5


class Zones(NamedTuple):
    """Zones, and how the styles are mixed in each.

    Attributes:
        masks: How much each pixel belongs to each zone, float32 [Z, H, W], in sum 1 at every pixel.
        shares: The share of each style in each zone, float64 [Z, K]. Their means, weighted with
            the masks, are the gammas of the pixels.
    """

    masks: np.ndarray
    shares: np.ndarray


def zones_of(shares: np.ndarray) -> Zones:
    """Returns the zones of a picture in which each pixel has shares of its own; as few as do.

    A pixel lies in a simplex, whose corners are the styles. It is cut into small ones (Freudenthal
    1942), and the pixel belongs to the corners of the one that it lies in, by its barycentric
    coordinates: to K zones at the most. For two styles these are five triangles over gamma.

    Args:
        shares: The share of each style at each pixel, [K, H, W], none negative, in sum 1.

    Example:
        >>> import numpy as np
        >>> from mnst.objective.zones import zones_of
        >>> gamma = np.linspace(0, 1, 33).reshape(1, 33)
        >>> masks, mixtures = zones_of(np.stack([gamma, 1 - gamma]))
        >>> mixtures[:, 0].tolist()
        [0.0, 0.25, 0.5, 0.75, 1.0]
        >>> masks[:, 0, 12].tolist()  # gamma is 0.375 there
        [0.0, 0.5, 0.5, 0.0, 0.0]
    """
    count, *sides = shares.shape
    pixels = np.asarray(shares, np.float64).reshape(count, -1)
    # Differences that no picture of 8 bits has are none.
    few, which = np.unique(pixels.round(4), axis=1, return_inverse=True)
    if few.shape[1] <= _FEW:
        masks = np.arange(few.shape[1])[:, np.newaxis] == which.reshape(1, -1)
        return Zones(masks.astype(np.float32).reshape(-1, *sides), (few / few.sum(axis=0)).T)
    steps = _STEPS if count == 2 else _STEPS // 2
    corners, weights = _freudenthal(pixels * steps)
    nodes, which = np.unique(corners.reshape(count, -1), axis=1, return_inverse=True)
    masks = np.zeros((nodes.shape[1], pixels.shape[1]))
    which = which.reshape(count, -1)
    for corner, weight in zip(which, weights, strict=True):
        np.add.at(masks, (corner, np.arange(len(corner))), weight)
    used = masks.any(axis=1)
    return Zones(masks[used].astype(np.float32).reshape(-1, *sides), nodes.T[used] / steps)


def _freudenthal(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the corners of the small simplex around each point, and how near it is to each.

    Args:
        points: [K, P], none negative, with a whole number as the sum of each column.

    Returns:
        The corners, whole numbers with the same sum, [K, K, P]: the K coordinates of the K corners;
        and barycentric coordinates, [K, P], in sum 1.
    """
    # In sums from the last coordinate on, cells are cubes, cut along their diagonals: from the
    # lowest corner one goes to the highest along the axes, those of the largest remainders first.
    sums = np.cumsum(points[::-1], axis=0)[::-1]
    sums[0] = sums[0].round()
    # What is whole but for rounding.
    sums = np.where(np.abs(sums - sums.round()) < 1e-9, sums.round(), sums)
    lowest = np.floor(sums)
    remainders = sums - lowest
    order = np.argsort(-remainders[1:], axis=0, kind="stable") + 1
    falling = np.take_along_axis(remainders, order, axis=0)
    weights = -np.diff(falling, axis=0, prepend=1.0, append=0.0)
    walked, corners = lowest.copy(), []
    for axis in (None, *order):
        if axis is not None:
            walked = walked.copy()
            np.put_along_axis(
                walked, axis[np.newaxis], np.take_along_axis(walked, axis[np.newaxis], 0) + 1, 0
            )
        corners.append(-np.diff(walked, axis=0, append=0.0))
    return np.stack(corners, axis=1) + 0.0, weights  # of -0, 0
