"""Pictures for measuring: all channels as the file has them, read in strips, however large the file is.

`imaging.io` reads pictures for looking at: three channels in sRGB. Here nothing is converted that need not be.
"""

from __future__ import annotations

import io
import os
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imgtool.errors import BadImage
from imgtool.files import printable
from imgtool.imaging.decode import too_large
from imgtool.imaging.io import read_picture
from imgtool.imaging.picture import LUMA
from imgtool.imaging.strips import COLOR_TYPES, PALETTE_TYPE, PNG_SIGN, png_chunk

MAX_CHANNELS = 64
STRIP_BYTES = 1 << 20  # of rows that are worked on at once
MAX_CHUNK = 1 << 28  # bytes of a PNG's chunk: writers make far smaller ones
TIFF_SIGNS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two are of BigTIFF
ARRAYS, TIFFS = (".npy",), (".tif", ".tiff", ".btf")


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


def open_raster(path: str | os.PathLike[str], *, name: str | None = None, max_pixels: int) -> Raster:
    """The samples of a picture, a TIFF of any kind, or a `.npy` array (H, W) or (H, W, C).

    Args:
        path: of the file.
        name: what to call it in messages; by default the path.
        max_pixels: one with more is refused by its header.
    Raises:
        BadImage: it cannot be read.
    """
    path = Path(path)
    name = name or printable(path)
    start = _start(path)
    if start.startswith(b"\x93NUMPY"):
        return _array(path, name, max_pixels)
    if start[:4] in TIFF_SIGNS and (found := _tiff(path, name, max_pixels)):
        return found
    if start == PNG_SIGN and (found := stream_png(path, name, max_pixels)):
        return found
    picture = read_picture(path, name=name, max_pixels=max_pixels)
    red, green, blue = (picture.pixels[..., channel] for channel in range(3))
    gray = np.array_equal(red, green) and np.array_equal(red, blue)  # a grey file is read as three channels
    samples = picture.pixels[..., :1] if gray else picture.pixels
    notes = picture.notes if picture.alpha is None else (*picture.notes, "its transparency is left aside")
    return raster_of(samples, notes=notes)


def _start(path: Path) -> bytes:
    """The first bytes of a file; none of one that `read_picture` will refuse."""
    try:
        with path.open("rb") as file:
            return file.read(8)
    except (OSError, ValueError):
        return b""


def raster_of(samples: NDArray[Any], *, notes: tuple[str, ...] = ()) -> Raster:
    """An array (H, W) or (H, W, C) as a raster."""
    samples = samples[..., None] if samples.ndim == 2 else samples
    height, width, channels = samples.shape
    return Raster((height, width, channels), samples.dtype, samples=samples, notes=notes)


