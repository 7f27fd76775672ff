"""The network: the photo, and over it glazes in several resolutions, mixed as the crossfader asks.

A network that is to paint any photo has to find out what is in it. This one has a single photo, so
it need not look: what it learns are pictures, "glazes", each as large as a level of a pyramid, and
how much of each there is at a position of the crossfader. Its picture is

    x(p) = photo + sum over levels l of enlarged(sum_j phi_lj(p) Z_lj)

with glazes Z and coefficients phi, which a small dense network gives. Whatever is asked of pixels
reaches glazes as directly as an optimiser of pixels, and all positions learn from each other.
Coarse levels carry large forms and are found first, as coarse to fine finds them. (Pictures of a
pyramid, and optimising all of its levels at once: Olah et al., "Feature Visualization", 2017.)
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from mnst.backend import keras, tf

Tensor = Any

# How far a step of the optimiser moves each level, fine to coarse. The finest levels have the most
# to say and the least to be trusted with: what they find by themselves is noise.
_PACES = (0.4, 0.7, 1.0)

_LEVELS = 5  # of half the size each; the coarsest has glazes of some 20 pixels
_FREE = 3  # glazes of each level whose part the network finds by itself
_WIDTH = 32  # of its layers

_RANGE = 127.5  # a glaze is in units of half the range of pixels


class Window(NamedTuple):
    """A part of the picture, of its whole sides, 0 to 1."""

    top: float = 0.0
    bottom: float = 1.0
    left: float = 0.0
    right: float = 1.0


WHOLE = Window()


class LiveNetwork:
    """Paints one photo, at any position of the crossfader and in any size.

    A position is a vector, float32 [P]: for each of the crossfaders the weights of the K styles,
    each in sum 1, and behind them the strength from -1 to 1, if there is one.

    Args:
        height: Of the pictures that it learns from, in pixels.
        width: Of these.
        crossfaders: How many there are.
        styles: K.
        has_strength: Whether positions have a strength.
        wraps: Whether the picture goes on at the opposite border.
        seed: Of what it begins with.
        learnt: What it knows, from `as_arrays`; None is to learn from the beginning.

    Raises:
        ValueError: If what is learnt is of a network of other sides, or for other positions.

    Attributes:
        variables: All that it has learnt, Keras variables, float32, by name.
    """

    def __init__(
        self,
        height: int,
        width: int,
        *,
        crossfaders: int,
        styles: int,
        has_strength: bool,
        wraps: bool = False,
        seed: int = 0,
        learnt: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self._sides = [
            (math.ceil(height / 2**level), math.ceil(width / 2**level)) for level in range(_LEVELS)
        ]
        self._crossfaders, self._styles, self._has_strength = crossfaders, styles, has_strength
        self._wraps = wraps
        self._glazes = (1 + crossfaders * (styles - 1)) * (1 + has_strength) + _FREE
        widths = crossfaders * styles + has_strength, _WIDTH, _WIDTH, _LEVELS * self._glazes
        shapes: dict[str, tuple[int, ...]] = {}
        for level, (rows, columns) in enumerate(self._sides):
            shapes[f"glazes_{level}"] = self._glazes, 3 * rows * columns
        for layer, (wide, next_wide) in enumerate(pairwise(widths)):
            shapes |= {f"kernel_{layer}": (wide, next_wide), f"bias_{layer}": (next_wide,)}
        if learnt is None:
            learnt = _beginning(shapes, seed)
        elif {name: values.shape for name, values in learnt.items()} != shapes:
            raise ValueError(f"what is learnt is of another network: give arrays of {shapes}")
        self.variables = {
            name: keras.Variable(learnt[name], dtype="float32", name=name) for name in shapes
        }

    def copy(self) -> LiveNetwork:
        """Returns another that knows the same."""
        height, width = self._sides[0]
        return LiveNetwork(
            height,
            width,
            crossfaders=self._crossfaders,
            styles=self._styles,
            has_strength=self._has_strength,
            wraps=self._wraps,
            learnt=self.as_arrays(),
        )

    def as_arrays(self) -> dict[str, np.ndarray]:
        """Returns all that it has learnt, float32, by name."""
        return {name: np.asarray(variable) for name, variable in self.variables.items()}

    def assign(self, learnt: Mapping[str, Any]) -> None:
        """Gives it what another of its kind has learnt."""
        for name, variable in self.variables.items():
            variable.assign(learnt[name])

    @property
    def weights(self) -> int:
        """How many numbers it learns."""
        return sum(math.prod(variable.shape) for variable in self.variables.values())

    def __call__(self, photo: Tensor, position: Tensor, window: Window = WHOLE) -> Tensor:
        """Paints a picture, float32 [1, h, w, 3], which may leave 0..255.

        Args:
            photo: What is beneath, float32 [1, h, w, 3], 0..255: the part of it in the window, in
                any size.
            position: float32 [P].
            window: Which part.
        """
        height, width = photo.shape[1:3]
        coefficients = self._coefficients(position)
        painted = 0.0
        for level, (rows, columns) in enumerate(self._sides):
            # What is finer than the picture would be learnt from less than it shows.
            seen = rows * (window.bottom - window.top)
            if seen > 1.5 * height and level + 1 < len(self._sides):
                continue
            glazes = self.variables[f"glazes_{level}"].value
            glaze = tf.linalg.matvec(glazes, coefficients[level], transpose_a=True)
            glaze = tf.reshape(glaze, [3, rows, columns])
            pace = _PACES[min(level, len(_PACES) - 1)]
            painted += pace * self._resized(glaze, height, width, window)
        return photo + _RANGE * tf.transpose(painted, [1, 2, 0])[tf.newaxis]

    def _coefficients(self, position: Tensor) -> Tensor:
        """Returns how much there is of each glaze, float32 [levels, glazes].

        Without any strength there is none, and the picture is the photo.
        """
        features = position[tf.newaxis]
        for layer in range(3):
            kernel, bias = (self.variables[f"{of}_{layer}"].value for of in ("kernel", "bias"))
            features = tf.matmul(features, kernel) + bias
            if layer < 2:
                features = tf.nn.silu(features)
        found = tf.reshape(features, [_LEVELS, self._glazes])
        parts = found + tf.concat([self._first_guess(position), tf.zeros([_FREE])], 0)
        return parts * (1 + position[-1]) / 2 if self._has_strength else parts

    def _first_guess(self, position: Tensor) -> Tensor:
        """Returns what the coefficients would be, were the picture linear in weights and strength.

        The dense network has only to learn where it isn't.
        """
        weights = position[: self._crossfaders * self._styles]
        # The last style's is what is left of 1.
        apart = tf.reshape(weights, [self._crossfaders, self._styles])[:, :-1] - 1 / self._styles
        linear = tf.concat([[1.0], 2 * tf.reshape(apart, [-1])], 0)
        if not self._has_strength:
            return linear
        return tf.concat([linear, linear * position[-1]], 0)

    def _resized(self, glaze: Tensor, height: int, width: int, window: Window) -> Tensor:
        """Returns a window of a glaze, [3, rows, columns], in another size."""
        rows, columns = glaze.shape[1:]
        if (rows, columns, window) == (height, width, WHOLE):
            return glaze
        down = resampling(rows, height, window.top, window.bottom, self._wraps)
        across = resampling(columns, width, window.left, window.right, self._wraps)
        return tf.matmul(tf.matmul(down, glaze), across, transpose_b=True)


@functools.lru_cache(maxsize=64)
def resampling(count: int, wanted: int, first: float, last: float, wraps: bool) -> np.ndarray:
    """Returns the matrix that resamples rows, as Pillow does it, bicubic.

    Args:
        count: How many there are.
        wanted: How many there will be.
        first: Where the first of them begins, of all rows, 0 to 1.
        last: Where the last of them ends.
        wraps: Whether the first row is the last one's neighbour.

    Returns:
        float32 [wanted, count].

    Example:
        >>> from mnst.learning.network import resampling
        >>> resampling(4, 2, 0.0, 1.0, False).sum(axis=1).round(6).tolist()
        [1.0, 1.0]
    """
    turns = 3 if wraps else 1
    rows = np.tile(np.eye(count, dtype=np.float32), (turns, 1))
    box = (0, (first + turns // 2) * count, count, (last + turns // 2) * count)
    resized = Image.fromarray(rows).resize((count, wanted), Image.Resampling.BICUBIC, box=box)
    return np.asarray(resized)


def _beginning(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    """Returns what a network begins with: glazes of nothing, parts that are guessed."""
    random = np.random.default_rng(seed)
    values: dict[str, np.ndarray] = {
        name: np.zeros(shape, np.float32) for name, shape in shapes.items()
    }
    for name, shape in shapes.items():
        if name.startswith("kernel"):
            # The first is as large as it takes to tell positions apart that are near each other.
            scale = 1.0 if name == "kernel_0" else math.sqrt(2 / sum(shape))
            values[name] = random.normal(scale=scale, size=shape)
    return values
