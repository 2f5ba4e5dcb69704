"""Files as rasters: all channels as the file has them, and nothing converted that need not be.

`imaging.io` reads pictures for looking at: three channels in sRGB.
"""

from __future__ import annotations

import logging
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from imgtool.errors import BadImage
from imgtool.files import first_line, printable, system_reason
from imgtool.imaging.decode import too_large
from imgtool.imaging.io import read_picture
from imgtool.imaging.raster import Raster, raster_of
from imgtool.imaging.raster_png import STREAMED_PIXELS, stream_png
from imgtool.imaging.strips import PNG_SIGN

MAX_CHANNELS, FEW_CHANNELS = 64, 5
CHANNELS_LAST = "np.moveaxis(array, 0, -1), if its channels come first"
TIFF_SIGNS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two are of BigTIFF

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # else its opinions go to stderr


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
    if picture.width * picture.height >= STREAMED_PIXELS:
        notes = (
            *notes,
            "such a file is read whole, not in strips: a plain PNG, TIFF or .npy takes less memory",
        )
    return raster_of(samples, notes=notes)


def _start(path: Path) -> bytes:
    """The first bytes of a file; none of one that `read_picture` will refuse."""
    try:
        with path.open("rb") as file:
            return file.read(8)
    except (OSError, ValueError):
        return b""


def _array(path: Path, name: str, max_pixels: int) -> Raster:
    """A NumPy array, left where it is."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadImage(name, system_reason(error)) from error
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read:
            raise ValueError(f"version {version} of the format")
        shape, by_columns, dtype = read[version](file)
        _require_samples(name, shape, dtype)
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
        raise BadImage(name, f"no array of samples: {first_line(error)}") from error


def _tiff(path: Path, name: str, max_pixels: int) -> Raster | None:
    """A TIFF's first picture by tifffile; None where Pillow knows more about its colours, or it is none."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            if not tiff.series or not _is_plain(tiff.series[0]):
                return None
            return _first_page(tiff, path, name, max_pixels)
    except BadImage:
        raise
    except tifffile.TiffFileError:
        return None  # Pillow says what it is
    except Exception as error:  # tifffile raises whatever the bytes lead it to
        if isinstance(error, FileNotFoundError):
            raise BadImage(name, "no such file") from error
        reason = first_line(error)
        if "imagecodecs" in reason:
            return None
        raise BadImage(name, f"damaged TIFF file ({reason})") from error


def _is_plain(series: Any) -> bool:
    """Whether samples can be taken as they are: greys or RGB, upright, without alpha and profile, in one plane."""
    import tifffile

    page = series.keyframe
    gray = page.photometric == tifffile.PHOTOMETRIC.MINISBLACK
    # Extra samples of greys are channels; of colours, they are alpha or what Pillow leaves out.
    more = bool(page.extrasamples) and not (gray and set(page.extrasamples) == {0})
    return (
        (gray or page.photometric == tifffile.PHOTOMETRIC.RGB)
        and not more
        and not page.tags.get("InterColorProfile")
        and page.tags.valueof("Orientation", 1) == 1
        and series.axes.endswith(("YX", "YXS"))
        and page.dtype is not None
        and page.dtype.kind in "uif"
    )


def _first_page(tiff: Any, path: Path, name: str, max_pixels: int) -> Raster:
    """The first picture of an open TIFF that is plain; planes one after the other become channels."""
    import tifffile

    series = tiff.series[0]
    page, planes = series.keyframe, series.axes == "CYX"
    shape = (page.imagelength, page.imagewidth, series.shape[0] if planes else page.samplesperpixel)
    _require_samples(name, shape, page.dtype)
    _require_pixels(name, shape, max_pixels)
    frames = 1 if planes else len(series.pages)
    notes = (f"only the first of {frames} pages is read",) if frames > 1 else ()
    if planes:
        return raster_of(np.moveaxis(series.asarray(), 0, -1), notes=notes)
    if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and shape[2] > 1:
        return raster_of(np.moveaxis(page.asarray(), 0, -1), notes=notes)
    if page.is_memmappable:
        dtype = page.dtype.newbyteorder(tiff.byteorder)
        return Raster(shape, dtype, file=path.open("rb"), offset=page.dataoffsets[0], notes=notes)
    return _spooled(page, shape, notes)


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


def _require_samples(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if len(shape) not in (2, 3) or min(shape) < 1 or (len(shape) == 3 and shape[2] > MAX_CHANNELS):
        hint = CHANNELS_LAST if len(shape) == 3 and has_channels_first(shape[0], shape[2]) else None
        raise BadImage(name, f"no picture of shape {shape}, expected (H, W) or (H, W, C)", hint=hint)
    if dtype.kind not in "uifb":
        raise BadImage(name, f"no picture of type {dtype}, expected numbers")


def has_channels_first(height: int, channels: int) -> bool:
    """Whether an array looks as if it were (C, H, W)."""
    return height <= FEW_CHANNELS < channels


def _require_pixels(name: str, shape: tuple[int, ...], max_pixels: int) -> None:
    if shape[0] * shape[1] > max_pixels:
        raise too_large(name, shape[0] * shape[1], max_pixels)
