"""Waves: a picture whose rows and columns are displaced by sines.

What is seen at (x, y) lay at (x + a sin(2 pi y / l + p), y + b sin(2 pi x / m + q)): inverse mapping, so that every
pixel of the result gets its value from somewhere, with bilinear weights.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
CLOSE = 1e-3  # pixels
STEPS = 200  # more than the steepest wave takes that does not fold


def displacement(
    count: int, amplitude: NDArray[np.float64], length: NDArray[np.float64], phase: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Sines along an axis.

    Args:
        count: of pixels on the axis.
        amplitude, length, phase: (N,) pixels, pixels and radians.
    Returns:
        (N, count), pixels.
    """
    at = np.arange(count)
    angles = 2 * np.pi / length[:, None] * at + phase[:, None]
    return (amplitude[:, None] * np.sin(angles)).astype(np.float32)


@dataclass(frozen=True)
class Wave:
    """How far things are displaced.

    Attributes:
        amplitude: (along x, along y) pixels.
        length: (of the wave that displaces along x, along y) pixels.
        phase: likewise, radians.
    """

    amplitude: tuple[float, float]
    length: tuple[float, float]
    phase: tuple[float, float] = (0.0, 0.0)

    def warp(self, pixels: Pixels, *, border: int | None = None) -> Pixels:
        """A picture with waves.

        Args:
            pixels: (H, W) or (H, W, C).
            border: value of what comes from outside the picture; None for what is nearest in it.
        Returns:
            The same shape.
        """
        height, width = pixels.shape[:2]
        rows, columns = (
            displacement(
                count, *(np.array([part[axis]]) for part in (self.amplitude, self.length, self.phase))
            )
            for axis, count in enumerate((height, width))
        )
        return warped(pixels, grid_of(height, width), rows[0], columns[0], border=border)

    def moved(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where points of the flat picture are seen, by fixed-point iteration.

        Args:
            points: (…, 2) as (x, y) pixels.
        Returns:
            The same shape.
        """
        seen = points
        for _ in range(STEPS):
            before = seen
            seen = points - np.stack([self._along(0, seen[..., 1]), self._along(1, seen[..., 0])], axis=-1)
            if np.abs(seen - before).max(initial=0) < CLOSE:
                break
        return seen

    def _along(self, axis: int, at: NDArray[np.float64]) -> NDArray[np.float64]:
        angles = 2 * math.pi / self.length[axis] * at + self.phase[axis]
        along: NDArray[np.float64] = self.amplitude[axis] * np.sin(angles)
        return along


class Grid(NamedTuple):
    """Where the pixels of a picture lie, (H, W) each."""

    x: NDArray[np.float32]
    y: NDArray[np.float32]


@lru_cache(maxsize=4)
def grid_of(height: int, width: int) -> Grid:
    """The grid of a size; made once for many pictures."""
    return Grid(*np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)))


def warped(
    pixels: Pixels,
    grid: Grid,
    rows: NDArray[np.float32],
    columns: NDArray[np.float32],
    *,
    border: int | None = None,
    nearest: bool = False,
) -> Pixels:
    """A picture whose rows and columns are displaced.

    Args:
        pixels: (H, W) or (H, W, C).
        grid: of its size.
        rows: (H,) pixels by which each row is displaced.
        columns: (W,) likewise.
        border: as for `Wave.warp`.
        nearest: take values as they are, without mixing them.
    """
    mode = cv2.BORDER_REPLICATE if border is None else cv2.BORDER_CONSTANT
    mixing = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    result: Pixels = cv2.remap(
        pixels, grid.x + rows[:, None], grid.y + columns, mixing, borderMode=mode, borderValue=border or 0
    )
    return result
