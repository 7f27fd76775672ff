"""From a model that labels small squares to labels of a whole photo, at the photo's own size.

The model is asked about the whole photo, letterboxed to its input's size, and about overlapping
tiles of it, so that small people in large photos are seen, too. The edges of what it says are
moved to the photo's own edges by a guided filter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image
from scipy import ndimage

from mnst.masks.guided import GuidedFilter
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
    height, width = pixels.shape[:2]
    # Edges are found at 1000 pixels: the blur, which grows with the photo, leaves nothing finer.
    small = _resized_photo(pixels, min(max(height, width), 1000))

    def look(longest: int) -> Votes:
        votes = _votes_on_tiles(run, side, _resized_photo(pixels, longest))
        return {number: _resized_map(share, *small.shape[:2]) for number, share in votes.items()}

    # A smaller scale finds what a larger one has missed, such as the shadowed half of a shoulder.
    votes = _mean_votes(look(side), look(side * 3 // 4), look(side // 2))
    for tiles in levels:
        finer = look(_row_length(tiles, side))
        votes = _with_finer(votes, finer) if background else _mean_votes(votes, finer)
    return _most_votes(_moved_to_edges(small, votes), height, width)


def levels(longest: int, side: int, tiles: int) -> list[int]:
    """Returns into how many tiles a side to cut: 2, 4, .., as long as nothing is enlarged."""
    doubled = [2**k for k in range(1, tiles.bit_length())]
    return [count for count in doubled if _row_length(count, side) <= longest]


def _row_length(tiles: int, side: int) -> int:
    """Returns how long a row of tiles is that overlap by a quarter."""
    return side * (3 * tiles + 1) // 4


def _votes_on_tiles(run: Run, side: int, picture: np.ndarray) -> Votes:
    """Votes on a picture, cut into overlapping tiles of the input's size."""
    height, width = picture.shape[:2]
    votes: Votes = {}
    total = np.zeros((height, width), np.float32)
    for top in _tile_starts(height, side):
        for left in _tile_starts(width, side):
            part = np.s_[top : top + side, left : left + side]
            weight = _tile_weights(*picture[part].shape[:2])
            for labels in _labels_both_ways(run, side, picture[part]):
                for number in np.unique(labels):
                    of_class = votes.setdefault(int(number), np.zeros_like(total))
                    of_class[part] += weight * (labels == number)
                total[part] += weight
    return {number: of_class / total for number, of_class in votes.items()}


def _tile_starts(length: int, side: int) -> list[int]:
    """Returns where tiles begin that cover a length evenly and overlap by a quarter or more."""
    count = max(1, math.ceil((length - side / 4) / (side * 3 / 4)))
    return [round(k * (length - side) / max(1, count - 1)) for k in range(count)]


def _tile_weights(height: int, width: int) -> np.ndarray:
    """Weighs a tile's middle more than its edges, where it can't see what comes next."""
    rows, columns = (np.minimum(np.arange(n) + 1, n - np.arange(n)) for n in (height, width))
    return np.minimum.outer(rows, columns).astype(np.float32)


def _labels_both_ways(run: Run, side: int, picture: np.ndarray) -> Iterator[np.ndarray]:
    """Labels a picture no larger than the input as it is, and mirrored."""
    height, width = picture.shape[:2]
    top, left = (side - height) // 2, (side - width) // 2
    square = np.full((side, side, 3), _GREY, np.uint8)
    square[top : top + height, left : left + width] = picture
    for way in (1, -1):
        labels = _labels_of(run(np.ascontiguousarray(square[:, ::way])), side)[:, ::way]
        yield labels[top : top + height, left : left + width]


def _labels_of(output: np.ndarray, side: int) -> np.ndarray:
    """Makes labels [S, S] of what a model says: labels, or a score for each class."""
    if output.ndim == 3 and output.shape[2] > 1:
        bands = np.moveaxis(output, 2, 0).astype(np.float32)
        scores = [_resized_map(band, side, side) for band in bands]
        labels: np.ndarray = np.argmax(scores, axis=0)
        return labels
    rows = columns = np.arange(side)
    height, width = output.shape[:2]  # as many as the square's, or fewer
    return output.reshape(height, width)[np.ix_(rows * height // side, columns * width // side)]


def _mean_votes(*several: Votes) -> Votes:
    mean: Votes = {}
    for votes in several:
        for number, share in votes.items():
            mean[number] = mean.get(number, 0) + share / len(several)
    return mean


def _with_finer(coarse: Votes, fine: Votes) -> Votes:
    """Adds the votes on smaller tiles: what the larger ones saw as an object stays.

    A tile sees small people, but of large ones only a piece, which may look like nothing.
    """
    nobody = np.zeros_like(next(iter(coarse.values())))
    seen = coarse.get(0, nobody) < 0.5
    return {k: np.where(seen, coarse.get(k, nobody), fine.get(k, nobody)) for k in {*coarse, *fine}}


def _moved_to_edges(photo: np.ndarray, votes: Votes) -> Votes:
    """Moves the edges of votes to those of the photo; leaves no crumbs."""
    # Found by looking at edges at full size: hair, hats, shoulders.
    longest = max(photo.shape)
    move_edges = GuidedFilter(photo, radius=max(2, longest // 30), eps=100.0)
    return {
        number: ndimage.gaussian_filter(move_edges(share), longest / 500)
        for number, share in votes.items()
    }


def _most_votes(votes: Votes, height: int, width: int) -> np.ndarray:
    """Returns the class with most votes for every pixel of a photo, int32 [height, width]."""
    labels = np.zeros((height, width), np.int32)
    most = np.full((height, width), -np.inf, np.float32)
    for number in sorted(votes):
        share = _resized_map(votes[number], height, width)
        labels[share > most] = number
        np.maximum(share, most, out=most)
    return labels


def _resized_map(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resamples a map, float32 [H, W], linearly."""
    return np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BILINEAR))


def _resized_photo(pixels: np.ndarray, longest: int) -> np.ndarray:
    """Brings a photo's long side to `longest`."""
    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    # From photos that a sharper filter has reduced, DeepLab misses parts of objects.
    method = Image.Resampling.HAMMING if scale < 1 else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(pixels).resize(size, method))
