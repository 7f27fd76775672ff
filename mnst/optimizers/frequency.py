"""A filter that divides a gradient by the spatial frequency.

The losses are far steeper along fine structure than along coarse. Filtered, a step changes large
forms as readily as fine texture. It is circular: it takes the picture's borders for neighbours.
"""

from __future__ import annotations

import numpy as np

from mnst.backend import tf
from mnst.optimizers.base import Tensor


def coarse_first(height: int, width: int, floor: float) -> np.ndarray:
    """Returns what each wave of a picture is multiplied by.

    Args:
        height: Of the picture, in pixels.
        width: Of the picture, in pixels.
        floor: In cycles per pixel: frequencies below it are hardly told apart.

    Returns:
        float32 [H, W // 2 + 1], 1 in the mean.
    """
    frequency = np.hypot(np.fft.fftfreq(height)[:, np.newaxis], np.fft.rfftfreq(width))
    weights = (1 / (frequency + floor)).astype(np.float32)
    even: np.ndarray = weights / weights.mean()
    return even


def filtered(gradient: Tensor, weights: Tensor) -> Tensor:
    """Returns a gradient, [1, H, W, 3], whose waves are multiplied by the weights."""
    channels = tf.transpose(gradient, [0, 3, 1, 2])
    waves = tf.signal.rfft2d(channels) * tf.cast(weights, tf.complex64)
    return tf.transpose(tf.signal.irfft2d(waves, tf.shape(channels)[2:]), [0, 2, 3, 1])
