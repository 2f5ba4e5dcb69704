"""Every pixel layout that Pillow knows, as upright sRGB pixels with their alpha apart.

Pillow's own `convert("RGB")` cuts 16-bit greys off at 255 and forgets the transparency of palettes, and
16-bit colour it opens as 8 bits. Here values are scaled, and what was done is told in the notes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile

from imgtool.imaging.picture import Picture, Samples, to_8_bits
from imgtool.imaging.profiles import changes_colors, to_srgb

_GRAY_16 = ("I;16", "I;16L", "I;16B", "I;16N")
_BLOCK_ROWS = 256  # rows scaled at a time, to keep the float64 copy small


class UnusableValues(ValueError):
    """A file that decodes well, to values that are no picture."""


def from_pillow(image: Image.Image) -> Picture:
    """A loaded Pillow image of any mode: converted, turned upright, its transparency apart.

    Raises:
        UnusableValues: NaN or infinite values, or a mode without a meaning as colour.
    """
    pixels: Samples
    alpha: Samples | None
    if image.mode in _GRAY_16 or image.mode in ("I", "F"):
        gray, alpha, notes = _deep_gray(image)
        pixels, alpha, more = deep_to_srgb(gray, alpha, image)
    else:
        color, alpha, notes = _split_alpha(image)
        rgb, more = to_srgb(color, image.info.get("icc_profile"))
        pixels = np.array(rgb)
    return _upright(pixels, alpha, image, notes + more)


def decode_deep(
    image: ImageFile.ImageFile, file: BinaryIO, reopen: Callable[[], ImageFile.ImageFile]
) -> Picture | None:
    """A 16-bit colour file, or a PNM file of any depth, with all its bits; None where Pillow's load will do.

    Args:
        image: Opened, not loaded.
        file: What it was opened from.
        reopen: Opens it once more.
    """
    if image.tile and image.tile[0].codec_name == "ppm":
        pixels, alpha = _read_pnm(image, file), None
    else:
        deep = _load_deep(image, reopen)
        if deep is None:
            return None
        pixels, alpha = deep
    transparent = image.info.get("transparency")
    if isinstance(transparent, tuple):
        alpha = _key_alpha(pixels, transparent)
    pixels, alpha, notes = deep_to_srgb(pixels, alpha, image)
    return _upright(pixels, alpha, image, notes)


def deep_to_srgb(
    pixels: Samples, alpha: Samples | None, image: Image.Image
) -> tuple[Samples, Samples | None, tuple[str, ...]]:
    """16-bit grey (H, W) or colour (H, W, 3) in sRGB; 8 bits where a profile must be applied."""
    icc = image.info.get("icc_profile")
    gray = pixels.ndim == 2
    mode = "L" if gray else "RGB"
    if icc and (changes_colors(mode, icc) or (gray and changes_colors("RGB", icc))):
        rgb, notes = to_srgb(Image.fromarray(to_8_bits(pixels)), icc)
        reduced = "16 bits reduced to 8, to apply the colour profile"
        return np.array(rgb), None if alpha is None else to_8_bits(alpha), (reduced, *notes)
    if gray:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    return pixels, alpha, ()


def _upright(pixels: Samples, alpha: Samples | None, image: Image.Image, notes: tuple[str, ...]) -> Picture:
    """Apply the orientation tag; a tag that cannot be read is told, not refused."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Pillow's EXIF reader raises many kinds
        orientation, notes = 1, (*notes, "orientation ignored: the EXIF data is damaged")
    return Picture(
        turn_upright(pixels, orientation), None if alpha is None else turn_upright(alpha, orientation), notes
    )


