"""What the losses know of a picture, and their gradient: of the whole at once, or in tiles.

Both give the same numbers. The losses see a picture through its `Statistics` alone, so its gradient
can be had in two passes: the first adds up the Gram matrices over tiles, and the losses say how
they want them changed; the second pulls that back through the network, tile by tile.

Tiles of the picture (Galerne et al. 2024, for one style) need whatever a deep layer sees around
them: 187 pixels on every side for block5_conv2. Here the network is cut as well, at its pools, and
within a block no layer sees more than 4 positions around its own. The outputs of the pools are kept
for the whole picture, a twentieth of what all layers would take, and a step costs one more pass
forward: half as much again to compute as in an untiled one.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mnst.backend import keras, tf
from mnst.objective.losses import (
    Statistics,
    Targets,
    Tensor,
    gram_sum,
    mixed_losses,
    region_counts,
    statistics,
)
from mnst.objective.regions import as_seen
from mnst.recipes import Recipe

Losses = dict[str, Tensor]

SMALLEST_TILE = 64
"""The least that a tile's side may be, in pixels."""


class Whole:
    """Measures a picture in one pass of the network: the fastest, where its activations fit.

    Args:
        extractor: From float32 [1, H, W, 3], 0..255, to a dict of layer name to features.
        recipe: Which losses.
    """

    def __init__(self, extractor: Callable[[Tensor], Any], recipe: Recipe) -> None:
        self._extractor = extractor
        self._recipe = recipe
        # Compiled, as the step is: op by op, bfloat16 activations are rounded more often, and the
        # content image would not have the features that the step sees. Styles of other sizes share
        # a second tracing.
        self._extract = tf.function(extractor, reduce_retracing=True)

    def statistics(self, image: Any, *, regions: Sequence[Tensor] = ()) -> Statistics:
        """Returns what the losses know of a picture, [1, H, W, 3]."""
        return statistics(self._extract(image), self._recipe, regions=regions)

    def gradient(self, image: Tensor, targets: Targets) -> tuple[Tensor, Tensor, Losses]:
        """Returns the objective, its gradient, float32 [1, H, W, 3], and all losses by name."""
        with tf.GradientTape() as tape:
            tape.watch(image)
            seen = statistics(self._extractor(image), self._recipe, regions=targets.regions)
            objective, losses = mixed_losses(seen, targets, self._recipe)
        return objective, tape.gradient(objective, image), losses


