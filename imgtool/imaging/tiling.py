"""A picture cut into overlapping tiles, mirrored at its own border and nowhere else, so that tiles add up exactly.

A network that pads its features sees the *padded* picture: the picture, and as many mirrored pixels at the right and
bottom as make its sides multiples of `multiple`, and at least `least`. A tile is a window of that padded picture;
what is kept of it lies at least `reach` from the window's inner edges, so that no kept value knows where the window
ends.
For a network that does not pad there is `ValidTiling`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from imgtool.imaging.picture import Samples


@dataclass(frozen=True)
class Span:
    """One side of a tile, in pixels.

    Attributes:
        window: begin and end of what the network sees, in pixels of the picture, mirrored beyond its border.
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
    def seen(self) -> tuple[slice, slice]:
        """What the network sees of a picture that reaches as far."""
        return slice(*self.rows.window), slice(*self.columns.window)

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
        stride: what tiles and windows begin at multiples of.
        least: of a window's sides.
        multiple: what a window's sides are multiples of; it divides `stride`.
    """

    side: int
    reach: int
    stride: int
    least: int
    multiple: int = field(default=1, kw_only=True)

    def tiles(self, height: int, width: int) -> Iterator[Tile]:
        """The tiles of a picture, row by row; together they keep each pixel once."""
        for rows in self.spans(height):
            for columns in self.spans(width):
                yield Tile(rows, columns)

    def count(self, height: int, width: int) -> int:
        """How many tiles there are."""
        side = self._side()
        return -(-height // side) * -(-width // side)

    def _side(self) -> int:
        return max(self.stride, self.side // self.stride * self.stride)

    def spans(self, length: int) -> Iterator[Span]:
        """The tiles along one side of a picture, from its beginning."""
        side = self._side()
        for first in range(0, length, side):
            yield self._span(first, min(first + side, length), length)

    def _span(self, first: int, last: int, length: int) -> Span:
        """The span that keeps `first` to before `last` of `length` pixels."""
        padded = -(-max(self.least, length) // self.multiple) * self.multiple
        begin = max(0, first - self.reach)
        end = min(padded, first + self._side() + self.reach)
        return Span((begin, end), (first, last), first - begin)

    def cut(self, pixels: Samples, tile: Tile) -> Samples:
        """What the network sees of a picture (H, W, ...) in a tile."""
        return cut_columns(_seen(pixels, tile.rows.window, axis=0), tile.columns)


@dataclass(frozen=True)
class ValidTiling(Tiling):
    """Tiles for a network without padding, whose output is smaller than what it sees.

    Every window has the whole halo, which is `reach`; `least` is of outputs.

    Attributes:
        output_side: the smallest side of an output that the network can make and that has so many pixels.
    """

    output_side: Callable[[int], int]

    def _span(self, first: int, last: int, length: int) -> Span:
        output = self.output_side(max(last - first, self.least))
        return Span((first - self.reach, first + output + self.reach), (first, last), 0)


def cut_columns(rows: Samples, span: Span) -> Samples:
    """The window of rows (h, W, ...) that a span sees."""
    return _seen(rows, span.window, axis=1)


def _seen(pixels: Samples, window: tuple[int, int], axis: int) -> Samples:
    """What a window shows along an axis; only what is mirrored is picked one by one, which takes long."""
    length, before = pixels.shape[axis], (slice(None),) * axis
    low, high = (min(max(end, 0), length) for end in window)
    if (low, high) == window:
        return pixels[(*before, slice(low, high))]
    spans = ((window[0], low), (low, high), (high, window[1]))
    return np.concatenate([pixels[(*before, mirrored(span, length))] for span in spans], axis)


def mirrored(window: tuple[int, int], length: int) -> NDArray[np.intp] | slice:
    """Which of `length` pixels a window shows; the one at the border is not doubled."""
    begin, end = window
    if begin >= 0 and end <= length:
        return slice(begin, end)
    if length == 1:
        return np.zeros(end - begin, np.intp)
    period = 2 * (length - 1)
    places = np.arange(begin, end) % period
    found: NDArray[np.intp] = np.minimum(places, period - places)
    return found
