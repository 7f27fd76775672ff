"""What can be told of a painted picture in numbers, beside its photo and its painting.

Pictures are uint8 [H, W, 3], RGB; what a network sees of one is a dict of layer name to float32
[h, w, channels]. No recipe optimises the layers that are compared here.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image

LAYERS = ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3")
SCALES = (1, 0.5, 0.25)  # at one scale fine wallpaper would count as much as whole strokes
DIRECTIONS = 64
GRID = 12
RIM = 8  # pixels: the width of a frame that is looked for, and of what it is compared with

Features = Mapping[str, np.ndarray]
Look = Callable[[np.ndarray], Features]


def look_at_scales(look: Look, picture: np.ndarray) -> list[Features]:
    """Returns what a network sees of a picture at each of the `SCALES`."""
    height, width = picture.shape[:2]
    sides = [tuple(max(32, round(side * part)) for side in (width, height)) for part in SCALES]
    image = Image.fromarray(picture)
    return [look(np.asarray(image.resize(size, Image.Resampling.LANCZOS))) for size in sides]


def manner(seen: Sequence[Features]) -> list[np.ndarray]:
    """Returns how activations are spread in each scale and layer, wherever in the picture.

    Along random directions, which are always the same: 512 quantiles of each, [512, directions].
    """
    return [_quantiles(features[layer]) for features in seen for layer in LAYERS]


def _quantiles(features: np.ndarray) -> np.ndarray:
    channels = features.shape[-1]
    directions = np.random.default_rng(0).normal(size=(channels, DIRECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    along = features.reshape(-1, channels) @ directions.astype(np.float32)
    return np.quantile(along, np.linspace(0, 1, 512), axis=0)


def style_distance(picture: Sequence[np.ndarray], painting: Sequence[np.ndarray]) -> float:
    """Returns how far one manner is from another: 0 is the same.

    The sliced Wasserstein distance over the painting's own size, mean of all scales and layers.
    """
    apart = [_rms(one - own) / _rms(own) for one, own in zip(picture, painting, strict=True)]
    return float(np.mean(apart))


def structure(features: Features) -> np.ndarray:
    """Returns how unlike each other the places of a grid are, each column as shares of its sum.

    It tells what is where, and nothing of colours or strokes that are the same everywhere.
    """
    deepest = features[LAYERS[-1]]
    rows, columns = (np.linspace(0, side - 1, GRID).astype(int) for side in deepest.shape[:2])
    places = deepest[np.ix_(rows, columns)].reshape(GRID**2, -1)
    places = places / np.linalg.norm(places, axis=1, keepdims=True).clip(1e-6)
    unlike = 1 - places @ places.T
    return unlike / unlike.sum(axis=0).clip(1e-6)


def content_distance(picture: np.ndarray, photo: np.ndarray) -> float:
    """Returns how far one structure is from another: 0 is the same."""
    return float(np.abs(picture - photo).mean() * GRID**2)


def chequer(picture: np.ndarray) -> float:
    """Returns the root mean square of what goes up and down with every pixel, in grey levels."""
    height, width = (side // 2 * 2 for side in picture.shape[:2])
    grey = _luminance(picture)[:height, :width]
    fields = grey[::2, ::2] + grey[1::2, 1::2] - grey[::2, 1::2] - grey[1::2, ::2]
    return float(_rms(fields / 2))


def coherence(picture: np.ndarray, *, side: int = 8) -> float:
    """Returns how far slopes run one way in squares of some pixels: 1 in strokes, less in a weave.

    A weave has no frequency of its own, but runs down and across in the same place. This is the
    coherence of the structure tensor, each square weighted with its slopes.
    """
    grey = _luminance(picture)
    # Between four pixels, which a chequerboard leaves alone: that has its own measure.
    down = (grey[1:, 1:] + grey[1:, :-1] - grey[:-1, 1:] - grey[:-1, :-1]) / 2
    across = (grey[1:, 1:] + grey[:-1, 1:] - grey[1:, :-1] - grey[:-1, :-1]) / 2
    height, width = (length // side for length in down.shape)

    def summed(slopes: np.ndarray) -> np.ndarray:
        squares = slopes[: height * side, : width * side].reshape(height, side, width, side)
        return squares.sum(axis=(1, 3))

    yy, xx, xy = summed(down**2), summed(across**2), summed(down * across)
    return float(np.hypot(yy - xx, 2 * xy).sum() / max((yy + xx).sum(), 1e-6))


def frame(picture: np.ndarray, photo: np.ndarray) -> dict[str, float]:
    """Returns by how much more the rim differs from what lies behind it than in the photo.

    In grey levels; 0 is nowhere more. Each ring of pixels of the rim is compared with the band
    inside of the rim: its mean colour, and its mean slope, which tells a busy or a flat one. A
    frame goes round all sides. So their mean is taken, in which most of what the picture shows
    there cancels out. Where no frame is, colours come to 1 or 2, and contrast to 0.7.
    """
    more = (_rings(picture) - _rings(photo)).clip(0)
    return {"colour": float(_rms(more[:, 0])), "contrast": float(_rms(more[:, 1]))}


def _rings(picture: np.ndarray) -> np.ndarray:
    """Returns how far each ring of the rim is from the band, in colour and contrast: [rings, 2]."""
    around = np.mean([_profile(np.rot90(picture, turn)) for turn in range(4)], axis=0)
    return np.stack([_rms(around[:, :3], axis=1), np.abs(around[:, 3])], axis=1)


def _profile(picture: np.ndarray) -> np.ndarray:
    """Returns by how much each row of the rim at the top is another than the band: [rows, 4]."""
    slopes = np.hypot(*np.gradient(_luminance(picture)))
    told = np.dstack([picture, slopes])[: 2 * RIM].mean(axis=1)
    return told[:RIM] - told[RIM:].mean(axis=0)


def agreement(labels: np.ndarray, expected: np.ndarray, *, least: float = 0.01) -> float | None:
    """Returns the mean intersection over union of what is expected; None, if that is nothing.

    Args:
        labels: The number of each pixel's class; 0 is the background, and does not count.
        expected: The same of the photo.
        least: The share of the photo that a class must have to count.
    """
    numbers, counts = np.unique(expected, return_counts=True)
    there = numbers[(numbers > 0) & (counts >= least * expected.size)]
    if not there.size:
        return None
    pairs = [(labels == number, expected == number) for number in there]
    return float(np.mean([(now & before).sum() / (now | before).sum() for now, before in pairs]))


def _luminance(picture: np.ndarray) -> np.ndarray:
    return picture @ np.array([0.299, 0.587, 0.114])


def _rms(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    return np.sqrt(np.mean(np.square(values), axis=axis))