def _array(path: Path, name: str, max_pixels: int) -> Raster:
    """A NumPy array, left where it is."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadImage(name, (error.strerror or str(error)).lower()) from error
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read:
            raise ValueError(f"version {version} of the format")
        shape, by_columns, dtype = read[version](file)
        _require_samples(shape, dtype)
        height, width, channels = shape if len(shape) == 3 else (*shape, 1)
        _require_pixels(name, shape, max_pixels)
        size = int(np.prod(shape)) * dtype.itemsize
        if path.stat().st_size < file.tell() + size:
            raise ValueError("cut short")
        if not by_columns:
            return Raster((height, width, channels), dtype, file=file, offset=file.tell())
        with file:
            return raster_of(np.fromfile(file, dtype, int(np.prod(shape))).reshape(shape, order="F"))
    except Exception as error:  # NumPy raises whatever the header leads it to
        file.close()
        if isinstance(error, BadImage):
            raise
        reason = printable(str(error) or type(error).__name__).splitlines()[0]
        raise BadImage(name, f"no array of samples: {reason}") from error


def _tiff(path: Path, name: str, max_pixels: int) -> Raster | None:
    """A TIFF's first picture by tifffile; None where Pillow knows more about its colours, or it is none."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            if not tiff.series:
                return None
            series = tiff.series[0]
            page = series.keyframe
            colours = page.photometric in (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB)
            # Extra samples of greys are channels; of colours, they are alpha or what Pillow leaves out.
            gray = page.photometric == tifffile.PHOTOMETRIC.MINISBLACK
            more = bool(page.extrasamples) and not (gray and set(page.extrasamples) == {0})
            if not colours or more or page.tags.get("InterColorProfile"):
                return None
            if page.tags.valueof("Orientation", 1) != 1:
                return None
            one_plane = series.axes.endswith("YX") or series.axes.endswith("YXS")
            if not one_plane or page.dtype is None or page.dtype.kind not in "uif":
                return None
            shape = (page.imagelength, page.imagewidth, page.samplesperpixel)
            if series.axes == "CYX":
                shape = (*shape[:2], series.shape[0])
            _require_samples(shape, page.dtype)
            _require_pixels(name, shape, max_pixels)
            frames = 1 if series.axes == "CYX" else len(series.pages)
            notes = (f"first of {frames} pages",) if frames > 1 else ()
            if series.axes == "CYX":
                return raster_of(np.moveaxis(series.asarray(), 0, -1), notes=notes)
            if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and shape[2] > 1:
                return raster_of(np.moveaxis(page.asarray(), 0, -1), notes=notes)
            if page.is_memmappable:
                dtype = page.dtype.newbyteorder(tiff.byteorder)
                return Raster(shape, dtype, file=path.open("rb"), offset=page.dataoffsets[0], notes=notes)
            return _spooled(page, shape, notes)
    except BadImage:
        raise
    except tifffile.TiffFileError:
        return None  # Pillow says what it is
    except Exception as error:  # tifffile raises whatever the bytes lead it to
        if isinstance(error, FileNotFoundError):
            raise BadImage(name, "no such file") from error
        reason = printable(str(error) or type(error).__name__).splitlines()[0]
        if "imagecodecs" in reason:
            return None
        raise BadImage(name, f"damaged TIFF file ({reason})") from error


def _spooled(page: Any, shape: tuple[int, int, int], notes: tuple[str, ...]) -> Raster:
    """The segments of a compressed TIFF, decoded one by one into a file that vanishes when it is closed."""
    height, width, channels = shape
    row = width * channels * page.dtype.itemsize
    with ExitStack() as stack:
        file = stack.enter_context(tempfile.TemporaryFile())
        file.truncate(height * row)
        for samples, place, size in page.segments():
            if samples is None:
                raise ValueError("a segment is missing")
            _, _, top, left, _ = place
            _, used_rows, used_columns, _ = size
            block = samples[0, : min(used_rows, height - top), : min(used_columns, width - left)]
            for index, line in enumerate(np.ascontiguousarray(block)):
                file.seek((top + index) * row + left * channels * page.dtype.itemsize)
                file.write(line.tobytes())
        stack.pop_all()  # the raster closes it
    return Raster((height, width, channels), page.dtype, file=file, notes=notes)


STREAMED_PIXELS = 16 << 20  # a PNG with more is not decoded whole
CHANNELS = {kind: channels for channels, kind in COLOR_TYPES.items()} | {PALETTE_TYPE: 1}
# Chunks that change what samples mean: `read_picture` knows how.
COLOR_CHUNKS = (b"iCCP", b"tRNS", b"cICP")


def stream_png(path: Path, name: str, max_pixels: int, *, least: int = STREAMED_PIXELS) -> Raster | None:
    """A large PNG, decoded in strips into a file that vanishes when it is closed.

    Each strip is given to Pillow as a small PNG of its own, whose first row is the one before it.

    Args:
        path: of a PNG.
        name: what to call it in messages.
        max_pixels: one with more is refused by its header.
        least: pixels below which it is left to others.
    Returns:
        Its samples; None for one that is small, interlaced, or of a kind that must be read whole.
    Raises:
        BadImage: it is too large or damaged.
    """
    try:
        with path.open("rb") as file:
            chunks = _chunks(file)
            kind, header = next(chunks)
            if kind != b"IHDR" or len(header) != 13:
                return None
            width, height, bits, color, _, _, interlaced = struct.unpack(">IIBBBBB", header)
            wide_gray = (bits, color) == (16, 0)  # two bytes a pixel, filtered like grey with alpha
            if width * height < least or interlaced or color not in CHANNELS or not (bits == 8 or wide_gray):
                return None
            _require_pixels(name, (height, width), max_pixels)
            palette, body = None, b""
            for kind, body in chunks:
                if kind in COLOR_CHUNKS:
                    return None
                if kind == b"PLTE":
                    palette = np.frombuffer(body, np.uint8).reshape(-1, 3)
                if kind == b"IDAT":
                    break
            color = COLOR_TYPES[2] if wide_gray else color
            rows = _png_rows(width, height, color, _inflated(body, chunks))
            return _png_spooled((height, width), rows, palette, wide_gray)
    except (OSError, ValueError, StopIteration, zlib.error, IndexError, SyntaxError) as error:
        raise BadImage(name, "damaged PNG file") from error


