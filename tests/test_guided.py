"""The guided filter: against its definition, and against OpenCV's."""

import numpy as np
import pytest
from scipy import ndimage

from mnst.masks.guided import GuidedFilter


def scene(height, width):
    """A photo with soft and hard edges, and a map that follows some of them."""
    random = np.random.default_rng(3)
    noise = random.standard_normal((height, width, 3))
    smooth = ndimage.gaussian_filter(noise, (3, 3, 0))
    photo = np.where(smooth > 0, 40, 200) + 25 * noise
    values = ndimage.gaussian_filter((smooth[..., 0] > 0).astype(np.float32), 2)
    return photo.clip(0, 255).astype(np.uint8), values


def by_definition(photo, values, radius, eps):
    """He, Sun and Tang (2010), equations 14 to 16, window by window, in float64."""
    height, width = values.shape
    border = ((radius, radius), (radius, radius))
    colours = np.pad(photo.astype(np.float64), (*border, (0, 0)), "symmetric")
    values = np.pad(values.astype(np.float64), border, "symmetric")
    slopes, intercepts = np.empty((height, width, 3)), np.empty((height, width))
    for row, column in np.ndindex(height, width):
        window = np.s_[row : row + 2 * radius + 1, column : column + 2 * radius + 1]
        inside, target = colours[window].reshape(-1, 3), values[window].ravel()
        mean = inside.mean(axis=0)
        covariance = (inside - mean).T @ (inside - mean) / len(inside)
        mixed = (inside - mean).T @ (target - target.mean()) / len(inside)
        slopes[row, column] = np.linalg.solve(covariance + eps * np.eye(3), mixed)
        intercepts[row, column] = target.mean() - slopes[row, column] @ mean
    slopes = np.pad(slopes, (*border, (0, 0)), "symmetric")
    intercepts = np.pad(intercepts, border, "symmetric")
    filtered = np.empty((height, width))
    for row, column in np.ndindex(height, width):
        window = np.s_[row : row + 2 * radius + 1, column : column + 2 * radius + 1]
        slope = slopes[window].mean(axis=(0, 1))
        filtered[row, column] = slope @ photo[row, column] + intercepts[window].mean()
    return filtered


@pytest.mark.parametrize("radius", [1, 4, 30])
def test_is_what_it_is_defined_as(radius):
    photo, values = scene(17, 23)
    filtered = GuidedFilter(photo, radius=radius, eps=100)(values)
    assert filtered.dtype == np.float32
    expected = by_definition(photo, values, radius, 100)
    np.testing.assert_allclose(filtered, expected, atol=2e-5)
    assert np.abs(expected - values).max() > 0.1


def test_is_defined_where_a_photo_has_no_colours():
    """Its covariance is singular there, but for eps."""
    grey = np.repeat(scene(17, 23)[0][..., :1], 3, axis=2)
    values = scene(17, 23)[1]
    filtered = GuidedFilter(grey, radius=4, eps=100)(values)
    np.testing.assert_allclose(filtered, by_definition(grey, values, 4, 100), atol=1e-4)


@pytest.mark.parametrize("radius", [2, 25])
def test_is_opencvs(radius):
    cv2 = pytest.importorskip("cv2.ximgproc", reason="OpenCV's contributed modules are missing")
    photo, values = scene(300, 400)
    expected = cv2.guidedFilter(photo, values, radius, 100.0)
    filtered = GuidedFilter(photo, radius=radius, eps=100)(values)
    np.testing.assert_allclose(filtered, expected, atol=1e-4)


def test_serves_any_number_of_maps():
    photo, values = scene(60, 80)
    shared = GuidedFilter(photo, radius=5, eps=100)
    first, second = shared(values), shared(1 - values)
    np.testing.assert_allclose(first + second, 1, atol=1e-5)
    np.testing.assert_array_equal(shared(values), first)
