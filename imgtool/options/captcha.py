"""What can be set about `captcha-gen`."""

import math
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from imgtool.errors import OptionError
from imgtool.options.checks import MAX_SEED, at_least, choice, within

INKS = ("dark", "light", "any")
COLORS = ("one", "each")
BACKGROUNDS = ("plain", "gradient")  # anything else names a picture or a folder of them
# Of fontpkg (extra "captcha"): sans and serif, mono and round, display and handwriting; licences OFL and Apache.
# Chosen among those on the index for lining figures and letters that differ.
DEFAULT_FAMILIES = (
    "roboto",
    "roboto-slab",
    "source-code-pro",
    "ibm-plex-serif",
    "bitter",
    "fredoka",
    "righteous",
    "kalam",
)
CAPTCHA_FORMATS = ("png", "jpg", "webp")
CAPTCHA_LAYOUTS = ("files", "tar", "npy")
MAX_CONTRAST = 21.0  # of black on white: WCAG 2.2
MAX_LENGTH = 64
MAX_ALPHABET = 30_000
MAX_SIDE = 4096
STEEPEST = 0.9  # of a wave's slope; from 1 on it folds back on itself

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class CaptchaOptions:
    """Knobs of `captcha-gen`: a style, a seed, and what the texts are made of.

    Lengths are shares of the picture's height, so that a style looks alike at every size. Ranges are drawn from
    evenly. The defaults are those of the level "medium".
    """

    level: str = "medium"  # a key of CAPTCHA_LEVELS: where the defaults of the look come from
    text: str | None = None  # the same text in every picture
    words: tuple[str, ...] = ()  # texts to choose from
    length: tuple[int, int] = (5, 5)  # characters of a random text
    alphabet: str = string.ascii_uppercase + string.digits  # look-alikes are left out of it
    look_alike: float = 0.095  # glyphs nowhere farther apart than this share of their height are look-alikes
    size: tuple[int, int] = (160, 60)  # (width, height) in pixels
    fonts: tuple[str, ...] = ()  # files, folders, or families of fontpkg; () for `DEFAULT_FAMILIES`
    font_size: Range = (0.62, 0.8)  # of the em
    rotation: float = 20.0  # degrees, at most, to either side
    shear: float = 0.15  # horizontal shift for one unit of height, at most
    overlap: Range = (-0.2, -0.02)  # of neighbours, of the narrower one's width; below 0 a gap
    jitter: float = 0.8  # share of the free height that glyphs move in
    ink: str = "dark"  # one of INKS: against the background
    colors: str = "one"  # of COLORS: one ink for all, or one for each glyph
    background: str = "plain"  # one of BACKGROUNDS, or a path
    min_contrast: float = 4.5  # of each glyph against its background: WCAG 2.2, 1.4.3
    min_visible: float = 0.75  # share of each glyph's ink that nothing else covers
    wave: Range = (0.03, 0.045)  # amplitude
    wave_length: Range = (0.9, 1.6)
    lines: int = 1  # Bezier curves across the text
    line_width: Range = (0.02, 0.035)
    line_degree: int = 3
    dots: int = 30
    noise: float = 6.0  # standard deviation, in levels of 255
    seed: int = 0

    def __post_init__(self) -> None:
        choice("level", self.level, CAPTCHA_LEVELS)
        choice("ink", self.ink, INKS)
        choice("colors", self.colors, COLORS)
        for name in ("length", "size"):
            _pair(name, getattr(self, name), int)
        for name, _, _ in RANGES:
            _pair(name, getattr(self, name), (int, float))
        within("seed", self.seed, 0, MAX_SEED)
        for side, pixels in zip(("width", "height"), self.size, strict=True):
            if not 8 <= pixels <= MAX_SIDE:
                raise OptionError("size", f"{side} must be from 8 to {MAX_SIDE}, got {pixels}")
        self._check_texts()
        for name, low, high in RANGES:
            _range(name, getattr(self, name), low, high)
        for name, low, high in NUMBERS:
            if not low <= getattr(self, name) <= high:  # NaN is in no range
                raise OptionError(name, f"must be from {low:g} to {high:g}, got {getattr(self, name):g}")
        for name, most in (("lines", 20), ("dots", 10_000)):
            within(name, getattr(self, name), 0, most)
        within("line_degree", self.line_degree, 1, 20)
        steepest = 2 * math.pi * self.wave[1] / self.wave_length[0]
        if steepest > STEEPEST:
            least = 2 * math.pi * self.wave[1] / STEEPEST
            raise OptionError(
                "wave",
                f"{self.wave[1]:g} is so high that waves {self.wave_length[0]:g} long would fold",
                hint=f"--wave-length {math.ceil(least * 100) / 100:g} or more",
            )

    def _check_texts(self) -> None:
        """Something to write, in one line."""
        if self.text is None and not self.words:
            low, high = self.length
            if not 1 <= low <= high <= MAX_LENGTH:
                raise OptionError("length", f"must be from 1 to {MAX_LENGTH}, got {low}-{high}")
            require_drawable("alphabet", self.alphabet, most=MAX_ALPHABET)
        for word in self.words:
            require_drawable("text_file", word)
        if self.text is not None:
            require_drawable("text", self.text)

    @classmethod
    def of_level(cls, level: str = "medium", **given: Any) -> Self:
        """The options of a level, but for those that are given."""
        choice("level", level, CAPTCHA_LEVELS)
        return cls(**{"level": level, **CAPTCHA_LEVELS[level], **given})


