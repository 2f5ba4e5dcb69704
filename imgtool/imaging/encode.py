"""Pixels to the bytes of a picture file; the same pixels and recipe always give the same bytes."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from imgtool.errors import OutputError
from imgtool.imaging.picture import Picture, Samples, laid_on_white, to_8_bits
from imgtool.imaging.recipes import KEY, to_xmp
from imgtool.imaging.strips import Layout, PngWriter


@dataclass(frozen=True)
class Format:
    """What a file format can hold.

    Attributes:
        suffixes: File names that mean it; the first one is its name.
        pillow: What Pillow calls it.
        options: How Pillow shall save it.
        alpha: Whether it holds transparency.
        deep: Whether 16 bits are written.
        recipe: Where a recipe goes: "text" (PNG), "xmp" or "" (a file beside it).
        recipe_bytes: The longest text chunk or XMP packet it can hold.
        max_side: The most pixels in width or height.
    """

    suffixes: tuple[str, ...]
    pillow: str
    options: dict[str, Any]
    alpha: bool = False
    deep: bool = False
    recipe: str = ""
    recipe_bytes: int = 1 << 30
    max_side: int = 2**31 - 1


# WebP is written lossless: lossy WebP stores colour at half resolution, which no quality setting undoes,
# and a mask or an edge map would come back changed. `exact` keeps the colours below full transparency.
# At effort 20 it takes an eighth of the time of 80 and 5 % more bytes.
_FORMATS = (
    Format(("png",), "PNG", {"compress_level": 6}, alpha=True, deep=True, recipe="text"),
    Format(
        ("jpg", "jpeg"),
        "JPEG",
        {"quality": 95, "subsampling": 0, "optimize": False},
        recipe="xmp",
        recipe_bytes=65_504,
        max_side=65_500,
    ),
    Format(
        ("webp",),
        "WEBP",
        {"lossless": True, "exact": True, "quality": 20, "method": 1},
        alpha=True,
        recipe="xmp",
        max_side=16_383,
    ),
    Format(("tif", "tiff"), "TIFF", {"compression": "tiff_adobe_deflate"}, alpha=True, recipe="xmp"),
    Format(("bmp",), "BMP", {}),
    Format(("gif",), "GIF", {}, alpha=True, max_side=65_535),
    Format(("ppm",), "PPM", {}, deep=True),
    Format(
        ("avif",),
        "AVIF",
        {"quality": 90, "subsampling": "4:4:4"},
        alpha=True,
        recipe="xmp",
        max_side=65_535,
    ),
)
FORMATS = {suffix: each for each in _FORMATS for suffix in each.suffixes}


def can_embed(name: str, recipe: str) -> bool:
    """Whether the format of a suffix has a place for a recipe, and a large enough one."""
    fmt = FORMATS[name]
    return fmt.recipe != "" and len(to_xmp(recipe)) <= fmt.recipe_bytes


def encode(picture: Picture, name: str, recipe: str | None = None) -> tuple[bytes, tuple[str, ...]]:
    """A picture as the bytes of a file, and what was lost on the way.

    Args:
        picture: What to write.
        name: A suffix in FORMATS, without the dot.
        recipe: JSON to embed, where the format can.

    Raises:
        OutputError: The picture is too large for the format.
    """
    fmt = FORMATS[name]
    if max(picture.width, picture.height) > fmt.max_side:
        size = f"{picture.width}x{picture.height}"
        raise OutputError(
            f"{size} is too large for {fmt.pillow}, whose sides end at {fmt.max_side}", hint="write a .png"
        )
    notes: tuple[str, ...] = ()
    if picture.pixels.dtype == np.uint16 and not fmt.deep:
        alpha = None if picture.alpha is None else to_8_bits(picture.alpha)
        picture = _reduced(picture, alpha)
        notes += (f"16 bits reduced to 8 for {fmt.pillow}",)
    if picture.alpha is not None and not fmt.alpha:
        if picture.alpha.min() < np.iinfo(picture.alpha.dtype).max:
            notes += (f"{fmt.pillow} has no transparency: laid on white",)
        picture = replace(picture, pixels=laid_on_white(picture.pixels, picture.alpha), alpha=None)
    if picture.pixels.dtype == np.uint16:
        return (_png_16 if fmt.pillow == "PNG" else _ppm_16)(picture, recipe), notes
    if fmt.pillow == "GIF":
        image, options, lost = _palette(picture)
        notes += lost
    else:
        image, options = _to_pillow(picture), {}
    if recipe is not None:
        options |= recipe_options(fmt, recipe)
    buffer = io.BytesIO()
    try:
        image.save(buffer, fmt.pillow, **fmt.options, **options)
    except (OSError, ValueError, MemoryError) as error:
        raise OutputError(f"cannot write it as {fmt.pillow}: {error}", hint="write a .png") from error
    return buffer.getvalue(), notes


def _reduced(picture: Picture, alpha: Samples | None) -> Picture:
    """A picture of 16 bits with 8."""
    if picture.is_gray:
        return Picture.gray(to_8_bits(picture.pixels[..., 0]), alpha)
    return replace(picture, pixels=to_8_bits(picture.pixels), alpha=alpha)


def _to_pillow(picture: Picture) -> Image.Image:
    if picture.is_gray and picture.alpha is None:
        return Image.fromarray(np.ascontiguousarray(picture.pixels[..., 0]))
    if picture.alpha is None:
        return Image.fromarray(np.ascontiguousarray(picture.pixels))
    return Image.fromarray(np.dstack((picture.pixels, picture.alpha)))


def recipe_options(fmt: Format, recipe: str) -> dict[str, Any]:
    """What Pillow's `save` is given so that a file carries a recipe; nothing where its format cannot."""
    if fmt.recipe == "text":
        chunks = PngImagePlugin.PngInfo()
        chunks.add_itxt(KEY, recipe)
        return {"pnginfo": chunks}
    if fmt.pillow == "TIFF":
        return {"tiffinfo": {700: to_xmp(recipe)}}
    return {"xmp": to_xmp(recipe)} if fmt.recipe == "xmp" else {}