def turn_upright(samples: Samples, orientation: object) -> Samples:
    """Samples (H, W, ...) stored with an EXIF orientation of 1 to 8, as they are to be seen."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return np.ascontiguousarray(samples)


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Samples | None, tuple[str, ...]]:
    """An 8-bit picture as mode L, RGB, CMYK or LAB, and its alpha."""
    mode, transparent = image.mode, image.info.get("transparency")
    notes = ("16 bits reduced to 8",) if _is_reduced(image) else ()
    if mode in ("P", "PA"):
        has_alpha = mode == "PA" or transparent is not None or image.palette.mode == "RGBA"  # type: ignore[union-attr]
        image = image.convert("RGBA" if has_alpha else "RGB")
    elif mode in ("La", "RGBa"):
        image = image.convert("LA" if mode == "La" else "RGBA")
    elif mode == "1":
        image = image.convert("L")
    elif mode in ("YCbCr", "HSV", "RGBX"):
        image = image.convert("RGB")
    elif mode not in ("L", "LA", "RGB", "RGBA", "CMYK", "LAB"):
        raise UnusableValues(f"pixel layout {mode} is not known")
    if image.mode in ("LA", "RGBA"):
        color = image.getchannel("L") if image.mode == "LA" else image.convert("RGB")
        return color, np.array(image.getchannel("A")), notes
    if image.mode in ("L", "RGB") and isinstance(transparent, int | tuple):
        image.info.pop("transparency", None)
        return image, _key_alpha(np.asarray(image), transparent), notes
    return image, None, notes


def _is_reduced(image: Image.Image) -> bool:
    """Whether a TIFF file holds more than the 8 bits that Pillow gives."""
    bits = getattr(image, "tag_v2", {}).get(258, (8,))
    return isinstance(bits, tuple) and max(bits, default=8) > 8


def _key_alpha(samples: Samples, key: int | tuple[int, ...]) -> Samples:
    """Alpha of a picture in which one colour stands for transparent."""
    opaque = np.iinfo(samples.dtype).max
    same = samples == np.asarray(key) if samples.ndim == 2 else (samples == np.asarray(key)).all(axis=-1)
    return np.where(same, 0, opaque).astype(samples.dtype)


def _deep_gray(image: Image.Image) -> tuple[NDArray[np.uint16], Samples | None, tuple[str, ...]]:
    """A single band of 16 or 32 bits as (H, W) uint16, its alpha, and how it was scaled."""
    values: NDArray[Any] = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    alpha: Samples | None = None
    notes: tuple[str, ...]
    if image.mode == "F":
        gray, notes = _scale_float(values)
    elif image.mode == "I":
        if tags.get(258) == (32,) and tags.get(339, (1,)) == (1,):
            values = values.view(np.uint32)  # Pillow reads unsigned as signed
        if tags.get(258) == (16,) and values.min() >= 0:
            gray, notes = _stretch(values, 0, 32767), ("signed 16 bits: 0..32767 scaled to black..white",)
        else:
            gray, notes = _scale_integers(values)
    else:
        gray, notes = values.astype(np.uint16), ()
        if tags.get(258) == (12,):
            gray, notes = _stretch(gray, 0, 4095), ("12 bits scaled to 16",)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int) and image.mode in _GRAY_16:
        alpha = _key_alpha(gray, transparent)
    if tags.get(262) == 0:  # white is zero; Pillow turns 8 bits and fewer round, not these
        gray = 65535 - gray
    return gray, alpha, notes


def _scale_float(values: NDArray[Any]) -> tuple[NDArray[np.uint16], tuple[str, ...]]:
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        count = int(values.size - np.isfinite(values).sum())
        raise UnusableValues(f"{count} of {values.size} values are NaN or infinite")
    if low >= 0 and high <= 1:
        return _stretch(values, 0, 1), ("float values in 0..1 scaled to 16 bits",)
    return _stretch(values, low, high), (f"float values from {low:g} to {high:g} scaled to black..white",)


def _scale_integers(values: NDArray[Any]) -> tuple[NDArray[np.uint16], tuple[str, ...]]:
    low, high = int(values.min()), int(values.max())
    if low >= 0 and high <= 65535:
        return values.astype(np.uint16), ()
    return _stretch(values, low, high), (f"values from {low} to {high} scaled to black..white",)


def _stretch(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint16]:
    """Values (H, W) in [low, high] as 16 bits, the nearest level for each."""
    gray = np.empty(values.shape, np.uint16)
    scale = 65535 / (high - low) if high > low else 0.0
    for row in range(0, len(values), _BLOCK_ROWS):
        block = values[row : row + _BLOCK_ROWS].astype(np.float64)
        gray[row : row + _BLOCK_ROWS] = np.rint((block - low) * scale)
    return gray


def _read_pnm(image: ImageFile.ImageFile, file: BinaryIO) -> Samples:
    """Binary PGM or PPM whose largest value is not 255: (H, W) or (H, W, 3), scaled to 8 or 16 bits."""
    tile = image.tile[0]
    assert isinstance(tile.args, tuple)
    largest = int(tile.args[1])
    bands = 3 if image.mode == "RGB" else 1
    dtype = np.dtype(np.uint8 if largest < 256 else ">u2")
    file.seek(tile.offset)
    data = file.read(image.width * image.height * bands * dtype.itemsize)
    values = np.frombuffer(data, dtype, count=image.width * image.height * bands)
    shape = (image.height, image.width, 3) if bands == 3 else (image.height, image.width)
    if int(values.max()) > largest:
        raise ValueError(f"values above the largest one it declares, {largest}")
    deep = values.astype(np.uint16).reshape(shape)
    if largest != 65535:
        deep = _stretch(deep, 0, largest)
    return to_8_bits(deep) if largest < 256 else deep


def _load_deep(
    image: ImageFile.ImageFile, reopen: Callable[[], ImageFile.ImageFile]
) -> tuple[Samples, Samples | None] | None:
    """16-bit colour: Pillow unpacks one byte of each value, so the other one takes a second pass."""
    codec, rawmodes = _rawmodes(image)
    if codec == "zip" and rawmodes == ["LA;16B"]:
        _set_rawmodes(image, ["RGBA"])  # the four bytes of a pixel as they are
        image.load()
        pairs = np.array(image).view(">u2").astype(np.uint16)  # (H, W, 2)
        return np.repeat(pairs[..., :1], 3, axis=2), np.ascontiguousarray(pairs[..., 1])
    if image.mode not in ("RGB", "RGBA") or not all(re.search(r";16[BLN]$", raw) for raw in rawmodes):
        return None
    premultiplied = any(raw.startswith("RGBa") for raw in rawmodes)
    high_modes = [raw.replace("RGBa", "RGBA") for raw in rawmodes]
    _set_rawmodes(image, high_modes)
    image.load()
    again = reopen()
    _set_rawmodes(again, [_other_byte(raw) for raw in high_modes])
    again.load()
    deep = np.array(image).astype(np.uint16) << 8
    deep |= np.asarray(again)
    if image.mode == "RGB":
        return deep, None
    pixels, alpha = np.ascontiguousarray(deep[..., :3]), np.ascontiguousarray(deep[..., 3])
    return (_unmultiplied(pixels, alpha) if premultiplied else pixels), alpha


def _rawmodes(image: ImageFile.ImageFile) -> tuple[str, list[str]]:
    """The codec of an opened file and, for each of its tiles, how a pixel's bytes lie."""
    tiles = image.tile
    codec = tiles[0].codec_name if tiles else ""
    raws = [str(tile.args[0] if isinstance(tile.args, tuple) else tile.args) for tile in tiles]
    tags: Any = getattr(image, "tag_v2", {})
    if tags.get(284) == 2 and max(tags.get(258, (8,))) == 16:  # one plane after another
        order = "L" if tags.prefix == b"II" else "B"
        raws = [f"{raw};16{order}" for raw in raws] if codec == "raw" else []
    return codec, raws or [""]


def _set_rawmodes(image: ImageFile.ImageFile, rawmodes: list[str]) -> None:
    image.tile = [
        tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw)
        for tile, raw in zip(image.tile, rawmodes, strict=True)
    ]


def _other_byte(rawmode: str) -> str:
    """The layout that unpacks the low byte where `rawmode` unpacks the high one."""
    high = rawmode[-1] if rawmode[-1] != "N" else sys.byteorder[0].upper()
    return rawmode[:-1] + ("B" if high == "L" else "L")


def _unmultiplied(pixels: Samples, alpha: Samples) -> Samples:
    """Colours that were stored multiplied by their alpha."""
    divisor = np.maximum(alpha, 1).astype(np.uint32)[..., None]
    full: Samples = np.minimum((pixels * np.uint32(65535) + divisor // 2) // divisor, 65535)
    return full.astype(np.uint16)
