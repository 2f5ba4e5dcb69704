"""Files written from the top, a few rows at once, so that no picture need be whole in memory."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from imgtool.errors import OutputError
from imgtool.imaging.recipes import KEY, to_xmp

IDAT_BYTES = 1 << 18
# Of the PNG specification, by the number of channels: grey, grey with alpha, colour, colour with alpha.
COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
PALETTE_TYPE, UP = 3, 2
PNG_SIGN = b"\x89PNG\r\n\x1a\n"
MAX_PNG_SIDE = 2**31 - 1


@dataclass(frozen=True)
class Layout:
    """What a file holds.

    Attributes:
        height, width: of the picture.
        channels: 1 to 4.
        dtype: uint8 or uint16; in `.npy` any.
        palette: (N, 3) uint8, the colour of each of N values of a single channel of uint8; None for grey.
    """

    height: int
    width: int
    channels: int = 1
    dtype: Any = np.uint8
    palette: NDArray[np.uint8] | None = None


class StripWriter(Protocol):
    """A file that grows by rows."""

    def write(self, rows: NDArray[Any]) -> None:
        """Add rows (h, W) or (h, W, C)."""

    def close(self) -> None:
        """Write what stands at the end; the file itself stays open."""


def strip_writer(file: BinaryIO, format: str, layout: Layout, recipe: str | None = None) -> StripWriter:
    """A writer for one of `suffixes.IN_STRIPS`.

    Args:
        file: binary, at its beginning; one that can seek, but for PNG.
        format: a suffix.
        layout: of the picture.
        recipe: JSON to embed; `.npy` has no place for it.
    Raises:
        OutputError: the picture is too large for the format.
    """
    if format == "png":
        return PngWriter(file, layout, recipe)
    return (_ArrayWriter if format == "npy" else _TiffWriter)(file, layout, recipe)


class PngWriter:
    """A PNG whose rows are stored as their differences from the ones above.

    Args:
        file: binary; it need not seek.
        layout: of 8 or 16 bits.
        recipe: JSON for a text chunk.
    """

    def __init__(self, file: BinaryIO, layout: Layout, recipe: str | None = None) -> None:
        if max(layout.width, layout.height) > MAX_PNG_SIDE:
            raise OutputError(f"{layout.width}x{layout.height} is too large for PNG", hint="write a .tif")
        self.file, self.layout = file, layout
        bits = 8 * np.dtype(layout.dtype).itemsize
        kind = COLOR_TYPES[layout.channels] if layout.palette is None else PALETTE_TYPE
        file.write(PNG_SIGN)
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", layout.width, layout.height, bits, kind, 0, 0, 0))
        if layout.palette is not None:
            self._chunk(b"PLTE", layout.palette.astype(np.uint8).tobytes())
        if recipe is not None:
            self._chunk(b"iTXt", KEY.encode() + b"\0\0\0\0\0" + recipe.encode())
        self.above: NDArray[np.uint8] | None = None
        self.packer = zlib.compressobj(6)
        self.packed = bytearray()

    def write(self, rows: NDArray[Any]) -> None:
        """Add rows (h, W) or (h, W, C)."""
        plain = np.ascontiguousarray(rows.astype(np.dtype(self.layout.dtype).newbyteorder(">"), copy=False))
        plain = plain.reshape(len(rows), -1).view(np.uint8)
        filtered = np.empty((len(plain), plain.shape[1] + 1), np.uint8)
        filtered[:, 0] = UP
        above = np.zeros_like(plain[0]) if self.above is None else self.above
        np.subtract(plain[0], above, out=filtered[0, 1:])
        np.subtract(plain[1:], plain[:-1], out=filtered[1:, 1:])
        self.above = plain[-1].copy()
        self._grow(self.packer.compress(filtered.data))

    def close(self) -> None:
        """Write the end of the data, and of the file."""
        self._grow(self.packer.flush())
        self._chunk(b"IDAT", bytes(self.packed))
        self._chunk(b"IEND", b"")

    def _grow(self, data: bytes) -> None:
        self.packed += data
        while len(self.packed) >= IDAT_BYTES:
            self._chunk(b"IDAT", bytes(self.packed[:IDAT_BYTES]))
            del self.packed[:IDAT_BYTES]

    def _chunk(self, kind: bytes, data: bytes) -> None:
        self.file.write(png_chunk(kind, data))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG: its length, kind, data and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


class _TiffWriter:
    """An uncompressed TIFF, BigTIFF where it must be."""

    def __init__(self, file: BinaryIO, layout: Layout, recipe: str | None) -> None:
        import tifffile

        shape = (layout.height, layout.width)
        options: dict[str, Any] = {"photometric": "rgb" if layout.channels > 2 else "minisblack"}
        if layout.channels > 1:
            shape = (*shape, layout.channels)  # type: ignore[assignment]
        if layout.palette is not None:
            colors = np.zeros((3, 256), np.uint16)
            colors[:, : len(layout.palette)] = layout.palette.T.astype(np.uint16) * 257
            options = {"photometric": "palette", "colormap": colors}
        packet = b"" if recipe is None else to_xmp(recipe)
        if packet:
            options["extratags"] = [(700, "B", len(packet), packet, True)]
        size = int(np.prod(shape)) * np.dtype(layout.dtype).itemsize
        named = tifffile.FileHandle(file, name="picture.tif")  # a file without a name has a number for one
        with tifffile.TiffWriter(named, bigtiff=size > 2**32 - 2**25) as tiff:
            place = tiff.write(
                shape=shape, dtype=np.dtype(layout.dtype).newbyteorder("<"), metadata=None,
                software="imgtool", returnoffset=True, **options,
            )  # fmt: skip
        assert place is not None
        self.file, self.dtype = file, np.dtype(layout.dtype).newbyteorder("<")
        self.file.seek(place[0])

    def write(self, rows: NDArray[Any]) -> None:
        self.file.write(np.ascontiguousarray(rows.astype(self.dtype, copy=False)).data)

    def close(self) -> None:
        self.file.seek(0, 2)


class _ArrayWriter:
    """A NumPy array (H, W), or (H, W, C)."""

    def __init__(self, file: BinaryIO, layout: Layout, recipe: str | None) -> None:
        shape: tuple[int, ...] = (layout.height, layout.width)
        shape = shape if layout.channels == 1 else (*shape, layout.channels)
        self.dtype = np.dtype(layout.dtype).newbyteorder("<")
        header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        self.file = file

    def write(self, rows: NDArray[Any]) -> None:
        self.file.write(np.ascontiguousarray(rows.astype(self.dtype, copy=False)).data)

    def close(self) -> None:
        """Nothing stands at the end."""
