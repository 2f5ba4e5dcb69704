"""Which examples a step of training sees: each once before any comes again."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def seen_in(step: int, size: int, count: int, *, seed: int) -> Iterator[tuple[int, np.random.Generator]]:
    """The examples of a step, and random numbers for each; both depend on the seed and on the step alone.

    Args:
        step: its number, from 0.
        size: examples in a step.
        count: examples in all.
        seed: of the order, and of the random numbers.
    """
    for place in range(step * size, (step + 1) * size):
        index = int(shuffled((seed, 0, place // count), count)[place % count])
        yield index, np.random.default_rng((seed, 1, place))


@lru_cache(maxsize=2)  # a step at the end of a round needs two
def shuffled(seed: tuple[int, ...], count: int) -> NDArray[np.int64]:
    """The numbers below `count` in the order of one round, which the seed tells."""
    return np.random.default_rng(seed).permutation(count)
