"""Edges one pixel wide: maps of edge probability thinned along their normals, masks down to their skeletons."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SMOOTH_PX, ORIENT_PX = 1, 4  # radii of the triangle filters
TOLERANCE = np.float32(1.01)  # a pixel may be this much weaker than its neighbour
REACH = SMOOTH_PX + ORIENT_PX + 2  # rows that a result depends on; 2 for the second derivative
STRIP_PIXELS = 1 << 18  # worked on at once, which bounds the memory


def thin_edges(probabilities: NDArray[np.floating], *, border_px: int = 0) -> NDArray[np.float32]:
    """The crests of a map of edge probability: what is weaker than its neighbours across the edge becomes 0.

    The map is smoothed a little first, and crests keep the smoothed value. Large maps are worked on in strips
    of rows, with the same result.

    Where the curvature along x or y is exactly zero the benchmark's own formula takes the edge for its normal,
    and leaves a horizontal line as thick as it was; here the result turns with the picture.

    Args:
        probabilities: (H, W) in [0, 1].
        border_px: fade what is closer than this to the picture's border, where detectors see edges that are
            none. Scores of the literature are taken with 5.
    Returns:
        (H, W) in [0, 1].
    Reference:
        Dollár & Zitnick 2015, Fast edge detection using structured forests, sec. 3.3: suppression at a radius
        of 1 across an orientation that is estimated from second derivatives.
        Xie & Tu 2015, Holistically-nested edge detection, who score so. https://arxiv.org/abs/1504.06375
    """
    height, width = probabilities.shape
    thinned = np.empty((height, width), np.float32)
    rows = max(REACH, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        first = max(0, top - REACH)
        strip = _crests(np.asarray(probabilities[first : top + rows + REACH], np.float32))
        thinned[top : top + rows] = strip[top - first :][:rows]
    if border_px:
        thinned *= _fade(height, border_px)[:, None] * _fade(width, border_px)
    return thinned


def skeleton(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What is left of a mask when its outlines are peeled off until lines are one pixel wide; no line breaks.

    Args:
        mask: (H, W).
    Returns:
        (H, W), a subset.
    Reference:
        Guo & Hall 1989, Parallel thinning with two-subiteration algorithms, algorithm A1, which the boundary
        benchmark of Berkeley applies before it matches pixels.
    """
    framed = np.pad(mask.astype(np.uint8), 1)
    stride, pixels = framed.shape[1], framed.reshape(-1)
    around = np.array([1, 1 - stride, -stride, -stride - 1, -1, stride - 1, stride, stride + 1])
    left, before = np.flatnonzero(pixels), -1
    while len(left) != before:
        before = len(left)
        for deletable in _DELETABLE:
            code = np.zeros(len(left), np.uint8)
            for bit, step in enumerate(around):
                code |= pixels[left + step] << bit
            gone = deletable[code]
            pixels[left[gone]] = 0
            left = left[~gone]
    return framed[1:-1, 1:-1].astype(bool)


def _crests(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """`thin_edges` of one strip, without the fade."""
    edges = _smoothed(probabilities, SMOOTH_PX)
    right, down, falling = _normals(edges)
    height, width = edges.shape
    framed = np.pad(edges, 1, mode="edge")

    def moved(rows: int, columns: int) -> NDArray[np.float32]:
        return framed[1 + rows : 1 + rows + height, 1 + columns : 1 + columns + width]

    floor = edges * TOLERANCE
    for side in (1, -1):  # one pixel along the normal and one against it, bilinear
        level = (1 - right) * edges + right * moved(0, side)
        across = np.where(falling, moved(side, side), moved(-side, side))
        across *= right
        across += (1 - right) * np.where(falling, moved(side, 0), moved(-side, 0))
        edges = np.where(floor >= (1 - down) * level + down * across, edges, np.float32(0))
    return edges


def _normals(
    edges: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Unit vectors across edges: how far right, how far up or down, and whether it is down, in image rows."""
    broad = _smoothed(edges, ORIENT_PX)
    slope_x = _derivative(broad, 1)
    xx, xy = _derivative(slope_x, 1), _derivative(slope_x, 0)
    yy = _derivative(_derivative(broad, 0), 0)
    falling = (xx < 0) ^ (yy < 0) ^ (xy <= 0)
    right, down = np.abs(xx), np.abs(yy)
    length = np.hypot(right, down)
    length[length == 0] = 1  # flat, whatever the direction
    right /= length
    down /= length
    return right, down, falling


def _smoothed(values: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    """Triangle filter, the border mirrored."""
    from scipy.ndimage import correlate1d  # here, as not every command that may thin does

    kernel = (radius + 1 - abs(np.arange(-radius, radius + 1))) / (radius + 1) ** 2
    for axis in (0, 1):
        values = correlate1d(values, kernel, axis, mode="reflect")
    return values


def _derivative(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Central differences, one-sided at the border; 0 along a single pixel."""
    return np.gradient(values, axis=axis) if values.shape[axis] > 1 else np.zeros_like(values)


def _fade(size: int, border_px: int) -> NDArray[np.float32]:
    """(size,), rising from 0 at both ends to 1."""
    from_end = np.minimum(np.arange(size), np.arange(size)[::-1])
    return np.minimum(1, from_end / max(1, min(border_px, size // 2))).astype(np.float32)


def _deletable() -> NDArray[np.bool_]:
    """(2, 256): whether each pass deletes a pixel, by its neighbours as bits, counter-clockwise from the right."""
    bits = (np.arange(256) >> np.arange(8)[:, None]) & 1 == 1
    x = {index: bits[(index - 1) % 8] for index in range(1, 10)}  # numbered as in the paper, x9 is x1
    ends = sum((~x[i] & (x[i + 1] | x[i + 2])).astype(int) for i in (1, 3, 5, 7))
    odd = sum((x[i] | x[i + 1]).astype(int) for i in (1, 3, 5, 7))
    even = sum((x[i] | x[i + 1]).astype(int) for i in (2, 4, 6, 8))
    thick = np.minimum(odd, even)
    connected = (ends == 1) & (thick >= 2) & (thick <= 3)
    return np.stack(
        [connected & ~((x[2] | x[3] | ~x[8]) & x[1]), connected & ~((x[6] | x[7] | ~x[4]) & x[5])]
    )


_DELETABLE = _deletable()
