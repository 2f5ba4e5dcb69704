"""At which sizes `stylize` works for strokes of a wanted width."""

import math

# A style picture is taken to be so many strokes wide, so that with `stroke` it is made so many times as large. No
# measure that was tried tells the strokes of a picture from what is painted with them.
STROKES_ACROSS = 64
# Pixels that strokes are wide at the coarsest scale, about: the network sees whole strokes there, and how they lie.
COARSEST_STROKE = 4.0
MAX_SCALES = 16
LEAST_SIDE = 64  # pixels of the coarsest scale's longest side


def scales_for(stroke: float, size: int | None) -> int:
    """How many scales, each twice the one before, begin where strokes are narrow.

    Args:
        stroke: their width in pixels of the result.
        size: longest side of the result; None if it is not known yet.
    """
    scales = 1 + max(1, round(math.log2(stroke / COARSEST_STROKE))) if 0 < stroke < math.inf else 1
    most = 1 + int(math.log2(size / LEAST_SIDE)) if size and size >= LEAST_SIDE else 1
    return min(scales, most if size else MAX_SCALES)


def steps_for(scales: int, steps: tuple[int, ...]) -> tuple[int, ...]:
    """Steps of each scale, those of the two coarsest given: from there on half as many from each to the next.

    The strokes are there by then, and a step takes four times as long at each.
    """
    first = steps[:scales] if scales > 1 else steps[-1:]
    finer = [math.ceil(steps[-1] / 2**more) for more in range(1, scales - len(first) + 1)]
    return (*first, *finer)