class Tiled:
    """Measures a picture tile by tile, to the numbers of `Whole`, but for rounding.

    Args:
        extractor: A model from `mnst.vgg_layers`, or another of convolutions and pools as VGG19 has
            them, one behind the other, whose outputs are named as its layers.
        recipe: Which losses.
        tile: Side of a tile in pixels. Tiles of deeper blocks hold as many values.

    Raises:
        ValueError: If the tile is too small, or the model has other layers.
    """

    def __init__(self, extractor: keras.Model, recipe: Recipe, *, tile: int) -> None:
        if tile < SMALLEST_TILE:
            raise ValueError(f"tile is {tile}: give {SMALLEST_TILE} pixels or more")
        self._recipe = recipe
        self._blocks = [
            _Block(model, ahead, recipe, tile) for model, ahead in _cut_at_pools(extractor)
        ]
        self._pull_losses = tf.function(functools.partial(_pull_losses, recipe=recipe))

    def statistics(self, image: Any, *, regions: Sequence[Tensor] = ()) -> Statistics:
        """Returns what the losses know of a picture, [1, H, W, 3]."""
        seen, _ = self._forward(image, regions)
        return _of_kind(seen, self._recipe)

    def gradient(self, image: Tensor, targets: Targets) -> tuple[Tensor, Tensor, Losses]:
        """Returns the objective, its gradient, float32 [1, H, W, 3], and all losses by name."""
        seen, given = self._forward(image, targets.regions)
        objective, losses, of_sums, of_content = self._pull_losses(seen, targets)
        gradient = None
        for block in reversed(self._blocks):
            of_maps = {layer: of_content[layer].numpy() for layer in block.content}
            if block.ahead is not None:
                of_maps[block.ahead] = of_maps.get(block.ahead, 0) + gradient
            gradient = block.backward(given.pop(), targets.regions, of_sums, of_maps)
        return objective, tf.constant(gradient), losses

    def work(self, height: int, width: int) -> float:
        """Returns how much is computed in a step, as a multiple of what an untiled one takes.

        Forward and back cost the same; here it goes forward twice.
        """
        whole = in_tiles = 0.0
        for block in self._blocks:
            whole += block.multiplications * height * width
            in_tiles += block.multiplications * block.area(height, width)
            height, width = height // 2, width // 2
        return 1.5 * in_tiles / whole

    def _forward(
        self, image: Any, regions: Sequence[Tensor]
    ) -> tuple[Statistics, list[np.ndarray]]:
        """Returns the statistics, with sums for Gram matrices, and what each block was given."""
        seen = Statistics({}, {}, {})
        given = [np.asarray(image, np.float32)]
        for block in self._blocks:
            sums, maps = block.forward(given[-1], regions)
            seen.grams.update(sums)
            seen.content.update({layer: tf.constant(maps[layer]) for layer in block.content})
            seen.positions.update(block.positions(given[-1]))
            if block.ahead is not None:
                given.append(maps[block.ahead])
        return seen, given


