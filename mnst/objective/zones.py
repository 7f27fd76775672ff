"""Zones of a layer in which gamma changes from place to place: in each the styles are mixed once.

Two masks that fade into each other leave a grey gap between them: where each is one half, no style
gets through. So what is aimed at is blended, too. A layer is laid out in zones that overlap, each
with a mixture of its own, and a position between two of them belongs to both.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from mnst.backend import tf

# Of two styles there are so many steps from the one to the other, and a zone more; of more styles,
# half as many along each edge between two of them. Neighbours' mixtures are alike enough then.
_STEPS = 4

# From a zone to the next there are so many steps, in which a position belongs to both. Positions of
# a step are summed up together: so all zones cost what one does. But each step has a matrix of its
# own, which costs as much as some hundred positions: a layer that has fewer has coarser steps.
_BETWEEN = (4, 2, 1)
_POSITIONS = 300

# A layer of no more gammas than these has a zone for each, and nothing in between.
_FEW = 5

# Of so many styles all zones are there, whether a layer has a place for them or not: so another
# picture of gamma does not make the step be compiled again. Of more styles they would be too many.
_ALL = 4


class Zones(NamedTuple):
    """Zones of a layer, and how the styles are mixed in each.

    Attributes:
        shares: The share of each style in each zone, float64 [Z, K].
        levels: How much a position of each level belongs to each zone, float64 [Z, L]; in sum 1
            for each level. The levels' gammas are the zones' means, weighted with it.
        labels: The level of each position, int16 [h, w].
        weights: How much of each position is painted, float32 [h, w] in 0..1.
    """

    shares: np.ndarray
    levels: np.ndarray
    labels: np.ndarray
    weights: np.ndarray

    @property
    def areas(self) -> np.ndarray:
        """Each zone's share of the layer's positions, float64 [Z]; in sum what is painted."""
        of_levels = np.bincount(
            self.labels.ravel(), self.weights.ravel(), minlength=self.levels.shape[1]
        )
        areas: np.ndarray = self.levels @ of_levels / self.labels.size
        return areas

    @property
    def masks(self) -> np.ndarray:
        """How much each position belongs to each zone, float32 [Z, h, w]; in sum the weights."""
        masks: np.ndarray = (self.levels[:, self.labels] * self.weights).astype(np.float32)
        return masks


class Zoned(NamedTuple):
    """How often each position of a layer counts in each zone, laid out for `zone_sums`.

    Attributes:
        order: Numbers of the positions, level by level, int32 [M].
        ends: Where each level begins in it, and where the last ends, int32 [L + 1].
        weights: How much each position counts, float32 [h, w].
        labels: The level of each position, int32 [h, w].
        table: How often a position of each level counts in each zone, float32 [Z, L]. Over a whole
            layer it is once in the mean.
    """

    order: Any
    ends: Any
    weights: Any
    labels: Any
    table: Any

    @classmethod
    def of(cls, zones: Zones) -> Zoned:
        """Returns it for the whole of a layer."""
        # A zone without a place counts nowhere.
        areas = np.where(zones.areas > 0, zones.areas, np.inf)[:, np.newaxis]
        table = (zones.levels / areas).astype(np.float32)
        return cls._laid_out(zones.weights, zones.labels, table)

    @property
    def each(self) -> Any:
        """The same, zone by zone: float32 [Z, h, w]."""
        return tf.gather(self.table, self.labels, axis=1) * self.weights

    def cut(self, rows: slice, columns: slice) -> Zoned:
        """Returns it for a part of the layer; of arrays, not of tensors."""
        return self._laid_out(self.weights[rows, columns], self.labels[rows, columns], self.table)

    @classmethod
    def _laid_out(cls, weights: np.ndarray, labels: np.ndarray, table: np.ndarray) -> Zoned:
        flat = labels.astype(np.int16).ravel()  # which NumPy sorts by counting
        order = np.argsort(flat, kind="stable")
        ends = np.searchsorted(flat[order], np.arange(table.shape[1] + 1))
        return cls(
            order.astype(np.int32), ends.astype(np.int32), weights, labels.astype(np.int32), table
        )


def zones_of(shares: np.ndarray, weights: np.ndarray | None = None) -> Zones:
    """Returns the zones of a layer in which each position has shares of its own; as few as do.

    A position lies in a simplex, whose corners are the styles. It is cut into small ones
    (Freudenthal 1942), and the position belongs to the corners of the one that it lies in, by its
    barycentric coordinates: to K zones at the most. For two styles these are five triangles over
    gamma. Between zones it is brought to the nearest of a few levels: of 17 for two styles, of 9 in
    a layer of less than 5,100 positions, and of the zones' own 5 in one of less than 2,700.

    Args:
        shares: The share of each style at each position, [K, h, w], none negative, in sum 1.
        weights: How much of each position is painted, [h, w] in 0..1; None is all of it.

    Example:
        >>> import numpy as np
        >>> from mnst.objective.zones import zones_of
        >>> gamma = np.tile(np.linspace(0, 1, 65), (80, 1))
        >>> zones = zones_of(np.stack([gamma, 1 - gamma]))
        >>> zones.shares[:, 0].tolist()
        [0.0, 0.25, 0.5, 0.75, 1.0]
        >>> zones.masks[:, 0, 24].tolist()  # gamma is 0.375 there
        [0.0, 0.5, 0.5, 0.0, 0.0]
    """
    count, *sides = shares.shape
    positions = np.asarray(shares, np.float64).reshape(count, -1)
    painted = np.ones(sides, np.float32) if weights is None else weights.astype(np.float32)
    few, labels = _distinct(positions)
    if few.shape[1] <= _FEW:
        whole, levels = (few / few.sum(axis=0)).T, np.eye(few.shape[1])
    else:
        steps = _STEPS if count == 2 else _STEPS // 2
        between = _steps_between(count, steps, positions.shape[1])
        corners, nearness = _freudenthal(positions * (steps * between))
        nearest = np.take_along_axis(corners, nearness.argmax(axis=0)[np.newaxis, np.newaxis], 1)
        of_levels, labels = _numbered(nearest[:, 0], steps * between)
        of_zones, levels = _belonging(of_levels / between, steps)
        whole = of_zones.T / steps
    return Zones(whole, levels, labels.astype(np.int16).reshape(sides), painted)


def _steps_between(styles: int, steps: int, positions: int) -> int:
    """Returns how many steps there are from a zone to the next, in a layer of so many positions."""
    for between in _BETWEEN[:-1]:
        if positions >= _POSITIONS * math.comb(steps * between + styles - 1, styles - 1):
            return between
    return _BETWEEN[-1]


def _distinct(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the columns that differ, as they appear, [K, D], and which one each is, [P]."""
    # Differences that no picture of 8 bits has are none.
    whole = np.rint(positions * 1e4).astype(np.int64)
    # A number for each column: to sort numbers is many times as fast as to sort columns.
    keys = np.random.default_rng(0).integers(1, 2**62, len(whole), np.int64) @ whole
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    return positions[:, np.sort(first)], np.argsort(np.argsort(first))[which]


