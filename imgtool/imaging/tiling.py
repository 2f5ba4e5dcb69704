"""A picture cut into overlapping tiles, mirrored at its own border and nowhere else, so that tiles add up exactly.

A network sees the *padded* picture: the picture, and as many mirrored pixels at the right and bottom as make its
sides multiples of `stride`, and at least `least`. A tile is a window of that padded picture; what is kept of it lies
at least `reach` from the window's inner edges, so that no kept value knows where the window ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imgtool.imaging.picture import Samples


@dataclass(frozen=True)
class Span:
    """One side of a tile, in pixels.

    Attributes:
        window: begin and end of what the network sees, in the padded picture.
        kept: begin and end of what is kept, in the picture itself.
        begin: where the kept part begins in what the network returns.
    """

    window: tuple[int, int]
    kept: tuple[int, int]
    begin: int

    @property
    def inner(self) -> slice:
        """The kept part of what the network returns."""
        return slice(self.begin, self.begin + self.kept[1] - self.kept[0])

    @property
    def place(self) -> slice:
        """Where it belongs in the result."""
        return slice(*self.kept)


@dataclass(frozen=True)
class Tile:
    """A window on rows and columns."""

    rows: Span
    columns: Span

    @property
    def inner(self) -> tuple[slice, slice]:
        """The kept part of what the network returns."""
        return self.rows.inner, self.columns.inner

    @property
    def place(self) -> tuple[slice, slice]:
        """Where it belongs in the result."""
        return self.rows.place, self.columns.place


@dataclass(frozen=True)
class Tiling:
    """How a network's pictures are cut.

    Attributes:
        side: pixels of a tile's side in the result; rounded down to a multiple of `stride`, at least one of it.
        reach: how far an output can see, a multiple of `stride`.
        stride: what sides of windows are multiples of.
        least: of a window's sides, a multiple of `stride`.
    """

    side: int
    reach: int
    stride: int
    least: int

    def tiles(self, height: int, width: int) -> Iterator[Tile]:
        """The tiles of a picture, row by row; together they keep each pixel once."""
        for rows in self._spans(height):
            for columns in self._spans(width):
                yield Tile(rows, columns)

    def count(self, height: int, width: int) -> int:
        """How many tiles there are."""
        side = self._side()
        return -(-height // side) * -(-width // side)

    def _side(self) -> int:
        return max(self.stride, self.side // self.stride * self.stride)

    def _spans(self, length: int) -> Iterator[Span]:
        padded = max(self.least, -(-length // self.stride) * self.stride)
        side = self._side()
        for first in range(0, length, side):
            last = min(first + side, length)
            begin = max(0, first - self.reach)
            end = min(padded, first + side + self.reach)
            yield Span((begin, end), (first, last), first - begin)

    def cut(self, pixels: Samples, tile: Tile) -> Samples:
        """What the network sees of a picture (H, W, ...) in a tile."""
        rows = _mirrored(tile.rows.window, pixels.shape[0])
        columns = _mirrored(tile.columns.window, pixels.shape[1])
        seen: Samples = pixels[rows][:, columns]
        return seen


def _mirrored(window: tuple[int, int], length: int) -> NDArray[np.intp] | slice:
    """Which of `length` pixels a window of the padded picture shows; the one at the border is not doubled."""
    begin, end = window
    if end <= length:
        return slice(begin, end)
    if length == 1:
        return np.zeros(end - begin, np.intp)
    period = 2 * (length - 1)
    places = np.arange(begin, end) % period
    mirrored: NDArray[np.intp] = np.minimum(places, period - places)
    return mirrored
