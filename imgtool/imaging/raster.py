"""Pictures for measuring: all their channels, in strips of rows, however large they are."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from imgtool.errors import BadImage
from imgtool.imaging.picture import LUMA

STRIP_BYTES = 1 << 20  # of rows that are worked on at once


class Raster:
    """Samples (H, W, C) of any number type; a context manager, for there may be a file behind it.

    Args:
        shape: (H, W, C).
        dtype: of the samples.
        samples: all of them; or
        file: a binary file that holds them row by row from `offset` on.
        notes: what the user should be told about how the file was understood.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        *,
        samples: NDArray[Any] | None = None,
        file: BinaryIO | None = None,
        offset: int = 0,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.height, self.width, self.channels = shape
        self.dtype, self.notes = np.dtype(dtype), notes
        self._samples, self._file, self._offset = samples, file, offset

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def given(self) -> Raster:
        """The picture with the channels that the file has."""
        return self

    def with_channels(self, channels: int) -> Raster:
        """The same picture with so many channels: grey is repeated, colours become their luminance.

        Raises:
            ValueError: neither is meant.
        """
        if self.channels == channels:
            return self
        if self.channels != 1 and not (self.channels == 3 and channels == 1):
            raise ValueError(f"{self.channels} channels, expected {channels}")
        return _Converted(self, channels)

    def rows(self, begin: int, end: int) -> NDArray[Any]:
        """The rows from `begin` to before `end`, (end - begin, W, C)."""
        if self._samples is not None:
            return self._samples[begin:end]
        assert self._file is not None
        row = self.width * self.channels * self.dtype.itemsize
        self._file.seek(self._offset + begin * row)
        data = self._file.read((end - begin) * row)
        if len(data) != (end - begin) * row:
            raise BadImage(str(getattr(self._file, "name", "the picture")), "truncated")
        return np.frombuffer(data, self.dtype).reshape(end - begin, self.width, self.channels)

    def strips(self) -> Iterator[NDArray[Any]]:
        """All rows, from the top, a bounded number at once."""
        row = self.width * self.channels * self.dtype.itemsize
        step = max(1, STRIP_BYTES // row)
        yield from (self.rows(top, min(top + step, self.height)) for top in range(0, self.height, step))

    def whole(self) -> NDArray[Any]:
        """All samples, (H, W, C)."""
        return self.rows(0, self.height)


class _Converted(Raster):
    """A raster seen with another number of channels."""

    def __init__(self, of: Raster, channels: int) -> None:
        dtype = of.dtype if of.channels == 1 else np.dtype(np.float32)
        super().__init__((of.height, of.width, channels), dtype, notes=of.notes)
        self.of = of

    @property
    def given(self) -> Raster:
        return self.of

    def rows(self, begin: int, end: int) -> NDArray[Any]:
        samples = self.of.rows(begin, end)
        if self.of.channels == 1:
            return np.broadcast_to(samples, (*samples.shape[:2], self.channels))
        return (samples @ np.array(LUMA, np.float32))[..., None].astype(np.float32, copy=False)


def raster_of(samples: NDArray[Any], *, notes: tuple[str, ...] = ()) -> Raster:
    """An array (H, W) or (H, W, C) as a raster."""
    samples = samples[..., None] if samples.ndim == 2 else samples
    height, width, channels = samples.shape
    return Raster((height, width, channels), samples.dtype, samples=samples, notes=notes)