def _palette(picture: Picture) -> tuple[Image.Image, dict[str, Any], tuple[str, ...]]:
    """At most 256 colours for GIF: exact where they suffice; one of them stands for transparent."""
    most = 256 if picture.alpha is None else 255
    rgb = Image.fromarray(np.ascontiguousarray(picture.pixels))
    notes: tuple[str, ...] = ()
    colors, indices = _exact_palette(picture.pixels, most)
    if colors is None:
        reduced = rgb.quantize(most, method=Image.Quantize.MEDIANCUT)
        colors, indices = bytes(reduced.getpalette() or ()), np.array(reduced)
        notes += (f"GIF: colours reduced to {most}",)
    if picture.alpha is not None:
        indices = np.where(picture.alpha < 128, 255, indices).astype(np.uint8)
        if ((picture.alpha != 0) & (picture.alpha != 255)).any():
            notes += ("GIF: transparency reduced to on and off",)
    image = Image.fromarray(indices)
    image.putpalette(colors.ljust(768, b"\0"))
    return image, {} if picture.alpha is None else {"transparency": 255, "optimize": False}, notes


def _exact_palette(pixels: Samples, most: int) -> tuple[bytes | None, Samples]:
    """The colours of a picture and their indices (H, W), if there are at most `most`."""
    packed = pixels.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    # A few rows tell most photographs apart
    if len(np.unique(packed[:: max(1, len(packed) // 16)])) > most:
        return None, pixels
    colors, indices = np.unique(packed, return_inverse=True)
    if len(colors) > most:
        return None, pixels
    table = np.stack((colors >> 16, colors >> 8 & 255, colors & 255), axis=1).astype(np.uint8)
    return table.tobytes(), indices.reshape(packed.shape).astype(np.uint8)


def _png_16(picture: Picture, recipe: str | None) -> bytes:
    """16 bits, which Pillow does not write in colour."""
    planes = picture.pixels[..., :1] if picture.is_gray else picture.pixels
    planes = planes if picture.alpha is None else np.dstack((planes, picture.alpha))
    buffer = io.BytesIO()
    writer = PngWriter(buffer, Layout(picture.height, picture.width, planes.shape[2], np.uint16), recipe)
    writer.write(planes)
    writer.close()
    return buffer.getvalue()


def _ppm_16(picture: Picture, recipe: str | None) -> bytes:
    return b"P6\n%d %d\n65535\n" % (picture.width, picture.height) + picture.pixels.astype(">u2").tobytes()
