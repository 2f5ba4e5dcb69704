"""Learning rates as functions of how much of the training is done."""

import math


def warm_cosine(progress: float, *, warm: float = 0.02) -> float:
    """A factor in [0, 1]: up in a straight line, then down along half a cosine (Loshchilov & Hutter 2017).

    Args:
        progress: the part of the training that is done, in [0, 1].
        warm: the part of it that goes up.
    Example:
        >>> [round(warm_cosine(progress), 2) for progress in (0.01, 0.02, 0.51, 1)]
        [0.5, 1.0, 0.5, 0.0]
    """
    if progress < warm:
        return progress / warm
    return 0.5 + 0.5 * math.cos(math.pi * (progress - warm) / (1 - warm))
