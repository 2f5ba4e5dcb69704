"""Captchas: a text that bends, with everything known about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from imgtool.errors import OptionError
from imgtool.imaging.contrast import luminance
from imgtool.imaging.fonts import Font, lacking
from imgtool.imaging.glyphs import GlyphSet, without_look_alikes
from imgtool.imaging.wave import grid_of, warped
from imgtool.options.captcha import CaptchaOptions
from imgtool.tasks.captcha_plan import BLOCK, MARGIN, NOISE_TABLE, SHIFT, TRIES, Plan, plan, texts_of
from imgtool.tasks.captcha_truth import Glyph, glyph_truths

Pixels = NDArray[np.uint8]
MIN_EM = 12.0  # pixels; smaller letters cannot be read
MOST_COMPARED = 300  # characters; among more, look-alikes are not searched for
SHARES = np.arange(256, dtype=np.float32)[:, None, None] / 255
TABLE_KEY = (0x6E6F697365, 0)


@dataclass(frozen=True)
class Captcha:
    """A picture of a text.

    Attributes:
        index: its number.
        text: what it says.
        pixels: (H, W, 3), RGB.
        glyphs: one a character; () unless asked for.
        mask: (H, W), k where the ink of glyph k (from 1) is uppermost, else 0; None unless asked for.
    """

    index: int
    text: str
    pixels: Pixels
    glyphs: tuple[Glyph, ...] = ()
    mask: Pixels | None = None


class Captchas:
    """Captchas of one style and seed; number i is the same whenever it is drawn.

    Args:
        options: the style.
        fonts: F of them, from `find_fonts`.
        alphabet: what random texts are made of; None finds out, leaving look-alikes away.
        scenes: pictures to take backgrounds from, (H, W, 3) each.
        secure: take texts from the system's randomness; pixels still come from the seed.
    Raises:
        OptionError: a font lacks a character, or texts do not fit in their picture.
    """

    def __init__(
        self,
        options: CaptchaOptions,
        fonts: Sequence[Font],
        *,
        alphabet: str | None = None,
        scenes: Sequence[Pixels] = (),
        secure: bool = False,
    ) -> None:
        self.options, self.secure = options, secure
        given = options.words if options.text is None else (options.text,)
        used = "".join(dict.fromkeys("".join(given) or options.alphabet))
        _require_glyphs(fonts, used)
        self.alphabet, self.look_alikes = used, ""
        if alphabet is not None:
            self.alphabet = alphabet
        elif not given and len(used) <= MOST_COMPARED:
            self.alphabet, self.look_alikes = without_look_alikes(fonts, used, options.look_alike)
        width, height = options.size
        self.glyphs = GlyphSet.of(fonts, used, max(8, round(options.font_size[1] * height)))
        self._require_room(given)
        self._grid = grid_of(height, width)
        self._noise = _noise_table(options.noise, width * height * 3)
        self._scenes = [_fitted(scene, width, height) for scene in scenes]
        self._planned: tuple[int, Plan] | None = None

    def draw(self, index: int, *, truth: bool = True, mask: bool = False) -> Captcha:
        """Captcha number `index`.

        Args:
            index: from 0 on.
            truth: with all glyphs.
            mask: with the mask of glyphs.
        """
        numbers = self._plan(index // BLOCK)
        return _Drawing(self, numbers, index).captcha(truth=truth, mask=mask)

    def text(self, index: int) -> str:
        """What captcha number `index` says."""
        return self._plan(index // BLOCK).texts[index % BLOCK]

    def _plan(self, block: int) -> Plan:
        if self._planned is None or self._planned[0] != block:
            texts = texts_of(self.options, self.alphabet, block, secure=self.secure)
            self._planned = block, plan(self.options, self.glyphs, block, texts)
        return self._planned[1]

    def _require_room(self, given: Sequence[str]) -> None:
        """Refuse texts that would be too small to read."""
        options = self.options
        longest = max(map(len, given), default=options.length[1])
        words = [word for word in given if len(word) == longest] or ["?" * longest]
        width = max(self._width(word) for word in words[:1000])
        room = options.size[0] - 2 * (options.wave[1] * options.size[1] + MARGIN)
        em = min(1.0, room / width) * options.font_size[0] * options.size[1]
        if em >= MIN_EM:
            return
        least = round((options.size[0] - room + MIN_EM / em * room) + 0.5)
        what = f"{longest} characters" if options.text is None else repr(options.text)
        raise OptionError(
            "size",
            f"{what} in {options.size[0]}x{options.size[1]} would be {max(0, em):.0f} pixels high, "
            f"expected at least {MIN_EM:.0f}",
            hint=f"--size {max(least, options.size[0])}x{max(options.size[1], 20)}, or shorter texts",
        )

    def _width(self, text: str) -> float:
        """Pixels that a text takes at the least size, upright; of unknown characters, the mean ones."""
        options = self.options
        scale = options.font_size[0] * options.size[1] / self.glyphs.size
        widths = np.ptp(self.glyphs.hulls[..., 0], axis=2).max(axis=0) * scale
        index = {character: at for at, character in enumerate(self.glyphs.characters)}
        of_each = [widths[index[c]] if c in index else float(widths.mean()) for c in text]
        return float(sum(of_each)) * (1 - max(0.0, options.overlap[0]))


class _Drawing:
    """One captcha on its way."""

    def __init__(self, style: Captchas, numbers: Plan, index: int) -> None:
        self.style, self.numbers, self.index = style, numbers, index
        self.at = index % BLOCK
        self.count = int(numbers.counts[self.at])
        self.cells = numbers.cells[self.at].tolist()
        self.width, self.height = style.options.size

    def captcha(self, *, truth: bool, mask: bool) -> Captcha:
        self._ink()
        numbers, at, grid = self.numbers, self.at, self.style._grid
        rows, columns = numbers.rows[at], numbers.columns[at]
        ink = warped(self.ink, grid, rows, columns, border=0)
        pixels = self._colored(ink)
        start = numbers.noise[at]
        if self.style.options.noise:
            noise = self.style._noise[start : start + pixels.size].reshape(pixels.shape)
            pixels = cv2.add(pixels, noise, dtype=cv2.CV_8U)
        glyphs = self._truth() if truth else ()
        marks = warped(self._owners(), grid, rows, columns, border=0, nearest=True) if mask else None
        return Captcha(self.index, numbers.texts[at], pixels, glyphs, marks)

    def _ink(self) -> None:
        """Cover what ink covers, with the first set of curves that leaves every glyph visible enough.

        Sets `ink`, (H, W), and `visible`, a share for each glyph.
        """
        wanted = self.style.options.min_visible
        stamps = [self._stamp(k) for k in range(self.count)]
        lines = [*range(TRIES), None] if self.style.options.lines else [None]
        for attempt in lines:
            self.ink, self.visible = self._covered(stamps, attempt)
            if min(self.visible) >= wanted:
                return
        # Glyphs that hide each other, or dots: nothing but the text is left.
        self.ink, self.visible = self._covered(stamps, None, dots=False)

    def _covered(
        self, stamps: Sequence[tuple[Pixels, int, int]], attempt: int | None, *, dots: bool = True
    ) -> tuple[Pixels, list[float]]:
        """All ink, and how much of each glyph is seen: what lies above it is drawn before it."""
        ink = np.zeros((self.height, self.width), np.uint8)
        if attempt is not None:
            self._lines(ink, attempt)
        if dots:
            ink.ravel()[self.numbers.dots[self.at]] = 255
        visible = [0.0] * len(stamps)
        for k in range(len(stamps) - 1, -1, -1):
            stamp, left, top = stamps[k]
            under = ink[top : top + stamp.shape[0], left : left + stamp.shape[1]]
            mine = cv2.norm(stamp, cv2.NORM_L1)
            # min(a, b) = (a + b - |a - b|) / 2
            hidden = (mine + cv2.norm(under, cv2.NORM_L1) - cv2.norm(stamp, under, cv2.NORM_L1)) / 2
            visible[k] = 1 - hidden / mine if mine else 0.0
            cv2.max(stamp, under, under)
        return ink, visible

    def _stamp(self, k: int) -> tuple[Pixels, int, int]:
        """A glyph as it will lie in the picture, and its left and top ends there."""
        numbers, at = self.numbers, self.at
        left, top, right, bottom = self.cells[k]
        coverage = self.style.glyphs.coverage[numbers.fonts[at, k]][numbers.characters[at, k]]
        return cv2.warpAffine(coverage, numbers.warps[at, k], (right - left, bottom - top)), left, top

    def _lines(self, ink: Pixels, attempt: int) -> None:
        curves, widths = self.numbers.curves[self.at, attempt], self.numbers.line_widths[self.at].tolist()
        for curve, width in zip(curves, widths, strict=True):
            cv2.polylines(ink, [curve], False, 255, width, cv2.LINE_AA, SHIFT)

    def _colored(self, ink: Pixels) -> Pixels:
        """The background with ink on it, RGB."""
        options, numbers, at = self.style.options, self.numbers, self.at
        plain = options.background == "plain"
        if plain and options.colors == "one":
            return _blended(ink, numbers.backgrounds[at, 0], numbers.inks[at, -1])
        below = self._background().astype(np.float32)
        colors = numbers.inks[at][[-1, *range(self.count)]] if options.colors == "each" else None
        if colors is None:
            above = np.broadcast_to(numbers.inks[at, -1], below.shape)
        else:
            rows, columns = numbers.rows[at], numbers.columns[at]
            owners = warped(self._owners(spread=True), self.style._grid, rows, columns, nearest=True)
            above = colors[owners]
        share = ink[..., None].astype(np.float32) / 255
        pixels: Pixels = np.rint(below + (above - below) * share).astype(np.uint8)
        return pixels

    def _background(self) -> Pixels:
        """(H, W, 3): a plain colour, a gradient, or a picture made light or dark enough."""
        options, numbers, at = self.style.options, self.numbers, self.at
        first, second = numbers.backgrounds[at].astype(np.float64)
        if options.background == "plain":
            return np.broadcast_to(numbers.backgrounds[at, 0], (self.height, self.width, 3))
        if self.style._scenes:
            scene = self.style._scenes[self.index % len(self.style._scenes)]
            return _faded(scene, numbers.backgrounds[at, 0], bool(numbers.dark[at]))
        along = (
            np.cos(numbers.turns[at]) * self.style._grid.x + np.sin(numbers.turns[at]) * self.style._grid.y
        )
        share = (along - along.min()) / max(float(np.ptp(along)), 1e-9)
        pixels: Pixels = np.rint(first + (second - first) * share[..., None]).astype(np.uint8)
        return pixels

    def _truth(self) -> tuple[Glyph, ...]:
        plain = self.style.options.background == "plain"
        below = luminance(self.numbers.backgrounds[self.at, :1] if plain else self._background())
        return glyph_truths(
            self.numbers, self.at, self.style.glyphs, self.visible, below, self.style.options.size
        )

    def _owners(self, *, spread: bool = False) -> Pixels:
        """(H, W) before the wave: the number of the uppermost glyph, from 1 on, where its ink covers at least half.

        Args:
            spread: wherever it has any ink at all, so that soft edges have an owner.
        """
        owners = np.zeros((self.height, self.width), np.uint8)
        for k in range(self.count):
            stamp, left, top = self._stamp(k)
            inside = owners[top : top + stamp.shape[0], left : left + stamp.shape[1]]
            if spread:
                stamp = cv2.dilate(stamp, np.ones((3, 3), np.uint8))
            inside[stamp >= (1 if spread else 128)] = k + 1
        return owners


def _require_glyphs(fonts: Sequence[Font], characters: str) -> None:
    for font in fonts:
        if missing := lacking(font, characters):
            shown = missing if len(missing) <= 20 else f"{missing[:20]}… ({len(missing)} characters)"
            raise OptionError(
                "font",
                f"{font.name} has no glyph for {shown}",
                hint="another --font, or texts and an --alphabet without it",
            )


@lru_cache(maxsize=2)
def _noise_table(deviation: float, more: int) -> NDArray[np.int16]:
    """Normal numbers, of which each picture takes a run; the same for all seeds."""
    numbers = np.random.Generator(np.random.Philox(key=np.array(TABLE_KEY, np.uint64)))
    levels = numbers.standard_normal(NOISE_TABLE + more, np.float32) * deviation
    table: NDArray[np.int16] = np.rint(levels).astype(np.int16)
    return table


def _blended(ink: Pixels, below: Pixels, above: Pixels) -> Pixels:
    """A plain colour with ink of one colour on it: one look-up a pixel."""
    table = np.rint(below + (above.astype(np.float32) - below) * SHARES).astype(np.uint8)
    result: Pixels = cv2.applyColorMap(ink, table)
    return result


def _fitted(scene: Pixels, width: int, height: int) -> Pixels:
    """The middle of a picture that fills a size."""
    scale = max(width / scene.shape[1], height / scene.shape[0])
    wide, high = (
        max(low, round(side * scale)) for low, side in zip((width, height), scene.shape[1::-1], strict=True)
    )
    resized = cv2.resize(scene, (wide, high), interpolation=cv2.INTER_AREA)
    left, top = (wide - width) // 2, (high - height) // 2
    return np.ascontiguousarray(resized[top : top + height, left : left + width])


def _faded(scene: Pixels, limit: Pixels, dark: bool) -> Pixels:
    """A picture whose every pixel is at least as light (or, for light ink, as dark) as a colour.

    Levels are squeezed towards white or black: what has enough contrast with that colour has it with every pixel.
    """
    share = scene.astype(np.float32) / 255
    if dark:
        least = float(limit.max())
        return np.rint(least + (255 - least) * share).astype(np.uint8)
    return np.rint(float(limit.min()) * share).astype(np.uint8)
