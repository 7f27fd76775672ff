"""Coarse to fine: the sizes that a picture is painted in, one after the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate, pairwise

from mnst.checks import check_number, check_whole, settle


@dataclass(frozen=True, kw_only=True)
class Pyramid:
    """Sizes from coarse to fine, in nearly equal steps of about 2, and the steps that each gets.

    What a network sees at once is so many pixels. At a small size that is half the picture, and
    large forms come about; at the full size it is a brush stroke. One size alone never finds the
    other's, in any number of steps.

    The smallest size is the same for all pictures, whatever they end at. So a picture keeps its
    look when its size changes.

    Attributes:
        smallest: The long side of the smallest size, in pixels. A picture that is hardly larger
            has no further size.
        fall: Each size gets so many times the steps of the one before it: it has four times as
            many pixels to change, and less to change in them.

    Raises:
        ValueError: If a value is out of its range.

    Example:
        >>> from mnst.pyramid import Pyramid
        >>> pyramid = Pyramid(smallest=96, fall=0.5)
        >>> pyramid.sizes(256, 384)
        ((64, 96), (128, 192), (256, 384))
        >>> pyramid.steps(3, 73)
        (41, 21, 11)
    """

    smallest: int = 96
    fall: float = 0.6

    def __post_init__(self) -> None:
        settle(self, smallest=check_whole("smallest", self.smallest))
        fall = check_number("fall", self.fall, lambda value: 0 < value <= 1, "in (0, 1]")
        settle(self, fall=fall)

    def sizes(self, height: int, width: int) -> tuple[tuple[int, int], ...]:
        """Returns height and width of each size, the last of them as given."""
        ratio = max(height, width) / self.smallest
        turns = max(round(math.log2(ratio)), 0)
        parts = [ratio ** (turn / turns - 1) for turn in range(turns)]
        coarse = [(max(round(height * part), 1), max(round(width * part), 1)) for part in parts]
        return (*coarse, (height, width))

    def steps(self, sizes: int, steps: int) -> tuple[int, ...]:
        """Returns how many of so many steps each size gets.

        One at the least; where there are fewer steps than sizes, the coarsest get none.
        """
        used = min(sizes, steps)
        shares = [self.fall**k for k in range(used)]
        ends = [round((steps - used) * end / sum(shares)) for end in accumulate(shares)]
        gained = [1 + after - before for before, after in pairwise([0, *ends])]
        return (0,) * (sizes - used) + tuple(sorted(gained, reverse=True))  # rounded, as they fall
