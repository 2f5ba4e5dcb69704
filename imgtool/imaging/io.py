"""Picture files: the door through which pixels come in and go out."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from imgtool.errors import BadImage, OutputError, RecipeError
from imgtool.files import atomic_write, printable
from imgtool.imaging.decode import decode, pillow_settings, sniff
from imgtool.imaging.encode import FORMATS, can_embed, encode
from imgtool.imaging.modes import from_pillow
from imgtool.imaging.picture import Picture
from imgtool.imaging.recipes import (
    KEY,
    MAX_RECIPE_BYTES,
    from_header,
    from_json,
    from_xmp,
    sidecar_path,
    to_json,
)
from imgtool.imaging.suffixes import MAX_PIXELS
from imgtool.imaging.vector import svg_recipe

__all__ = [
    "MAX_PIXELS",
    "Picture",
    "from_pillow",
    "output_format",
    "read_picture",
    "read_recipe",
    "write_picture",
]

ANY_PIXELS = 1 << 62  # where only a header is read
MAX_STREAM_BYTES = 1 << 30  # a stream is kept in memory; a file is not


def read_picture(
    source: str | os.PathLike[str] | BinaryIO,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    frame: int | None = None,
) -> Picture:
    """The first picture in a file, or a frame of it: upright, in sRGB, its alpha apart.

    The format is told by the contents, never by the suffix. Where values were scaled or frames left out,
    the picture's notes say so. May be called by many threads at once.

    Args:
        source: A path, or a binary file read from its beginning (a stream that cannot seek, from where it
            is) and left open.
        name: What to call it in messages; by default the path.
        max_pixels: A picture with more is refused by its header, before it is decoded.
        frame: Of an animation, from 1.

    Raises:
        BadImage: Whatever went wrong: no such file, no picture, damaged, truncated, too large.
    """
    if not isinstance(source, str | os.PathLike):
        name = name or "the picture"
        return decode(_seekable(source, name), name, max_pixels, frame=frame)
    path = Path(source)
    name = name or printable(path)
    try:
        with path.open("rb") as file:
            return decode(_seekable(file, name), name, max_pixels, frame=frame)
    except FileNotFoundError as error:
        raise BadImage(name, "no such file") from error
    except IsADirectoryError as error:
        raise BadImage(name, "it is a folder", hint="give a picture in it") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        code = error.errno if isinstance(error, OSError) else errno.EINVAL
        raise BadImage(name, os.strerror(code or errno.EIO).lower()) from error


def write_picture(
    target: Path | BinaryIO,
    picture: Picture,
    *,
    format: str | None = None,
    recipe: Mapping[str, Any] | None = None,
    sidecar: bool = False,
    overwrite: bool = True,
) -> tuple[str, ...]:
    """Write a picture and how it was made, and return notes on what the format could not hold.

    The same picture and recipe give the same bytes (with the same libraries). The file appears whole or not
    at all; a recipe in a file of its own (`<name>.json`) is written after it.

    Args:
        target: A path, or a binary file that gets the bytes.
        picture: PNG and PPM keep 16 bits; formats without transparency get it laid on white.
        format: A suffix such as "png"; by default the target's, for a binary file "png".
        recipe: Embedded as JSON, or written beside the file where the format has no place for it.
        sidecar: Whether to write the recipe beside the file as well.
        overwrite: If false, an existing file is never replaced.

    Raises:
        OutputError: The format is unknown or too small for the picture, or the file cannot be written.
        RecipeError: The recipe cannot be written as JSON.
    """
    path = target if isinstance(target, Path) else None
    suffix = output_format(Path(f"x.{format}") if format else path or Path("x.png"))
    text = None if recipe is None else to_json(recipe)
    fits = text is not None and can_embed(suffix, text)
    data, notes = encode(picture, suffix, text if fits else None)
    if path is None:
        assert not isinstance(target, Path)
        target.write(data)
        return notes if fits or text is None else (*notes, f"{suffix.upper()}: recipe left out")
    beside = sidecar_path(path) if text is not None and (sidecar or not fits) else None
    if beside is not None and not overwrite and beside.exists():
        raise OutputError(f"cannot write {printable(beside)}: it exists already", hint="--force replaces it")
    with atomic_write(path, overwrite=overwrite) as file:
        file.write(data)
    if beside is not None and text is not None:
        with atomic_write(beside, overwrite=overwrite) as file:
            file.write(text.encode() + b"\n")
        notes += () if sidecar else (f"recipe written to {printable(beside)}",)
    return notes


def output_format(path: Path) -> str:
    """The format a file name asks for, in lower case without the dot: "png", "jpg", "tiff", ...

    Raises:
        OutputError: The suffix is missing or unknown.
    """
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        found = f"unknown suffix .{printable(suffix)}" if suffix else "no suffix"
        known = " ".join(f".{each}" for each in FORMATS)
        raise OutputError(f"cannot write {printable(path)}: {found}", hint=f"use one of {known}")
    return suffix


def read_recipe(path: Path) -> dict[str, Any]:
    """How a picture was made: the recipe inside it, or in the `.json` beside it, or in the `.json` given.

    Raises:
        RecipeError: There is none, or it is damaged.
    """
    name = printable(path)
    try:
        if path.suffix.lower() == ".json":
            return _read_json(path)
        text = _embedded(path, name)
        if text is not None:
            return from_json(text, name)
        if sidecar_path(path).is_file():
            return _read_json(sidecar_path(path))
    except BadImage as error:
        raise RecipeError(error.message, hint=error.hint) from error
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise RecipeError(f"{name}: {reason.lower()}") from error
    raise RecipeError(
        f"{name}: no recipe in it",
        hint="ask a result of imgtool; sheets, masks, frames and pictures saved from Python have none",
    )


def _read_json(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return from_json(file.read(MAX_RECIPE_BYTES + 1), printable(path))


def _embedded(path: Path, name: str) -> str | None:
    """The JSON of a recipe in a picture's header; nothing is decoded."""
    with path.open("rb") as file:
        head = file.read(64)
        if head.lstrip().startswith(b"<svg"):
            return svg_recipe(head + file.read(2 * MAX_RECIPE_BYTES))
        if head[4:9] == b"\0\0\0\0{":  # safetensors
            return from_header(head + file.read(2 * MAX_RECIPE_BYTES))
        if head.startswith(b"\x93NUMPY"):  # an array has no place for one
            return None
        formats, called = sniff(head, name)
        try:
            with pillow_settings(ANY_PIXELS), Image.open(file, formats=formats) as image:
                text, packet = image.info.get(KEY), image.info.get("xmp")
        except Exception as error:
            raise BadImage(name, f"damaged {called} file") from error
    if isinstance(text, str):
        return str(text)
    return from_xmp(packet) if isinstance(packet, bytes) else None


def _seekable(file: BinaryIO, name: str) -> BinaryIO:
    """The file itself, or a pipe's contents in memory once its first bytes look like a picture."""
    if file.seekable():
        return file
    head = file.read(64)
    sniff(head, name)
    data = head + file.read(MAX_STREAM_BYTES - len(head) + 1)
    if len(data) > MAX_STREAM_BYTES:
        raise BadImage(name, f"the stream is longer than {MAX_STREAM_BYTES >> 20} MB", hint="use a file")
    return io.BytesIO(data)
