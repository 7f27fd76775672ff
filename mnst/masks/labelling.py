"""From a model that labels small squares to labels of a whole photo, at the photo's own size.

The model is asked about the whole photo, letterboxed to its input's size, and about overlapping
tiles of it, so that small people in large photos are seen, too. The edges of what it says are
moved to the photo's own edges by a guided filter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mnst.masks.hub import Run

Votes = dict[int, np.ndarray]
"""By class, the share of the views in which a pixel is of it, float32 [H, W]."""

_GREY = 127  # what networks were trained to see beyond a photo's edge


def label(
    run: Run, side: int, pixels: np.ndarray, levels: Sequence[int] = (), *, background: bool
) -> np.ndarray:
    """Returns the class of every pixel of a photo.

    Args:
        run: From a square, uint8 [S, S, 3], to labels [S', S'] or scores [S', S', classes].
        side: S, the square's side.
        pixels: The photo, uint8 [H, W, 3].
        levels: How many tiles to lay along the long side, from few to many; see `levels`.
        background: Whether class 0 is what is no object.

    Returns:
        int32 [H, W].
    """
    votes = _whole(run, side, pixels)
    for tiles in levels:
        finer = _tiled(run, side, pixels, _covered(tiles, side))
        votes = _combined(votes, finer, background=background)
    return _refined(pixels, votes)


def levels(longest: int, side: int, tiles: int) -> list[int]:
    """Returns into how many tiles a side to cut: 2, 4, .., as long as nothing is enlarged."""
    doubled = [2**k for k in range(1, tiles.bit_length())]
    return [count for count in doubled if _covered(count, side) <= longest]


def opencv() -> Any:
    """Returns OpenCV, or says how to get it."""
    try:
        import cv2
        import cv2.ximgproc
    except ImportError:
        raise ImportError(
            "finding people needs OpenCV with its contributed modules: pip install 'mnst[people]'"
        ) from None
    return cv2


def _covered(tiles: int, side: int) -> int:
    """Returns how long a row of tiles is that overlap by a quarter."""
    return side * (3 * tiles + 1) // 4


def _whole(run: Run, side: int, pixels: np.ndarray) -> Votes:
    """Votes on the whole photo, at the size of the model's input, at 3/4 and at 1/2 of it.

    A smaller scale finds what a larger one has missed, such as the shadowed half of a shoulder.
    """
    return _mean(
        *(_tiled(run, side, pixels, longest) for longest in (side, side * 3 // 4, side // 2))
    )


def _tiled(run: Run, side: int, pixels: np.ndarray, longest: int) -> Votes:
    """Votes on a photo, brought to a size and cut into overlapping tiles of the input's."""
    cv2 = opencv()
    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture = cv2.resize(pixels, (width, height), interpolation=method)
    votes: Votes = {}
    total = np.zeros((height, width), np.float32)
    for top in _starts(height, side):
        for left in _starts(width, side):
            part = np.s_[top : top + side, left : left + side]
            weight = _window(*picture[part].shape[:2])
            for labels in _seen_both_ways(run, side, picture[part]):
                for number in np.unique(labels):
                    of_class = votes.setdefault(int(number), np.zeros_like(total))
                    of_class[part] += weight * (labels == number)
                total[part] += weight
    return {number: of_class / total for number, of_class in votes.items()}


def _starts(length: int, side: int) -> list[int]:
    """Returns where tiles begin that cover a length evenly and overlap by a quarter or more."""
    count = max(1, math.ceil((length - side / 4) / (side * 3 / 4)))
    return [round(k * (length - side) / max(1, count - 1)) for k in range(count)]


def _window(height: int, width: int) -> np.ndarray:
    """Weighs a tile's middle more than its edges, where it can't see what comes next."""
    rows, columns = (np.minimum(np.arange(n) + 1, n - np.arange(n)) for n in (height, width))
    return np.minimum.outer(rows, columns).astype(np.float32)


def _seen_both_ways(run: Run, side: int, picture: np.ndarray) -> Iterator[np.ndarray]:
    """Labels a picture no larger than the input as it is, and mirrored."""
    height, width = picture.shape[:2]
    top, left = (side - height) // 2, (side - width) // 2
    square = np.full((side, side, 3), _GREY, np.uint8)
    square[top : top + height, left : left + width] = picture
    yield _labels(run(square), side)[top : top + height, left : left + width]
    mirrored = _labels(run(np.ascontiguousarray(square[:, ::-1])), side)[:, ::-1]
    yield mirrored[top : top + height, left : left + width]


def _labels(said: np.ndarray, side: int) -> np.ndarray:
    """Makes labels [S, S] of what a model says: labels, or a score for each class."""
    if said.ndim == 3 and said.shape[2] > 1:
        cv2 = opencv()
        scores = [cv2.resize(band, (side, side)) for band in np.moveaxis(said, 2, 0)]
        labels: np.ndarray = np.argmax(scores, axis=0)
        return labels
    rows = columns = np.arange(side)
    height, width = said.shape[:2]  # as many as the square's, or fewer
    return said.reshape(height, width)[np.ix_(rows * height // side, columns * width // side)]


def _mean(*several: Votes) -> Votes:
    """Returns the mean of votes, at the size of the largest."""
    shape = max(map(_shape, several))
    nobody = np.zeros(shape, np.float32)
    resized = [_resized(votes, shape) for votes in several]
    classes = set().union(*several)
    return {k: np.mean([votes.get(k, nobody) for votes in resized], axis=0) for k in classes}


def _combined(coarse: Votes, fine: Votes, *, background: bool) -> Votes:
    """Adds the votes on smaller tiles: what the larger ones saw as an object stays.

    A tile sees small people, but of large ones only a piece, which may look like nothing.
    """
    if not background:
        return _mean(coarse, fine)
    shape = _shape(fine)
    coarse = _resized(coarse, shape)
    nobody = np.zeros(shape, np.float32)
    seen = coarse.get(0, nobody) < 0.5
    return {k: np.where(seen, coarse.get(k, nobody), fine.get(k, nobody)) for k in {*coarse, *fine}}


def _shape(votes: Votes) -> tuple[int, int]:
    height, width = next(iter(votes.values())).shape
    return height, width


def _resized(votes: Votes, shape: tuple[int, int]) -> Votes:
    cv2 = opencv()
    return {k: cv2.resize(v, shape[::-1], interpolation=cv2.INTER_LINEAR) for k, v in votes.items()}


# Edges


def _refined(pixels: np.ndarray, votes: Votes) -> np.ndarray:
    """Brings votes to the photo's size, moves their edges to the photo's, and counts them.

    The guided filter (He, Sun and Tang, 2010) makes of each class's votes, in every neighbourhood,
    the linear function of the colours that comes closest to them.
    """
    cv2 = opencv()
    height, width = pixels.shape[:2]
    # Found by looking at edges at full size: hair, hats, shoulders. In shares of the long side.
    longest = max(height, width)
    radius, smallest = max(2, longest // 30), longest / 500
    labels = np.zeros((height, width), np.int32)
    most = np.full((height, width), -1, np.float32)
    for number in sorted(votes):
        share = cv2.resize(votes[number], (width, height), interpolation=cv2.INTER_LINEAR)
        # eps is a variance of colours in 0..255. Large photos are filtered at about 1000 pixels.
        share = cv2.ximgproc.guidedFilter(
            pixels, share, radius=radius, eps=100.0, scale=1 / max(1, round(longest / 1000))
        )
        share = cv2.GaussianBlur(share, (0, 0), max(smallest, 0.3))  # no crumbs
        labels[share > most] = number
        most = np.maximum(share, most)
    return labels
