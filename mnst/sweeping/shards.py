"""Shards: the parts of a sweep that are painted apart, as by the jobs of an array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mnst.checks import check_list, check_whole, shown


@dataclass(frozen=True)
class Shard:
    """Every so-many-th run of a sweep.

    Attributes:
        number: Which part, from 1.
        of: How many parts there are.

    Example:
        >>> from mnst.sweeping.shards import Shard
        >>> [place for place in range(10) if Shard(2, 4).has(place)]
        [1, 5, 9]
    """

    number: int = 1
    of: int = 1

    @classmethod
    def checked(cls, shard: Any) -> Shard:
        """Returns a shard as it was given: (3, 100), or None for all of a sweep.

        Raises:
            ValueError: If it is something else.
        """
        if shard is None:
            return cls()
        numbers = check_list("shard", shard, "two numbers, as in (3, 100)", 2)
        if len(numbers) != 2:
            raise ValueError(f"shard is {shown(shard)}: give two numbers, as in (3, 100)")
        number, of = (check_whole(f"shard[{k}]", each) for k, each in enumerate(numbers))
        if number > of:
            raise ValueError(f"shard is {shown(shard)}: give one from 1 to {of}")
        return cls(number, of)

    def has(self, place: int) -> bool:
        """True for a run that belongs to it, by its number among all."""
        return place % self.of == self.number - 1

    def rank(self, place: int) -> int:
        """Returns which of its own runs one of them is, from 0."""
        return place // self.of

    @property
    def is_all(self) -> bool:
        """True for a sweep that is not parted."""
        return self.of == 1
