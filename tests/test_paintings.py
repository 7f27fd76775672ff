"""The two painted style images: repeatable, the same at any size, and far apart in style."""

from collections.abc import Callable
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mnst.paintings import glass, swirls

Picture = NDArray[np.uint8]
SIZE = 256
both = pytest.mark.parametrize("paint", [swirls, glass])


@cache
def painted(paint: Callable[..., Picture], size: int = SIZE, seed: int | None = None) -> Picture:
    return paint(size=size) if seed is None else paint(size=size, seed=seed)


def hard_edge_share(picture: Picture) -> float:
    strength = np.hypot(*np.gradient(picture.mean(axis=-1)))
    return float(np.mean(strength > 60) / np.mean(strength > 15))


def flow_agreement(picture: Picture, block: int = 16) -> float:
    """How far neighbouring blocks share their main stroke direction: 1 all, 0 by chance."""
    down, right = np.gradient(picture.mean(axis=-1))
    count = len(picture) // block
    # Squaring doubles the angle, so that opposite gradients add up instead of cancelling.
    doubled = (right + 1j * down) ** 2
    main = doubled.reshape(count, block, count, block).sum(axis=(1, 3))
    main /= np.abs(main)
    aside, below = main[:, 1:] * main[:, :-1].conj(), main[1:] * main[:-1].conj()
    return float((aside.real.mean() + below.real.mean()) / 2)


def histogram(picture: Picture) -> NDArray[np.float64]:
    counts, _ = np.histogramdd(picture.reshape(-1, 3), bins=6, range=[(0, 256)] * 3)
    return np.asarray(counts / counts.sum())


@both
def test_shape_dtype_and_range(paint: Callable[..., Picture]) -> None:
    for size in (32, 64, SIZE):
        picture = painted(paint, size)
        assert picture.shape == (size, size, 3)
        assert picture.dtype == np.uint8
    assert np.ptp(painted(paint)) > 200


@both
def test_same_seed_same_bytes_and_writable(paint: Callable[..., Picture]) -> None:
    again = paint(size=SIZE)
    assert again.tobytes() == painted(paint).tobytes()
    assert again.flags.writeable


@both
def test_small_picture_is_the_large_one_reduced(paint: Callable[..., Picture]) -> None:
    small = Image.fromarray(painted(paint)).resize((64, 64), Image.Resampling.BOX)
    reduced = np.asarray(small, dtype=float)
    assert np.abs(painted(paint, 64) - reduced).mean() < 12
    assert np.abs(painted(paint, 64, 5) - reduced).mean() > 35


@both
def test_other_seed_other_picture(paint: Callable[..., Picture]) -> None:
    assert np.mean(painted(paint, 64, 5) != painted(paint, 64)) > 0.5


@both
@pytest.mark.parametrize("size", [31, 0, -5])
def test_size_too_small(paint: Callable[..., Picture], size: int) -> None:
    with pytest.raises(ValueError, match=rf"size is {size}: .* at least 32 pixels") as caught:
        paint(size=size)
    assert "\n" not in str(caught.value)


def test_colours_are_far_apart() -> None:
    cold, hot = painted(swirls), painted(glass)
    assert cold[..., 2].mean() - cold[..., 0].mean() > 40
    assert hot[..., 0].mean() - hot[..., 2].mean() > 60
    assert np.minimum(histogram(cold), histogram(hot)).sum() < 0.2


def test_strokes_are_far_apart() -> None:
    assert hard_edge_share(painted(glass)) > 3 * hard_edge_share(painted(swirls))
    assert flow_agreement(painted(swirls)) > 1.5 * flow_agreement(painted(glass))


@both
def test_rich_at_all_scales(paint: Callable[..., Picture]) -> None:
    picture = Image.fromarray(painted(paint)).convert("L")
    levels = [
        np.asarray(picture.resize((side, side), Image.Resampling.BOX).resize((SIZE, SIZE)), float)
        for side in (SIZE, 64, 16, 4)
    ]
    bands = [np.std(fine - coarse) for fine, coarse in pairwise(levels)]
    assert min(bands) > 8
