"""A picture's statistics and gradient, tile by tile: to the numbers of a pass over the whole of it.

The losses see a picture through its `Statistics` alone, so its gradient can be had in two passes:
the first puts the statistics together from tiles, and the losses say how they want them changed;
the second pulls that back through the network, tile by tile.

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
from mnst.engine.whole import NamedLosses
from mnst.networks.borders import KEEPS_OR_HALVES, keeps_or_halves
from mnst.objective.losses import (
    EVERYWHERE,
    Objective,
    Places,
    Statistics,
    Targets,
    mixed_losses,
)
from mnst.objective.terms import PICTURE, Counts, Seen, Tensor, Term
from mnst.objective.zones import Zoned

SMALLEST_TILE = 64
"""The least that a tile's side may be, in pixels."""

Arrays = dict[str, np.ndarray]


class Tiled:
    """Measures a picture tile by tile; see `mnst.engine.whole.Evaluator`.

    Args:
        extractor: A model from `mnst.vgg_layers`, or another of convolutions and pools as VGG19 has
            them, one behind the other, whose outputs are named as its layers.
        recipe: Which losses.
        tile: Side of a tile in pixels. Tiles of deeper blocks hold as many values.

    Raises:
        ValueError: If the tile is too small, the model has other layers, or a term can't be tiled.
    """

    def __init__(self, extractor: keras.Model, recipe: Objective, *, tile: int) -> None:
        if tile < SMALLEST_TILE:
            raise ValueError(f"tile is {tile}: give {SMALLEST_TILE} pixels or more")
        check_terms_can_be_tiled(recipe)
        self._recipe = recipe
        views = [
            _View(name, term, layer)
            for name, term in recipe.objective.items()
            for layer in term.layer_names
        ]
        self._blocks = [
            _Block(model, ahead, [view for view in views if view.layer in model.output], tile)
            for model, ahead in _cut_at_pools(extractor, {view.layer for view in views})
        ]
        self.pull_losses = tf.function(functools.partial(_pull_losses, recipe=recipe))

    def statistics(self, image: Any, *, places: Places = EVERYWHERE) -> Statistics:
        """See `Evaluator`."""
        seen, _ = self.forward(image, places)
        return seen

    def gradient(self, image: Tensor, targets: Targets) -> tuple[Tensor, Tensor, NamedLosses]:
        """See `Evaluator`."""
        seen, given = self.forward(image, targets.places)
        objective, losses, of_values = self.pull_losses(seen, targets)
        return objective, tf.constant(self.backward(given, targets.places, of_values)), losses

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

    def forward(self, image: Any, places: Places) -> tuple[Statistics, list[np.ndarray]]:
        """Takes the first pass: returns the statistics, and what each block was given."""
        seen = {name: Seen({}, {}) for name in self._recipe.objective}
        given = [np.asarray(image, np.float32)]
        for block in self._blocks:
            sums, maps = block.forward(given[-1], places)
            values = {**sums, **{view.key: tf.constant(maps[view.key]) for view in block.joined}}
            for view in (*block.added, *block.joined):
                seen[view.name].values[view.layer] = values[view.key]
            for view in block.added:
                positions = math.prod(block.sides(given[-1], view.layer))
                seen[view.name].positions[view.layer] = tf.constant(positions, tf.float32)
            if block.ahead is not None:
                given.append(maps[block.ahead])
        return seen, given

    def backward(
        self,
        given: Sequence[np.ndarray],
        places: Places,
        of_values: Mapping[str, Mapping[str, Tensor]],
    ) -> np.ndarray:
        """Takes the second pass: pulls a gradient back from the statistics to the picture.

        Args:
            given: What each block was given, from `forward`.
            places: The same as there.
            of_values: The gradient with respect to the statistics' values, by term and layer, from
                `pull_losses`.

        Returns:
            float32 [1, H, W, 3].
        """
        gradient = np.empty(0)  # of what is ahead: of the last block nothing
        for block, of_block in zip(reversed(self._blocks), reversed(given), strict=True):
            of_sums = {view.key: of_values[view.name][view.layer] for view in block.added}
            of_maps = {
                view.key: np.asarray(of_values[view.name][view.layer]) for view in block.joined
            }
            if block.ahead is not None:
                of_maps[block.ahead] = gradient
            gradient = block.backward(of_block, places, of_sums, of_maps)
        return gradient


def check_terms_can_be_tiled(recipe: Objective) -> None:
    """Raises a ValueError that names a term which has to see the whole picture at once."""
    for name, term in recipe.objective.items():
        if term.over_tiles == "refuse":
            raise ValueError(
                f"{name} has to see the whole picture at once, which would have to be painted in "
                f"tiles: give a smaller size or more memory, or leave the term out"
            )


