"""Large PNGs in strips: Pillow decodes them whole or not at all."""

from __future__ import annotations

import io
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imgtool.errors import BadImage
from imgtool.imaging.decode import too_large
from imgtool.imaging.raster import STRIP_BYTES, Raster
from imgtool.imaging.strips import COLOR_TYPES, PALETTE_TYPE, PNG_SIGN, png_chunk

MAX_CHUNK = 1 << 28  # bytes of a chunk: writers make far smaller ones
STREAMED_PIXELS = 16 << 20  # a PNG with more is not decoded whole
CHANNELS = {kind: channels for channels, kind in COLOR_TYPES.items()} | {PALETTE_TYPE: 1}
# Chunks that change what samples mean, or where they lie: `read_picture` knows how.
MEANINGS = (b"iCCP", b"tRNS", b"cICP", b"eXIf")


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
            if width * height > max_pixels:
                raise too_large(name, width * height, max_pixels)
            palette, body = None, b""
            for kind, body in chunks:
                if kind in MEANINGS:
                    return None
                if kind == b"PLTE" and color == PALETTE_TYPE:
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
    channels, notes = 1, ()
    with ExitStack() as stack:
        file = stack.enter_context(tempfile.TemporaryFile())
        for strip in strips:
            channels = strip.shape[2]
            if palette is not None:
                strip, channels = palette[strip[..., 0]], 3
            elif channels in (2, 4) and not wide:
                strip, channels, notes = strip[..., :-1], channels - 1, ("its transparency is left aside",)  # type: ignore[assignment]
            file.write(np.ascontiguousarray(strip).data)
        stack.pop_all()  # the raster closes it
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
        kind, data = next(chunks, (b"", b""))
        if kind != b"IDAT":
            yield inflater.flush()
            raise ValueError("truncated")
