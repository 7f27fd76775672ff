"""The guided filter of He, Sun and Tang (2010), for a guide in colour."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


class GuidedFilter:
    """Moves the edges of maps to the edges of a photo.

    In every window a map is approximated by the linear function of the photo's colours that comes
    closest to it. A pixel gets the mean of what the functions of all its windows say of it. What
    depends on the photo alone is computed once, for any number of maps.

    Beyond its borders the photo is mirrored, the last pixel repeated (`reflect`).

    Args:
        photo: uint8 [H, W, 3].
        radius: The windows are squares of 2 radius + 1 pixels.
        eps: How much variance, of colours in 0..255, is taken for noise rather than for an edge.

    Example:
        >>> photo = np.full((1, 8, 3), 255, "uint8")
        >>> photo[:, :4] = 0
        >>> too_far = np.array([[0, 0, 0, 0, 0, 0, 1, 1]], "float32")
        >>> GuidedFilter(photo, radius=8, eps=100)(too_far).round(1)
        array([[0. , 0. , 0. , 0. , 0.5, 0.5, 0.5, 0.5]], dtype=float32)
    """

    def __init__(self, photo: np.ndarray, *, radius: int, eps: float) -> None:
        self._side = 2 * radius + 1
        self._photo = np.moveaxis(photo, 2, 0).astype(np.float32)
        self._mean = self._window_mean(self._photo)
        covariance = np.empty((3, *self._photo.shape), np.float32)
        for i in range(3):
            product_mean = self._window_mean(self._photo[i] * self._photo)
            covariance[i] = product_mean - self._mean[i] * self._mean
            covariance[i, i] += eps
        self._inverse = _inverse(covariance)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Returns a map, float32 [H, W], with its edges at the photo's."""
        mean = self._window_mean(values)
        covariance = self._window_mean(self._photo * values) - self._mean * mean
        slopes = np.einsum("ijhw,jhw->ihw", self._inverse, covariance)
        intercept = mean - (slopes * self._mean).sum(axis=0)
        filtered: np.ndarray = (self._window_mean(slopes) * self._photo).sum(axis=0)
        filtered += self._window_mean(intercept)
        return filtered

    def _window_mean(self, bands: np.ndarray) -> np.ndarray:
        """Returns the mean of each pixel's window, band by band."""
        size = (1,) * (bands.ndim - 2) + (self._side, self._side)
        mean: np.ndarray = ndimage.uniform_filter(bands, size, mode="reflect")
        return mean


def _inverse(matrices: np.ndarray) -> np.ndarray:
    """Inverts symmetric matrices [3, 3, H, W], tens of times as fast as `np.linalg.inv`."""
    cofactors = np.stack(
        [np.cross(matrices[row - 2], matrices[row - 1], axis=0) for row in range(3)]
    )
    determinant = (matrices[0] * cofactors[0]).sum(axis=0)
    inverse: np.ndarray = cofactors / determinant
    return inverse
