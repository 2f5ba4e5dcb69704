"""Axes of plots: where a value lies, which values to write beside them, which points of long curves to draw."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

TICKS = (3, 7)  # fewest and most along an axis
POINTS = 2000  # of a curve that are drawn; of longer ones the extremes


class Axis(NamedTuple):
    """Values from `low` to `high` along a line from `start` to `end`, by their logarithms or as they are."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def place(self, value: float) -> float:
        """Where a value lies on the line; what is beyond the axis lies at its end."""
        value, low, high = min(max(value, self.low), self.high), self.low, self.high
        if self.log:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return self.start + (self.end - self.start) * (value - low) / (high - low)

    def ticks(self) -> list[float]:
        """Round values within the axis: powers of ten where there are enough, down to parts of one."""
        for candidates in self._powers() if self.log else ():
            inside = [value for value in candidates if self.low <= value <= self.high]
            if TICKS[0] <= len(inside) <= TICKS[1]:
                return inside
        return _multiples(self.low, self.high)

    def _powers(self) -> Iterator[list[float]]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for digits in ((1,), (1, 3), (1, 2, 5)):
            yield [digit * 10.0**power for power in range(first, last + 1) for digit in digits]
        for stride in range(2, max(3, last - first)):
            yield [10.0**power for power in range(first, last + 1) if power % stride == 0]


def _multiples(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten from low to high, `TICKS` of them."""
    finest = 10.0 ** math.floor(math.log10((high - low) / 100))
    for step in (finest * digit * ten for ten in (1, 10, 100, 1000) for digit in (1, 2, 5)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < TICKS[1]:
            break
    return [index * step for index in range(first, last + 1)]


def extremes(values: Sequence[float]) -> list[int]:
    """Indices of a curve's points; where there are very many, of the least and greatest of each stretch."""
    if len(values) <= POINTS:
        return list(range(len(values)))
    ends = [len(values) * part // (POINTS // 2) for part in range(POINTS // 2 + 1)]
    found = set()
    for start, end in pairwise(ends):
        stretch = range(start, end)
        found |= {min(stretch, key=values.__getitem__), max(stretch, key=values.__getitem__)}
    return sorted(found)