def _numbered(columns: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the nodes among which columns are, [K, D], and which one each column is, [P]."""
    if len(columns) > _ALL:
        return _distinct(columns)
    nodes = _nodes(len(columns), steps)
    digits = (steps + 1) ** np.arange(len(columns))
    numbers = np.empty(digits[-1] * (steps + 1), np.int64)
    numbers[(digits @ nodes).astype(np.int64)] = np.arange(nodes.shape[1])
    return nodes, numbers[(digits @ columns).astype(np.int64)]


def _nodes(count: int, steps: int) -> np.ndarray:
    """Returns all columns of whole numbers, none negative, whose sum is `steps`, [count, D]."""
    bars = itertools.combinations(range(steps + count - 1), count - 1)
    walls = np.array([(-1, *each, steps + count - 1) for each in bars], np.float64)
    return np.diff(walls, axis=1).T - 1


def _belonging(points: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns nodes, [K, Z], and how much each of the points belongs to each of them, [Z, P]."""
    corners, nearness = _freudenthal(points)
    corner, point = np.nonzero(nearness)  # a corner that is not belonged to may lie outside
    nodes, which = _numbered(corners[:, corner, point], steps)
    levels = np.zeros((nodes.shape[1], points.shape[1]))
    levels[which, point] = nearness[corner, point]
    return nodes, levels


def _freudenthal(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the corners of the small simplex around each point, and how near it is to each.

    Args:
        points: [K, P], none negative, with a whole number as the sum of each column.

    Returns:
        The corners, whole numbers with the same sum, [K, K, P]: the K coordinates of the K corners;
        and barycentric coordinates, [K, P], in sum 1.
    """
    # In sums from the last coordinate on, cells are cubes, cut along their diagonals: from the
    # lowest corner one goes to the highest along the axes, those of the largest remainders first.
    sums = np.cumsum(points[::-1], axis=0)[::-1]
    sums[0] = sums[0].round()
    # What is whole but for rounding.
    sums = np.where(np.abs(sums - sums.round()) < 1e-9, sums.round(), sums)
    lowest = np.floor(sums)
    remainders = sums - lowest
    order = np.argsort(-remainders[1:], axis=0, kind="stable") + 1
    falling = np.take_along_axis(remainders, order, axis=0)
    weights = -np.diff(falling, axis=0, prepend=1.0, append=0.0)
    walked, corners = lowest.copy(), []
    for axis in (None, *order):
        if axis is not None:
            walked = walked.copy()
            np.put_along_axis(
                walked, axis[np.newaxis], np.take_along_axis(walked, axis[np.newaxis], 0) + 1, 0
            )
        corners.append(-np.diff(walked, axis=0, append=0.0))
    return np.stack(corners, axis=1) + 0.0, weights  # of -0, 0
