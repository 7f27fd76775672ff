"""Masks: what they leave to each style, and what a layer sees of them."""

import numpy as np
import pytest

from mnst.objective.regions import as_seen, halvings, paint_regions


@pytest.fixture
def left():
    """The left half of a picture of 10 x 6 pixels."""
    return np.repeat([[1.0] * 5 + [0.0] * 5], 6, axis=0).astype(np.float32)


@pytest.mark.parametrize("size", [(16, 24), (37, 50), (20, 21)])
def test_a_position_has_the_mean_of_the_pixels_that_the_pools_lead_to_it(size):
    masks = np.random.default_rng(4).uniform(size=(2, *size)).astype(np.float32)
    for level, seen in enumerate(halvings(masks)):
        side = 2**level
        assert seen.shape[1:] == (size[0] // side, size[1] // side)
        for row, column in np.ndindex(seen.shape[1:]):
            cell = masks[:, row * side : (row + 1) * side, column * side : (column + 1) * side]
            np.testing.assert_allclose(
                seen[:, row, column], cell.mean(axis=(1, 2), dtype=np.float64), rtol=1e-5
            )


def test_the_levels_have_the_sizes_of_vgg_s_layers(random_weights):
    import mnst
    from mnst.networks import VGG19

    picture = np.zeros((1, 37, 50, 3), np.float32)
    levels = halvings(picture[..., 0])
    extracted = mnst.vgg_layers(VGG19.layers, weights=random_weights)(picture)
    for features in extracted.values():
        assert as_seen(levels, *features.shape[1:3]).shape == features.shape[:3]


def test_a_mask_of_another_size_fits_no_layer():
    with pytest.raises(ValueError, match="24 x 16 pixels don't fit a layer of 10 x 8 positions"):
        as_seen(halvings(np.ones((1, 16, 24), np.float32)), 8, 10)


def test_styles_share_what_the_mask_leaves(left):
    painted, styles = paint_regions(left, None, 3)
    np.testing.assert_array_equal(painted, 1 - left)
    np.testing.assert_array_equal(styles, [1 - left])


def test_each_style_has_its_own_part_of_what_the_mask_leaves(left):
    mask = np.zeros_like(left)
    mask[:2] = 1
    painted, styles = paint_regions(mask, [left, None], 2)
    np.testing.assert_array_equal(painted, 1 - mask)
    np.testing.assert_array_equal(styles, [(1 - mask) * left, 1 - mask])


def test_what_no_style_may_paint_is_kept(left):
    painted, styles = paint_regions(None, [left, left], 2)
    np.testing.assert_array_equal(painted, left)
    np.testing.assert_array_equal(styles, [left])  # one region, so one Gram matrix


def test_styles_that_fade_into_each_other_keep_nothing_between_them():
    ramp = np.linspace(0, 1, 60, dtype=np.float32).reshape(6, 10)
    painted, styles = paint_regions(None, [ramp, 1 - ramp], 2)
    np.testing.assert_allclose(painted, 1, rtol=1e-6)
    np.testing.assert_array_equal(styles, [ramp, 1 - ramp])


@pytest.mark.parametrize(
    ("mask", "style_masks"),
    [(None, None), (0, None), (None, [1, 1]), (None, [None, 1]), (0, [1, None])],
)
def test_masks_that_exclude_nothing_are_no_masks(mask, style_masks):
    def full(value):
        return None if value is None else np.full((4, 6), value, np.float32)

    assert paint_regions(full(mask), style_masks and [full(one) for one in style_masks], 2) is None


def test_a_style_without_a_place_is_an_error(left):
    with pytest.raises(ValueError, match="keeps the whole picture"):
        paint_regions(np.ones_like(left), None, 2)
    with pytest.raises(ValueError, match="style 2 may paint 0 pixels"):
        paint_regions(left, [None, left], 2)
    with pytest.raises(ValueError, match="2 masks for 3 styles"):
        paint_regions(None, [left, left], 3)
    with pytest.raises(ValueError, match="10 x 6, 6 x 10 pixels: give them all in one size"):
        paint_regions(left, [left.T, None], 2)


def test_a_region_that_the_pools_drop_is_an_error():
    """The last of 17 rows: a position of 16 pixels a side does not see it."""
    mask = np.ones((17, 32), np.float32)
    mask[-1, :5] = 0
    assert paint_regions(mask, None, 1) is not None
    with pytest.raises(
        ValueError, match=r"style 1 may paint 5 pixels, .* of 2 x 1 positions, sees"
    ):
        paint_regions(mask, None, 1, cell=16)
