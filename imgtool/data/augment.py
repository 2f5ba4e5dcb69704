"""The same random turn, flip, scale and crop for an image and everything that is known about its pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

WORTHWHILE = 4  # times as large as the part of it that a crop needs: then an image is cut
MARGIN = 2  # pixels round the outermost places, for their neighbours and for rounding


@dataclass(frozen=True)
class Placement:
    """Where a square crop lies in an image.

    Attributes:
        center: (x, y) in pixels of the image.
        angle: of the turn, in radians.
        scale: pixels of the crop for one pixel of the image.
        flip: whether left and right change places.
    """

    center: tuple[float, float]
    angle: float
    scale: float
    flip: bool


def random_placement(
    size: tuple[int, int], side: int, *, angles: int, scales: Sequence[float], random: np.random.Generator
) -> Placement:
    """A crop of `side` pixels in an image of `size` (height, width), turned by a multiple of 360 / angles degrees.

    The crop may reach over the border where the image is too small for it, but its centre stays inside.
    """
    angle = 2 * math.pi * int(random.integers(angles)) / angles
    scale = float(random.choice(scales))
    # Of the turned crop's bounding box.
    half = side / scale / 2 * (abs(math.cos(angle)) + abs(math.sin(angle)))
    center = [_between(length, half, random) for length in (size[1], size[0])]
    return Placement((center[0], center[1]), angle, scale, bool(random.integers(2)))


def _between(length: int, half: float, random: np.random.Generator) -> float:
    """A place for the centre along one side; a crop larger than the image is centred but for a tenth."""
    low, high = half, length - half
    if low > high:
        low, high = 0.45 * length, 0.55 * length
    return float(random.uniform(low, high))


def sampling_grid(
    placement: Placement, size: tuple[int, int], side: int, *, bend: Tensor | None = None
) -> Tensor:
    """Where each pixel of the crop comes from, (1, side, side, 2), as `grid_sample` wants it.

    Args:
        placement: of the crop.
        size: (height, width) of the image.
        side: of the crop, in pixels.
        bend: how far each pixel is displaced in (x, y), (side, side, 2) in pixels of the crop, as of `elastic`.
    """
    steps = (torch.arange(side) - (side - 1) / 2) / placement.scale
    across = -steps if placement.flip else steps
    x, y = across[None, :].expand(side, side), steps[:, None].expand(side, side)
    if bend is not None:
        x, y = x + bend[..., 0] / placement.scale, y + bend[..., 1] / placement.scale
    cos, sin = math.cos(placement.angle), math.sin(placement.angle)
    places = torch.stack(
        (
            (placement.center[0] + cos * x - sin * y) * 2 / size[1] - 1,
            (placement.center[1] + sin * x + cos * y) * 2 / size[0] - 1,
        ),
        dim=-1,
    )
    return places[None]


def elastic(side: int, *, spacing: int, deviation: float, random: np.random.Generator) -> Tensor:
    """A smooth random displacement, (side, side, 2): normal on a coarse grid, bicubic between.

    Args:
        side: of the crop.
        spacing: of the coarse grid; 256 and a tile of 512 give the 3x3 grid of the paper.
        deviation: of each displacement on it, in pixels; 10 in the paper.
        random: where the numbers come from.
    Reference:
        Ronneberger, Fischer & Brox 2015, section 3.1.
    """
    count = max(2, math.ceil(side / spacing) + 1)
    coarse = torch.from_numpy(random.normal(0, deviation, (1, 2, count, count)).astype(np.float32))
    reach = (count - 1) * spacing  # of the coarse grid; the crop is its middle
    fine = functional.interpolate(coarse, size=(reach + 1, reach + 1), mode="bicubic", align_corners=True)
    begin = (reach - side) // 2
    return fine[0, :, begin : begin + side, begin : begin + side].permute(1, 2, 0)


def sampled(planes: Tensor, grid: Tensor, *, mode: str) -> Tensor:
    """The crop of (1, C, H, W) planes; what lies outside of the image is mirrored in, the outermost pixel twice."""
    return functional.grid_sample(planes, grid, mode=mode, padding_mode="reflection", align_corners=False)


def cut(grid: Tensor, size: tuple[int, int]) -> tuple[tuple[slice, slice], Tensor]:
    """The part of an image that a grid needs, and the grid within that part: `sampled` finds the same there.

    The same but for rounding: places differ by less than 1e-4 of a pixel, as they do from what was asked for.

    Args:
        grid: as of `sampling_grid`.
        size: (height, width) of the image.
    Returns:
        Its rows and columns; all of them, and the grid as it is, where there is little to leave out.
    """
    places = [
        ((grid[..., axis].double() + 1) * length - 1) / 2 for axis, length in ((1, size[0]), (0, size[1]))
    ]
    rows, columns = (_reach(each, length) for each, length in zip(places, size, strict=True))
    part = (rows.stop - rows.start, columns.stop - columns.start)
    if WORTHWHILE * part[0] * part[1] > size[0] * size[1]:
        return (slice(0, size[0]), slice(0, size[1])), grid
    y, x = (
        (2 * (each - begin) + 1) / length - 1
        for each, begin, length in zip(places, (rows.start, columns.start), part, strict=True)
    )
    return (rows, columns), torch.stack((x, y), dim=-1).float()


def _reach(places: Tensor, length: int) -> slice:
    """The pixels of one side that are needed, those that are mirrored over its ends among them."""
    low, high = math.floor(float(places.min())) - MARGIN, math.ceil(float(places.max())) + MARGIN
    if low < 0 and high >= length:
        return slice(0, length)
    if low < 0:
        high = max(high, -low)
    elif high >= length:
        low = min(low, 2 * length - high - 2)
    return slice(max(0, low), min(length, high + 1))


def inside(grid: Tensor) -> Tensor:
    """Which pixels of a crop lie in the image, (1, 1, side, side) bool."""
    return (grid.abs() <= 1).all(dim=-1)[:, None]
