"""The four painted style images: repeatable, the same at any size, and far apart in style."""

from collections.abc import Callable
from functools import cache
from itertools import combinations, pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mnst.paintings import dots, glass, ink, swirls

Picture = NDArray[np.uint8]
SIZE = 256
PAINTINGS = (swirls, glass, ink, dots)
each = pytest.mark.parametrize("paint", PAINTINGS)
pairs = pytest.mark.parametrize(("one", "other"), list(combinations(PAINTINGS, 2)))


@cache
def painted(paint: Callable[..., Picture], size: int = SIZE, seed: int | None = None) -> Picture:
    return paint(size=size) if seed is None else paint(size=size, seed=seed)


def edge_strength(picture: Picture) -> NDArray[np.float64]:
    return np.asarray(np.hypot(*np.gradient(picture.mean(axis=-1))))


def hard_edge_share(picture: Picture) -> float:
    strength = edge_strength(picture)
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


def chroma(picture: Picture) -> NDArray[np.int_]:
    return np.asarray(np.ptp(picture.astype(int), axis=-1))


def traits(picture: Picture) -> NDArray[np.float64]:
    """Mean red, green and blue, mean chroma, and contrast."""
    means = picture.mean(axis=(0, 1))
    return np.array([*means, chroma(picture).mean(), picture.mean(axis=-1).std()])


def chroma_kept_afar(picture: Picture) -> float:
    """The share of chroma left when the eye no longer resolves the strokes."""
    afar = Image.fromarray(picture).reduce(8)
    return float(chroma(np.asarray(afar)).mean() / chroma(picture).mean())


def histogram(picture: Picture) -> NDArray[np.float64]:
    counts, _ = np.histogramdd(picture.reshape(-1, 3), bins=6, range=[(0, 256)] * 3)
    return np.asarray(counts / counts.sum())


@each
def test_shape_dtype_and_range(paint: Callable[..., Picture]) -> None:
    for size in (32, SIZE):
        picture = painted(paint, size)
        assert picture.shape == (size, size, 3)
        assert picture.dtype == np.uint8
    assert np.ptp(painted(paint)) > 200


@each
def test_same_seed_same_bytes_and_writable(paint: Callable[..., Picture]) -> None:
    again = paint(size=SIZE)
    assert again.tobytes() == painted(paint).tobytes()
    assert again.flags.writeable


@each
def test_small_picture_is_the_large_one_reduced(paint: Callable[..., Picture]) -> None:
    small = Image.fromarray(painted(paint)).resize((64, 64), Image.Resampling.BOX)
    reduced = np.asarray(small, dtype=float)
    assert np.abs(painted(paint, 64) - reduced).mean() < 12
    assert np.abs(painted(paint, 64, 5) - reduced).mean() > 25


@each
def test_other_seed_other_picture(paint: Callable[..., Picture]) -> None:
    assert np.mean(painted(paint, 64, 5) != painted(paint, 64)) > 0.5


@each
@pytest.mark.parametrize("size", [31, 0, -5])
def test_size_too_small(paint: Callable[..., Picture], size: int) -> None:
    with pytest.raises(ValueError, match=rf"size is {size}: .* at least 32 pixels") as caught:
        paint(size=size)
    assert "\n" not in str(caught.value)


@pairs
def test_every_two_are_far_apart(
    one: Callable[..., Picture], other: Callable[..., Picture]
) -> None:
    assert np.linalg.norm(traits(painted(one)) - traits(painted(other))) > 50
    assert np.minimum(histogram(painted(one)), histogram(painted(other))).sum() < 0.35


def test_swirls_are_cold_and_glass_is_hot() -> None:
    cold, hot = painted(swirls), painted(glass)
    assert cold[..., 2].mean() - cold[..., 0].mean() > 40
    assert hot[..., 0].mean() - hot[..., 2].mean() > 60
    assert np.minimum(histogram(cold), histogram(hot)).sum() < 0.2


def test_ink_is_quiet_and_almost_without_colour() -> None:
    assert np.mean(chroma(painted(ink)) > 45) < 0.01
    calm = {paint: np.median(edge_strength(painted(paint))) for paint in PAINTINGS}
    assert calm[ink] < 0.7 * min(calm[paint] for paint in (swirls, glass, dots))


def test_only_the_colours_of_dots_mix_in_the_eye() -> None:
    assert painted(dots).mean() > 150
    kept = {paint: chroma_kept_afar(painted(paint)) for paint in PAINTINGS}
    assert kept[dots] < 0.7 * min(kept[paint] for paint in (swirls, glass, ink))


def test_glass_is_hard_edged_and_swirls_flow() -> None:
    assert hard_edge_share(painted(glass)) > 3 * hard_edge_share(painted(swirls))
    assert flow_agreement(painted(swirls)) > 1.5 * flow_agreement(painted(glass))


@each
def test_rich_at_all_scales(paint: Callable[..., Picture]) -> None:
    picture = Image.fromarray(painted(paint)).convert("L")
    levels = [
        np.asarray(picture.resize((side, side), Image.Resampling.BOX).resize((SIZE, SIZE)), float)
        for side in (SIZE, 64, 16, 4)
    ]
    bands = [np.std(fine - coarse) for fine, coarse in pairwise(levels)]
    assert min(bands) > 8
