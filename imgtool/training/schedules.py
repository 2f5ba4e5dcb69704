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


def late_fall(progress: float, share: float, *, low: float = 0.1) -> float:
    """A factor that is 1, and falls in a straight line over the last part of the training.

    Args:
        progress: the part of the training that is done, in [0, 1].
        share: the part over which it falls; 0 for never.
        low: where it ends.
    Example:
        >>> [round(late_fall(progress, 0.5), 2) for progress in (0, 0.5, 0.75, 1)]
        [1.0, 1.0, 0.55, 0.1]
    """
    fallen = (progress - 1 + share) / share if share else 0.0
    return 1 - (1 - low) * min(1.0, max(0.0, fallen))
