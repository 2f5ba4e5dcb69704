"""Maps of probability as levels of grey."""

import numpy as np
from numpy.typing import NDArray

from imgtool.imaging.picture import Samples

STRIP_PIXELS = 1 << 20  # worked on at once


def levels(
    probabilities: NDArray[np.float32], *, bits: int = 8, threshold: float | None = None, invert: bool = False
) -> Samples:
    """Probability as grey: 1 is white.

    Args:
        probabilities: (H, W) in [0, 1].
        bits: 8 or 16.
        threshold: if given, what reaches it is white and all else black.
        invert: black on white.
    Returns:
        (H, W), uint8 or uint16.
    """
    dtype = np.uint8 if bits == 8 else np.uint16
    full = np.iinfo(dtype).max
    drawn = np.empty(probabilities.shape, dtype)
    rows = max(1, STRIP_PIXELS // probabilities.shape[1])
    for top in range(0, len(drawn), rows):
        strip = probabilities[top : top + rows]
        strip = strip if threshold is None else (strip >= threshold).astype(np.float32)
        drawn[top : top + rows] = np.rint(strip * np.float32(full))
    return full - drawn if invert else drawn
