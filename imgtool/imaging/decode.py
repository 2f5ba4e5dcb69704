"""Bytes of a picture file to pixels: which formats, how large, and every mode Pillow knows to sRGB."""

from __future__ import annotations

import ctypes
import importlib
import io
import logging
import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import BinaryIO

import PIL
from PIL import Image, ImageFile, UnidentifiedImageError

from imgtool.errors import BadImage
from imgtool.files import printable
from imgtool.imaging.modes import UnusableValues, decode_deep, from_pillow
from imgtool.imaging.picture import Picture
from imgtool.imaging.suffixes import MAX_PIXELS

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF", "HEIC")

logging.getLogger("PIL").addHandler(logging.NullHandler())  # else its errors go to stderr

_COUNT_FRAMES_BYTES = 2_000_000  # counting walks through a GIF or TIFF file
_READ = "a file of " + ", ".join(FORMATS)

# (pattern of the first bytes, Pillow's formats): None where the contents are known and refused
_SIGNATURES: tuple[tuple[bytes, tuple[str, ...] | None, str], ...] = (
    (rb"\x89PNG\r\n\x1a\n", ("PNG",), "PNG"),
    (rb"\xff\xd8\xff", ("JPEG",), "JPEG"),
    (rb"RIFF....WEBP", ("WEBP",), "WebP"),
    (rb"II\*\0|MM\0\*|II\+\0|MM\0\+", ("TIFF",), "TIFF"),
    (rb"BM", ("BMP",), "BMP"),
    (rb"GIF8[79]a", ("GIF",), "GIF"),
    (rb"P[1-6f][ \t\r\n]", ("PPM",), "PPM"),
    (rb"....ftyp(avif|avis)", ("AVIF",), "AVIF"),
    (rb"....ftyp(hei[cxms]|hev[cxms])", ("HEIF",), "HEIC"),
    (rb"....ftyp(mif1|msf1)", ("AVIF", "HEIF"), "HEIC"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", None, "a PostScript file"),
    (rb"%PDF", None, "a PDF document"),
    (rb"\s*<(svg|\?xml|!DOCTYPE|html)", None, "an SVG, XML or HTML document"),
    (rb"8BPS", None, "a Photoshop document"),
    (rb"\0\0\x01\0", None, "an icon (ICO)"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", None, "a JPEG XL picture"),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", None, "a JPEG 2000 picture"),
    (rb"PK\x03\x04", None, "a ZIP archive"),
    (rb"....\0\0\0\0{", None, "a style file or weights (safetensors)"),
)


def sniff(head: bytes, name: str) -> tuple[tuple[str, ...], str]:
    """Pillow's formats to try for a file that begins with `head`, and what to call it.

    Raises:
        BadImage: The file is empty or of none of the formats that are read.
    """
    if not head:
        raise BadImage(name, "the file is empty")
    for pattern, formats, called in _SIGNATURES:
        if re.match(pattern, head, re.DOTALL):
            if formats is None:
                raise BadImage(name, f"it is {called}, not a picture that can be read", hint=_READ)
            if "HEIF" in formats and not _heif_is_known() and "AVIF" not in formats:
                raise BadImage(name, "HEIC needs a plugin", hint="pip install pillow-heif")
            return formats, called
    raise BadImage(name, "it is not a picture that can be read", hint=_READ)


def decode(file: BinaryIO, name: str, max_pixels: int = MAX_PIXELS, *, frame: int | None = None) -> Picture:
    """The first picture in a seekable file, or a frame of it.

    Args:
        file: Read from its beginning; left open.
        name: What to call it in messages.
        max_pixels: More than this are refused before anything is decoded.
        frame: Of an animation, from 1.

    Raises:
        BadImage: Whatever went wrong.
    """
    file.seek(0)
    formats, called = sniff(file.read(64), name)
    if called == "TIFF":
        _silence_libtiff()
    try:
        with pillow_settings(max_pixels), Image.open(file, formats=formats) as image:
            if image.width * image.height > max_pixels:
                raise too_large(name, image.width * image.height, max_pixels)
            if frame is not None:
                return _frame(image, frame, name)
            picture = decode_deep(image, file, lambda: Image.open(file, formats=formats))
            if picture is None:
                image.load()
                picture = from_pillow(image)
            return replace(picture, notes=_frames_note(image, file) + picture.notes)
    except BadImage:
        raise
    except UnusableValues as error:
        raise BadImage(name, str(error)) from error
    except Image.DecompressionBombError as error:
        pixels = re.search(r"\d+", str(error))
        raise too_large(name, int(pixels[0]) if pixels else 0, max_pixels) from error
    except MemoryError as error:
        raise BadImage(name, "not enough memory to decode it", hint="use a smaller picture") from error
    except Exception as error:  # whatever a decoder raises for bytes it does not like
        raise BadImage(name, _reason(error, called)) from error


def _frame(image: ImageFile.ImageFile, number: int, name: str) -> Picture:
    """A frame of an animation, from 1."""
    frames = getattr(image, "n_frames", 1)
    if number > frames:
        raise BadImage(name, f"it has {frames} frames, there is no frame {number}")
    image.seek(number - 1)
    image.load()
    return from_pillow(image)


def too_large(name: str, pixels: int, max_pixels: int) -> BadImage:
    """What is said about a picture of more pixels than are allowed."""
    reason = f"{_count(pixels)}, the limit is {_count(max_pixels)}"
    return BadImage(name, reason, hint=f"--max-pixels {pixels} if you trust the file")


def _count(pixels: int) -> str:
    return f"{pixels / 1e6:.1f} megapixels" if pixels >= 100_000 else f"{pixels} pixels"


def _reason(error: Exception, called: str) -> str:
    text = " ".join(printable(str(error)).split())
    if isinstance(error, UnidentifiedImageError) or not text:
        return f"damaged {called} file"
    if re.search("truncated|not enough|large enough|broken data stream|end of file|eof", text, re.IGNORECASE):
        return f"truncated or damaged {called} file"
    return f"damaged {called} file: {text[:100]}"


def _frames_note(image: ImageFile.ImageFile, file: BinaryIO) -> tuple[str, ...]:
    """That there is more in the file than its first picture."""
    try:
        if not getattr(image, "is_animated", False):
            return ()
        things = {"TIFF": "pages", "MPO": "pictures", "HEIF": "pictures"}.get(image.format or "", "frames")
        walks = image.format in ("GIF", "TIFF") and file.seek(0, io.SEEK_END) > _COUNT_FRAMES_BYTES
        return (f"only the first of {'several' if walks else image.n_frames} {things} is read",)  # type: ignore[attr-defined]
    except Exception:  # the later frames are damaged
        return ("only the first of several frames is read; later ones are damaged",)


def _heif_is_known() -> bool:
    """Whether Pillow reads HEIC here; its plugin is loaded on first need."""
    try:
        plugin = importlib.import_module("pillow_heif")
    except ImportError:
        return False
    plugin.register_heif_opener()
    return True


@cache
def _silence_libtiff() -> None:
    """Keep libtiff from printing to stderr what it also returns as an error; it has no other switch."""
    wheel = Path(PIL.__file__).parent
    for library in (*wheel.parent.glob("pillow.libs/libtiff*"), *wheel.glob(".dylibs/libtiff*")):
        with suppress(OSError, AttributeError):
            loaded = ctypes.CDLL(str(library), mode=os.RTLD_NOLOAD)
            for setter in (loaded.TIFFSetErrorHandler, loaded.TIFFSetWarningHandler):
                setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
                setter(None)


class _PillowSettings:
    """Pillow's process-wide settings while at least one thread decodes; put back by the last one.

    Its warnings are not shown, and its own limit of pixels is lifted where ours is higher.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._limit: int | None = None
        self._warnings = warnings.catch_warnings()

    @contextmanager
    def __call__(self, max_pixels: int) -> Iterator[None]:
        with self._lock:
            if self._readers == 0:
                self._limit = Image.MAX_IMAGE_PIXELS
                self._warnings = warnings.catch_warnings()
                self._warnings.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
            self._readers += 1
            if Image.MAX_IMAGE_PIXELS is not None and max_pixels > 2 * Image.MAX_IMAGE_PIXELS:
                Image.MAX_IMAGE_PIXELS = -(-max_pixels // 2)
        try:
            yield
        finally:
            with self._lock:
                self._readers -= 1
                if self._readers == 0:
                    self._warnings.__exit__(None, None, None)
                    Image.MAX_IMAGE_PIXELS = self._limit


pillow_settings = _PillowSettings()
