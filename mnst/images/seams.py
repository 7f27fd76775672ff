"""A photo whose opposite borders meet."""

from __future__ import annotations

import numpy as np


def without_seams(image: np.ndarray) -> np.ndarray:
    """Returns the periodic component of a picture (Moisan 2011), which tiles the plane.

    What is taken away is the smoothest picture that has the steps between opposite borders. So
    each step is spread over all of the picture, and edges and texture stay as they are.

    Args:
        image: float32 [1, H, W, 3], 0..255.

    Returns:
        The same; what leaves 0..255 is clipped.

    Example:
        >>> import numpy as np
        >>> from mnst.images.seams import without_seams
        >>> slope = np.linspace(0, 255, 64, dtype="float32")
        >>> slope = np.broadcast_to(slope[:, np.newaxis], (1, 64, 64, 3))
        >>> flat = without_seams(slope)  # a slope is nothing but the step at its ends
        >>> float(np.ptp(slope)), float(np.ptp(flat)) < 5
        (255.0, True)
    """
    pixels = np.asarray(image[0], np.float64)
    steps = np.zeros_like(pixels)
    for first, last in ((np.s_[0], np.s_[-1]), (np.s_[:, 0], np.s_[:, -1])):
        step = pixels[last] - pixels[first]
        steps[first] += step
        steps[last] -= step
    # The smooth part solves a Poisson equation, which divides waves by the Laplacian's.
    rows, columns = (2 * np.cos(2 * np.pi * np.fft.fftfreq(side)) for side in pixels.shape[:2])
    laplacian = rows[:, np.newaxis] + columns - 4
    laplacian[0, 0] = 1  # of the mean, which is left as it is
    waves = np.fft.fft2(steps, axes=(0, 1)) / laplacian[..., np.newaxis]
    waves[0, 0] = 0
    even: np.ndarray = pixels - np.fft.ifft2(waves, axes=(0, 1)).real
    return even.clip(0, 255).astype(np.float32)[np.newaxis]