RANGES = (
    ("font_size", 0.05, 1.5),
    ("overlap", -2.0, 0.6),
    ("wave", 0.0, 0.5),
    ("wave_length", 0.1, 100.0),
    ("line_width", 0.0, 0.5),
)
NUMBERS = (
    ("look_alike", 0.0, 1.0),
    ("rotation", 0.0, 180.0),
    ("shear", 0.0, 1.0),
    ("jitter", 0.0, 1.0),
    ("min_contrast", 1.0, MAX_CONTRAST),
    ("min_visible", 0.0, 1.0),
    ("noise", 0.0, 128.0),
)

# What differs from the defaults.
CAPTCHA_LEVELS: Mapping[str, Mapping[str, Any]] = {
    "easy": {
        "rotation": 10.0,
        "shear": 0.05,
        "overlap": (-0.35, -0.2),
        "min_visible": 0.9,
        "wave": (0.01, 0.02),
        "line_width": (0.015, 0.025),
        "dots": 12,
        "noise": 3.0,
    },
    "medium": {},
    "hard": {
        "rotation": 35.0,
        "shear": 0.25,
        "overlap": (0.0, 0.2),
        "min_visible": 0.5,
        "wave": (0.06, 0.085),
        "lines": 2,
        "line_width": (0.035, 0.055),
        "dots": 60,
        "noise": 12.0,
    },
}


def _range(option: str, value: Range, low: float, high: float) -> None:
    at_least(option, value[0], low)
    if not value[0] <= value[1] <= high:
        raise OptionError(
            option, f"must be a range from {low:g} to {high:g}, got {value[0]:g} to {value[1]:g}"
        )


def require_drawable(option: str, text: str, *, most: int = MAX_LENGTH, where: str = "") -> None:
    """Refuse a text that could not be drawn.

    Args:
        option: that it is of.
        text: the text.
        most: characters it may have.
        where: it stands, for the message.
    Raises:
        OptionError: it is empty, too long, or has blanks or what is invisible.
    """
    if not isinstance(text, str) or not text:
        raise OptionError(option, f"{where}is empty" if text == "" else f"{where}{text!r} is no text")
    for character in text if " " in text or not text.isprintable() else "":
        if character.isspace() or not character.isprintable():
            raise OptionError(option, f"{where}{character!r} cannot be drawn")
    if len(text) > most:
        raise OptionError(option, f"{where}has {len(text)} characters, expected at most {most}")


def _pair(option: str, value: object, kind: type | tuple[type, ...]) -> None:
    """Two numbers of a kind."""
    known = (
        isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(each, kind) for each in value)
    )
    if not known:
        raise OptionError(option, f"must be two numbers, got {value!r}")