class _Tile(NamedTuple):
    """A part of a map, [1, H, W, N], and what a block needs around it."""

    rows: slice
    columns: slice
    around: tuple[slice, slice, slice]

    def within(self, scale: int) -> tuple[slice, slice, slice]:
        """Where it lies in a map of the whole picture whose sides are that much shorter."""
        rows, columns = (
            slice(side.start // scale, side.stop // scale) for side in (self.rows, self.columns)
        )
        return slice(None), rows, columns

    def inner(self) -> np.ndarray:
        """Where it lies in what is around it: top, left, height and width."""
        sides = list(zip((self.rows, self.columns), self.around[1:], strict=True))
        corner = [side.start - around.start for side, around in sides]
        return np.array(corner + [side.stop - side.start for side, _ in sides], np.int32)


class _Block:
    """The layers from one pool to the next.

    What is kept of a whole picture is in NumPy arrays: a GPU holds a tile's activations, no more.

    Attributes:
        style: Style layers in it.
        content: Content layers in it.
        ahead: The pool that the next block is given; None in the last.
        multiplications: Of its convolutions, for each position.
    """

    def __init__(self, model: keras.Model, ahead: str | None, recipe: Recipe, tile: int) -> None:
        self._model = model
        self.ahead = ahead
        self.style = [layer for layer, _ in recipe.style_layers if layer in model.output]
        self.content = [layer for layer, _ in recipe.content_layers if layer in model.output]
        pools = {one.name for one in model.layers if isinstance(one, keras.layers.MaxPooling2D)}
        self._scales = {name: 2 if name in pools else 1 for name in model.output}
        kernels = [one.kernel.shape for one in model.layers if isinstance(one, keras.layers.Conv2D)]
        self.multiplications = sum(map(math.prod, kernels))
        seen = sum(max(kernel[:2]) // 2 for kernel in kernels)
        # Even, so that in a tile the pool takes the same positions together as in the picture.
        self._halo = seen + seen % 2
        channels = max(one.shape[-1] for one in model.output.values())
        self._side = max(int(tile * math.sqrt(64 / channels)), 4 * self._halo)
        self._look = _for_any_size(self._look_at)
        self._pull = _for_any_size(self._pull_back)

    def forward(
        self, given: np.ndarray, regions: Sequence[Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, np.ndarray]]:
        """Looks at all that the block is given, [1, H, W, N].

        Returns:
            The sum of F F^T of each style layer, over each region; and the content layers and the
            pool ahead, [1, H', W', N'].
        """
        counts = self._counts(given, regions)
        sums: dict[str, Tensor] = {}
        maps: dict[str, np.ndarray] = {}
        for tile in self._tiles(*given.shape[1:3]):
            parts, cores = self._look(given[tile.around], tile.inner(), self._cut(counts, tile))
            for layer, part in parts.items():
                sums[layer] = sums[layer] + part if layer in sums else part
            for layer, core in cores.items():
                if layer not in maps:
                    shape = (1, *self._sides(given, layer), core.shape[-1])
                    maps[layer] = np.empty(shape, core.dtype.as_numpy_dtype)
                maps[layer][tile.within(self._scales[layer])] = core.numpy()
        return sums, maps

    def backward(
        self,
        given: np.ndarray,
        regions: Sequence[Tensor],
        of_sums: Mapping[str, Tensor],
        of_maps: Mapping[str, np.ndarray],
    ) -> np.ndarray:
        """Returns the gradient with respect to what the block was given, in its shape and dtype.

        Args:
            given: The same as in `forward`.
            regions: The same.
            of_sums: The gradient with respect to the sums that `forward` returned.
            of_maps: The gradient with respect to the maps.
        """
        counts = self._counts(given, regions)
        gradient = np.zeros_like(given)
        of_style = {layer: of_sums[layer] for layer in self.style}
        for tile in self._tiles(*given.shape[1:3]):
            upstream = of_style, self._cut(of_maps, tile)
            cut = self._cut(counts, tile)
            part = self._pull(given[tile.around], tile.inner(), cut, upstream)
            # What lies between tiles is seen by both.
            gradient[tile.around] += part.numpy()
        return gradient

    def area(self, height: int, width: int) -> int:
        """Returns how many positions of such a map are looked at, tile by tile."""
        around = [tile.around[1:] for tile in self._tiles(height, width)]
        return sum(
            (rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in around
        )

    def _tiles(self, height: int, width: int) -> Iterator[_Tile]:
        """Cuts a map into tiles of nearly one size, each with a halo as far as the map goes."""
        for rows, above_and_below in _spans(height, self._side, self._halo):
            for columns, beside in _spans(width, self._side, self._halo):
                yield _Tile(rows, columns, (slice(None), above_and_below, beside))

    def positions(self, given: np.ndarray) -> dict[str, Tensor]:
        """Returns the number of positions of each style layer, float32 []."""
        return {
            layer: tf.constant(math.prod(self._sides(given, layer)), tf.float32)
            for layer in self.style
        }

    def _look_at(
        self, given: Tensor, inner: Tensor, counts: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Looks at a tile and what is around it; only what is the tile's own is given back."""
        cores = {}
        for layer, features in self._model(given).items():
            top, left, height, width = tf.unstack(inner // self._scales[layer])
            cores[layer] = features[:, top : top + height, left : left + width]
        kept = [*self.content] if self.ahead is None else [*self.content, self.ahead]
        return (
            {layer: gram_sum(cores[layer], counts.get(layer)) for layer in self.style},
            {layer: cores[layer] for layer in kept},
        )

    def _pull_back(
        self, given: Tensor, inner: Tensor, counts: Mapping[str, Tensor], upstream: Any
    ) -> Tensor:
        with tf.GradientTape() as tape:
            tape.watch(given)
            seen = self._look_at(given, inner, counts)
        return tape.gradient(
            tf.nest.flatten(seen), given, output_gradients=tf.nest.flatten(upstream)
        )

    def _counts(self, given: np.ndarray, regions: Sequence[Tensor]) -> dict[str, np.ndarray]:
        """Returns how often each position of a style layer counts; nothing without regions."""
        if not regions:
            return {}
        seen = {layer: as_seen(regions, *self._sides(given, layer)) for layer in self.style}
        return {layer: region_counts(region).numpy() for layer, region in seen.items()}

    def _cut(self, maps: Mapping[str, np.ndarray], tile: _Tile) -> dict[str, np.ndarray]:
        return {layer: of[tile.within(self._scales[layer])] for layer, of in maps.items()}

    def _sides(self, given: np.ndarray, layer: str) -> tuple[int, int]:
        height, width = given.shape[1:3]
        return height // self._scales[layer], width // self._scales[layer]


def _cut_at_pools(extractor: keras.Model) -> list[tuple[keras.Model, str | None]]:
    """Returns the models from each pool to the next, and the name of the pool, None in the last.

    Each gives those of the extractor's outputs that it has, and the pool, by name.
    """
    blocks: list[tuple[keras.Model, str | None]] = []
    given, outputs, left = extractor.inputs[0], {}, set(extractor.output)
    for layer in extractor.layers:
        _check_layer(layer)
        if layer.name in left:
            outputs[layer.name] = layer.output
            left.discard(layer.name)
        if isinstance(layer, keras.layers.MaxPooling2D) and left:
            outputs[layer.name] = layer.output
            blocks.append((keras.Model(given, outputs), layer.name))
            given, outputs = layer.output, {}
    if left:
        raise ValueError(f"the model can't be cut into tiles: it has no layer {min(left)!r}")
    return [*blocks, (keras.Model(given, outputs), None)]


def _check_layer(layer: Any) -> None:
    """Makes sure that a tile with its halo is enough for the layer."""
    if isinstance(layer, keras.layers.Conv2D):
        same = layer.padding == "same" and layer.strides == layer.dilation_rate == (1, 1)
        fits = same and all(side % 2 for side in layer.kernel_size)
    elif isinstance(layer, keras.layers.MaxPooling2D):
        fits = layer.padding == "valid" and layer.pool_size == layer.strides == (2, 2)
    else:
        fits = isinstance(layer, keras.layers.InputLayer)
    if not fits:
        raise ValueError(
            f"the model can't be cut into tiles at {layer.name!r}: it may have convolutions of odd "
            f"kernels that keep the size, and max-pools that halve it"
        )


def _for_any_size(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function of tensors, [B, H, W, N] or [R, H, W], once for all H and W."""
    compiled = tf.function(functools.partial(function))

    def call(*given: Any) -> Any:
        return compiled.get_concrete_function(*tf.nest.map_structure(_spec, given))(*given)

    return call


def _spec(given: Any) -> tf.TensorSpec:
    shape = [None if axis in (1, 2) else size for axis, size in enumerate(given.shape)]
    return tf.TensorSpec(shape, tf.as_dtype(given.dtype))


def _spans(length: int, side: int, halo: int) -> Iterator[tuple[slice, slice]]:
    parts = -(-length // side)
    # Even, as the halo is.
    edges = [2 * round(k * length / (2 * parts)) for k in range(parts)] + [length]
    for start, stop in itertools.pairwise(edges):
        yield slice(start, stop), slice(max(start - halo, 0), min(stop + halo, length))


def _of_kind(seen: Statistics, recipe: Recipe) -> Statistics:
    """Returns the statistics with the recipe's kind of Gram matrices, given sums."""
    if recipe.gram == "sum":
        return seen
    means = {layer: of / seen.positions[layer] for layer, of in seen.grams.items()}
    return seen._replace(grams=means)


def _pull_losses(
    seen: Statistics, targets: Targets, *, recipe: Recipe
) -> tuple[Tensor, Losses, dict[str, Tensor], dict[str, Tensor]]:
    """Returns the objective, the losses, and the gradient with respect to sums and content."""
    watched = seen.grams, seen.content
    with tf.GradientTape() as tape:
        tape.watch(watched)
        objective, losses = mixed_losses(_of_kind(seen, recipe), targets, recipe)
    return objective, losses, *tape.gradient(objective, watched)
