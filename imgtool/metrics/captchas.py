"""How often captchas are read, and how sure that figure is."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Rate:
    """So many of so many.

    Attributes:
        read: captchas whose text was read without an error.
        count: of all, at least 1.
    """

    read: int
    count: int

    @property
    def share(self) -> float:
        """Of those that were read."""
        return self.read / self.count

    @property
    def interval(self) -> tuple[float, float]:
        """Between what and what the share of all captchas of this kind lies, in 95 of 100 such measurements."""
        return wilson_interval(self.read, self.count)

    def within(self, tries: int) -> float:
        """The probability that at least one of so many captchas is read."""
        return 1.0 - (1.0 - self.share) ** tries


def wilson_interval(successes: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """The interval of a probability that was seen as a share:

        (p + z^2 / 2n +- z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)

    It stays within [0, 1] and makes sense where nothing or everything succeeded.

    Args:
        successes: from 0 to `count`.
        count: n, at least 1.
        z: quantile of the normal distribution; 1.96 for 95 %.
    Reference:
        Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953.
    Example:
        >>> [round(end, 4) for end in wilson_interval(10, 10)]
        [0.7225, 1.0]
    """
    p, square = successes / count, z * z / count
    middle = p + square / 2
    reach = z * math.sqrt(p * (1 - p) / count + square / (4 * count))
    return max(0.0, (middle - reach) / (1 + square)), min(1.0, (middle + reach) / (1 + square))