def _png_spooled(
    size: tuple[int, int], strips: Iterator[NDArray[np.uint8]], palette: NDArray[np.uint8] | None, wide: bool
) -> Raster:
    """Decoded strips in a file, without their alpha."""
    file = tempfile.TemporaryFile()  # noqa: SIM115, the raster closes it
    channels, notes = 1, ()
    for strip in strips:
        channels = strip.shape[2]
        if palette is not None:
            strip, channels = palette[strip[..., 0]], 3
        elif channels in (2, 4) and not wide:
            strip, channels, notes = strip[..., :-1], channels - 1, ("its transparency is left aside",)  # type: ignore[assignment]
        file.write(np.ascontiguousarray(strip).data)
    dtype = np.dtype(">u2" if wide else np.uint8)
    return Raster((*size, 1 if wide else channels), dtype, file=file, notes=notes)


def _png_rows(width: int, height: int, color: int, data: Iterator[bytes]) -> Iterator[NDArray[np.uint8]]:
    """Strips (h, W, C) of a PNG of 8 bits from its inflated scanlines."""
    channels = CHANNELS[color]
    line = 1 + width * channels
    count = max(1, STRIP_BYTES // line)
    above = bytes(width * channels)
    waiting, done = bytearray(), 0
    while done < height:
        wanted = min(count, height - done) * line
        while len(waiting) < wanted:
            waiting += next(data)
        small = _small_png(width, wanted // line + 1, color, b"\0" + above + bytes(waiting[:wanted]))
        del waiting[:wanted]
        with Image.open(io.BytesIO(small), formats=("PNG",)) as image:
            strip = np.asarray(image).reshape(-1, width, channels)[1:]
        above = strip[-1].tobytes()
        done += len(strip)
        yield strip


def _small_png(width: int, height: int, color: int, scanlines: bytes) -> bytes:
    """Scanlines, filtered as they are, as a file."""
    body = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)),
        *([(b"PLTE", bytes(768))] if color == PALETTE_TYPE else []),
        (b"IDAT", zlib.compress(scanlines, 0)),
        (b"IEND", b""),
    ]
    return PNG_SIGN + b"".join(png_chunk(kind, data) for kind, data in body)


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Kinds and contents of a PNG's chunks, as far as it goes on.

    Raises:
        ValueError: it is damaged.
    """
    file.seek(len(PNG_SIGN))
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        data = file.read(length) if length <= MAX_CHUNK else b""
        if len(data) != length or file.read(4) != struct.pack(">I", zlib.crc32(kind + data)):
            raise ValueError("a chunk is damaged")
        yield kind, data


def _inflated(first: bytes, chunks: Iterator[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """The scanlines in IDAT chunks, of which the first was read already, a bounded number of bytes at once."""
    inflater = zlib.decompressobj()
    data = first
    while True:
        while data:
            yield inflater.decompress(data, STRIP_BYTES)
            data = inflater.unconsumed_tail
        kind, data = next(chunks)
        if kind != b"IDAT":
            yield inflater.flush()
            raise ValueError("truncated")


def _require_samples(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if len(shape) not in (2, 3) or min(shape) < 1 or (len(shape) == 3 and shape[2] > MAX_CHANNELS):
        raise ValueError(f"shape {shape}, expected (H, W) or (H, W, C)")
    if dtype.kind not in "uifb":
        raise ValueError(f"type {dtype}, expected numbers")


def _require_pixels(name: str, shape: tuple[int, ...], max_pixels: int) -> None:
    if shape[0] * shape[1] > max_pixels:
        raise too_large(name, shape[0] * shape[1], max_pixels)
