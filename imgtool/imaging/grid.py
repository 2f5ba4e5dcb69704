"""Pictures of one size in rows, without titles: what `sheet` has too much for."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from imgtool.imaging.picture import Picture

GAP = 2  # pixels between pictures


def grid(pictures: Sequence[NDArray[np.uint8]], columns: int | None = None, *, gap: int = GAP) -> Picture:
    """Pictures in rows on white.

    Args:
        pictures: (H, W, 1) or (H, W, 3) each, one at least.
        columns: in a row; None for as square as can be.
        gap: pixels between them.
    Returns:
        The sheet in RGB.
    """
    height, width = pictures[0].shape[:2]
    columns = columns or math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for index, each in enumerate(pictures):
        top, left = (height + gap) * (index // columns), (width + gap) * (index % columns)
        sheet[top : top + height, left : left + width] = each
    return Picture(sheet)