class _View(NamedTuple):
    """A layer as one of the terms sees it."""

    name: str
    term: Term
    layer: str

    @property
    def key(self) -> str:
        return f"{self.name}:{self.layer}"


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
        added: The views of its layers that are summed up over tiles.
        joined: Those that are laid side by side.
        ahead: The pool that the next block is given; None in the last.
        multiplications: Of its convolutions, for each position.
    """

    def __init__(
        self, model: keras.Model, ahead: str | None, views: Sequence[_View], tile: int
    ) -> None:
        self._model = model
        self.ahead = ahead
        self.added = [view for view in views if view.term.over_tiles == "add"]
        self.joined = [view for view in views if view.term.over_tiles == "join"]
        pools = {layer.name for layer in model.layers if _is_pool(layer)}
        self._scales = {name: 2 if name in pools else 1 for name in model.output}
        convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
        kernels = [layer.kernel.shape for layer in convolutions]
        self.multiplications = sum(map(math.prod, kernels))
        halo = sum(max(kernel[:2]) // 2 for kernel in kernels)
        # Even, so that in a tile the pool takes the same positions together as in the picture.
        self._halo = halo + halo % 2
        channels = max(output.shape[-1] for output in model.output.values())
        self._side = max(int(tile * math.sqrt(64 / channels)), 4 * self._halo)
        self._see = _for_any_size(self._see_tile)
        self._pull = _for_any_size(self._pull_back)

    def forward(self, given: np.ndarray, places: Places) -> tuple[dict[str, Tensor], Arrays]:
        """Looks at all that the block is given, [1, H, W, N].

        Returns:
            By the views' keys: sums over all tiles; and maps, [1, H', W', N'], among them the
            pool ahead by its name.
        """
        counts = self._counts(given, places)
        sums: dict[str, Tensor] = {}
        maps: Arrays = {}
        for tile in self._tiles(*given.shape[1:3]):
            parts, cores = self._see(given[tile.around], tile.inner(), self._cut(counts, tile))
            for key, part in parts.items():
                sums[key] = sums[key] + part if key in sums else part
            for key, core in cores.items():
                if key not in maps:
                    shape = (1, *self.sides(given, _layer_of(key)), core.shape[-1])
                    maps[key] = np.empty(shape, core.dtype.as_numpy_dtype)
                maps[key][tile.within(self._scales[_layer_of(key)])] = core.numpy()
        return sums, maps

    def backward(
        self,
        given: np.ndarray,
        places: Places,
        of_sums: Mapping[str, Tensor],
        of_maps: Mapping[str, np.ndarray],
    ) -> np.ndarray:
        """Returns the gradient with respect to what the block was given, in its shape and dtype.

        Args:
            given: The same as in `forward`.
            places: The same.
            of_sums: The gradient with respect to the sums that `forward` returned.
            of_maps: The gradient with respect to the maps.
        """
        counts = self._counts(given, places)
        gradient = np.zeros_like(given)
        for tile in self._tiles(*given.shape[1:3]):
            upstream = of_sums, self._cut(of_maps, tile)
            part = self._pull(given[tile.around], tile.inner(), self._cut(counts, tile), upstream)
            # What lies between tiles is seen by both.
            gradient[tile.around] += part.numpy()
        return gradient

    def area(self, height: int, width: int) -> int:
        """Returns how many positions of such a map are looked at, tile by tile."""
        around = [tile.around[1:] for tile in self._tiles(height, width)]
        return sum(
            (rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in around
        )

    def sides(self, given: np.ndarray, layer: str) -> tuple[int, int]:
        """Returns the height and width of a layer."""
        height, width = given.shape[1:3]
        return height // self._scales[layer], width // self._scales[layer]

    def _tiles(self, height: int, width: int) -> Iterator[_Tile]:
        """Cuts a map into tiles of nearly one size, each with a halo as far as the map goes."""
        for rows, above_and_below in _spans(height, self._side, self._halo):
            for columns, beside in _spans(width, self._side, self._halo):
                yield _Tile(rows, columns, (slice(None), above_and_below, beside))

    def _see_tile(
        self, given: Tensor, inner: Tensor, counts: Mapping[str, Counts]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Looks at a tile and what is around it; only what is the tile's own is given back."""
        cores = {}
        for layer, features in self._model(given).items():
            top, left, height, width = tf.unstack(inner // self._scales[layer], num=4)
            cores[layer] = features[:, top : top + height, left : left + width]

        def see(views: Sequence[_View]) -> dict[str, Tensor]:
            return {
                view.key: view.term.look(view.layer, cores[view.layer], counts.get(view.layer))
                for view in views
            }

        ahead = {} if self.ahead is None else {self.ahead: cores[self.ahead]}
        return see(self.added), {**see(self.joined), **ahead}

    def _pull_back(
        self, given: Tensor, inner: Tensor, counts: Mapping[str, Counts], upstream: Any
    ) -> Tensor:
        with tf.GradientTape() as tape:
            tape.watch(given)
            seen = self._see_tile(given, inner, counts)
        return tape.gradient(
            tf.nest.flatten(seen), given, output_gradients=tf.nest.flatten(upstream)
        )

    def _counts(self, given: np.ndarray, places: Places) -> dict[str, np.ndarray | Zoned]:
        """Returns how often each position of a layer counts; nothing where it is once."""
        found = {
            view.layer: places.counts(view.layer, *self.sides(given, view.layer))
            for view in (*self.added, *self.joined)
        }
        return {
            layer: tf.nest.map_structure(np.asarray, counts)
            for layer, counts in found.items()
            if counts is not None
        }

    def _cut(self, maps: Mapping[str, Any], tile: _Tile) -> dict[str, Any]:
        """Returns of each map, by its view's key or its layer, what lies in the tile."""
        cut = {}
        for key, of in maps.items():
            within = tile.within(self._scales[_layer_of(key)])
            cut[key] = of.cut(*within[1:]) if isinstance(of, Zoned) else of[within]
        return cut


def _layer_of(key: str) -> str:
    return key.rpartition(":")[2]


def _cut_at_pools(extractor: keras.Model, layers: set[str]) -> list[tuple[keras.Model, str | None]]:
    """Returns the models from each pool to the next, and the name of the pool, None in the last.

    Each gives those of the layers that it has, the first the picture as well, and the pool.
    """
    blocks: list[tuple[keras.Model, str | None]] = []
    given, left = extractor.inputs[0], layers - {PICTURE}
    outputs = {PICTURE: given} if PICTURE in layers else {}
    for layer in extractor.layers:
        _check_layer(layer)
        if layer.name in left:
            outputs[layer.name] = layer.output
            left.discard(layer.name)
        if _is_pool(layer) and left:
            outputs[layer.name] = layer.output
            blocks.append((keras.Model(given, outputs), layer.name))
            given, outputs = layer.output, {}
    if left:
        raise ValueError(f"the model can't be cut into tiles: it has no layer {min(left)!r}")
    return [*blocks, (keras.Model(given, outputs), None)]


def _is_pool(layer: Any) -> bool:
    return isinstance(layer, keras.layers.MaxPooling2D)


def _check_layer(layer: Any) -> None:
    """Makes sure that a tile with its halo is enough for the layer."""
    if not keeps_or_halves(layer):
        raise ValueError(f"the model can't be cut into tiles at {layer.name!r}: {KEEPS_OR_HALVES}")


def _for_any_size(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function of tensors, [B, H, W, N], [R, H, W] or smaller, once for all H and W."""
    compiled = tf.function(functools.partial(function))

    def call(*given: Any) -> Any:
        return compiled.get_concrete_function(*tf.nest.map_structure(_spec, given))(*given)

    return call


def _spec(given: Any) -> tf.TensorSpec:
    of_maps = (1, 2) if len(given.shape) > 2 else (0, 1)
    shape = [None if axis in of_maps else size for axis, size in enumerate(given.shape)]
    return tf.TensorSpec(shape, tf.as_dtype(given.dtype))


def _spans(length: int, side: int, halo: int) -> Iterator[tuple[slice, slice]]:
    parts = -(-length // side)
    # Even, as the halo is.
    edges = [2 * round(k * length / (2 * parts)) for k in range(parts)] + [length]
    for start, stop in itertools.pairwise(edges):
        yield slice(start, stop), slice(max(start - halo, 0), min(stop + halo, length))


def _pull_losses(
    seen: Statistics, targets: Targets, *, recipe: Objective
) -> tuple[Tensor, NamedLosses, dict[str, dict[str, Tensor]]]:
    """Returns the objective, the losses, and the gradient with respect to the values seen."""
    watched = {name: of.values for name, of in seen.items()}
    with tf.GradientTape() as tape:
        tape.watch(watched)
        objective, losses = mixed_losses(seen, targets, recipe)
    gradient = tape.gradient(objective, watched, unconnected_gradients="zero")
    return objective, losses, gradient
