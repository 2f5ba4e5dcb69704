"""Fonts: found by file, folder or family, and their letters as coverage."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFont

from imgtool.errors import OptionError
from imgtool.files import printable, system_reason
from imgtool.options.captcha import DEFAULT_FAMILIES

SUFFIXES = (".ttf", ".otf", ".ttc", ".otc")
WEIGHT = 500  # of fonts that have a choice: heavy enough to survive noise
# No font has a glyph for it, so that what is drawn stands for "missing".
NO_CHARACTER = "\U0010ffff"


@dataclass(frozen=True)
class Font:
    """A font.

    Attributes:
        name: what it says of itself, such as "Roboto Regular".
        sha256: of its file.
        data: the file.
        origin: the file's path or the family that it was asked for by; "" for Pillow's own.
    """

    name: str
    sha256: str
    data: bytes
    origin: str = ""

    @classmethod
    def of(cls, data: bytes, origin: str = "") -> "Font":
        """A font of a file's bytes.

        Raises:
            OSError: they are no font.
        """
        face = ImageFont.truetype(io.BytesIO(data), 16)
        family, style = face.getname()
        with suppress(OSError):  # of a variable font the style tells its default, which is not what is drawn
            style = f"at weight {WEIGHT}" if face.get_variation_axes() else style
        return cls(f"{family} {style}".strip(), hashlib.sha256(data).hexdigest(), data, origin)

    def face(self, size: int) -> ImageFont.FreeTypeFont:
        """The font at an em of `size` pixels, at a medium weight if it has weights to choose from."""
        face = ImageFont.truetype(io.BytesIO(self.data), size, layout_engine=ImageFont.Layout.BASIC)
        with suppress(OSError):  # it has no axes
            face.set_variation_by_axes(list(map(_setting, face.get_variation_axes())))
        return face


def _setting(axis: Any) -> float:
    """Where an axis of a variable font is set."""
    if axis["name"] == b"Weight":
        return float(min(max(WEIGHT, axis["minimum"]), axis["maximum"]))
    return float(axis["default"])


def glyph(face: ImageFont.FreeTypeFont, character: str) -> NDArray[np.uint8]:
    """Coverage of a character's ink, 0 to 255, cut to where it is; (0, 0) for none."""
    mask = face.getmask(character, mode="L")
    coverage = np.array(mask, np.uint8).reshape(mask.size[1], mask.size[0])
    return coverage[cut_to_ink(coverage)]


def cut_to_ink(coverage: NDArray[np.uint8]) -> tuple[slice, slice]:
    """The rows and columns from the first to the last with ink; none of none."""
    rows, columns = np.flatnonzero(coverage.any(axis=1)), np.flatnonzero(coverage.any(axis=0))
    if not rows.size:
        return slice(0), slice(0)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def lacking(font: Font, characters: str) -> str:
    """Those of the characters that a font has no visible glyph for."""
    face = font.face(32)
    missing = glyph(face, NO_CHARACTER)
    return "".join(
        character
        for character in characters
        if not (drawn := glyph(face, character)).size or np.array_equal(drawn, missing)
    )


def find_fonts(given: Sequence[str]) -> tuple[Font, ...]:
    """Fonts by file, folder (all that lie in it) or family of fontpkg.

    Args:
        given: none for `DEFAULT_FAMILIES`, as many as are installed; and if none is, for Pillow's own font.
    Raises:
        OptionError: one is not there, or is no font.
    """
    if given:
        fonts = [font for each in given for font in _found(each)]
    else:
        fonts = [Font.of(path.read_bytes(), name) for name in DEFAULT_FAMILIES if (path := _family(name))]
    return tuple({font.sha256: font for font in fonts or [_fallback()]}.values())


def _found(given: str) -> Iterator[Font]:
    path = Path(given).expanduser()
    if not given:  # which pathlib takes for the current folder
        raise OptionError("font", "is empty")
    if path.is_dir():
        files = sorted(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES)
        if not files:
            raise OptionError("font", f"{printable(path)} holds no font ({', '.join(SUFFIXES)})")
        for file in files:
            yield _read(file, str(file))
    elif path.exists():
        yield _read(path, str(path))
    elif found := _family(given):
        yield _read(found, given)
    else:
        raise OptionError(
            "font",
            f"{printable(given)} is neither a file, a folder nor an installed family",
            hint=f"pip install fontpkg-{printable(given)}" if given.replace("-", "").isalnum() else None,
        )


def _read(path: Path, origin: str) -> Font:
    try:
        return Font.of(path.read_bytes(), origin)
    except OSError as error:
        reason = "it is no font" if error.errno is None else system_reason(error)
        raise OptionError("font", f"{printable(path)} cannot be read: {reason}") from error


def _family(name: str) -> Path | None:
    """The file of an installed family at the nearest weight."""
    try:
        import fontpkg

        path: Path = fontpkg.path(name, weight=WEIGHT, nearest=True)
    except (ImportError, LookupError, ValueError):
        return None
    return path


def _fallback() -> Font:
    """The font that Pillow carries."""
    face = ImageFont.load_default(16)
    assert isinstance(face, ImageFont.FreeTypeFont) and isinstance(face.path, io.BytesIO)
    return Font.of(face.path.getvalue())
