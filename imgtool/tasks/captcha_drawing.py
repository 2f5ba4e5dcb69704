"""One captcha from its numbers: ink, wave, colours, noise, and what is known about its glyphs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from imgtool.imaging.contrast import luminance
from imgtool.imaging.glyphs import GlyphSet
from imgtool.imaging.wave import Grid, warped
from imgtool.options.captcha import CaptchaOptions
from imgtool.tasks.captcha_plan import BLOCK, NOISE_TABLE, SHIFT, TRIES, Plan
from imgtool.tasks.captcha_truth import Glyph, glyph_truths

Pixels = NDArray[np.uint8]
SHARES = np.arange(256, dtype=np.float32)[:, None, None] / 255
TABLE_KEY = (0x6E6F697365, 0)


@dataclass(frozen=True, eq=False)
class Studio:
    """What all captchas of a style are drawn with.

    Attributes:
        options: the style.
        glyphs: of its fonts.
        grid: of its size.
        noise: numbers, of which each picture takes a run.
        scenes: backgrounds of its size, (H, W, 3) each.
        plan: the numbers of a block; with True, those with glyphs that do not overlap.
    """

    options: CaptchaOptions
    glyphs: GlyphSet
    grid: Grid
    noise: NDArray[np.int16]
    scenes: Sequence[Pixels]
    plan: Callable[[int, bool], Plan]


class Drawing:
    """A captcha on its way.

    Args:
        studio: what it is drawn with.
        index: its number.

    Attributes:
        numbers: the plan that was taken.
        at: its place in the plan.
        ink: (H, W), what covers the background before the wave.
        clutter: (H, W), the part of it that is of curves and dots; it lies above all glyphs.
        visible: share of each glyph's ink that nothing else covers.
    """

    def __init__(self, studio: Studio, index: int) -> None:
        self.studio, self.index, self.at = studio, index, index % BLOCK
        self.width, self.height = studio.options.size
        wanted = studio.options.min_visible
        # Curves that hide too much give way to others, overlap to a gap, and at last curves and dots to the text.
        for apart in (False, True):
            self._take(studio.plan(index // BLOCK, apart))
            for attempt in range(TRIES if studio.options.lines else 1):
                self.ink, self.clutter, self.visible = self._covered(attempt)
                if min(self.visible) >= wanted:
                    return
        self.ink, self.clutter, self.visible = self._covered(None)
        if min(self.visible) < wanted:
            self.ink, self.clutter, self.visible = self._covered(None, dots=False)

    def _take(self, numbers: Plan) -> None:
        self.numbers, self.count = numbers, int(numbers.counts[self.at])
        self.cells = numbers.cells[self.at].tolist()
        self.stamps = [self.stamp(k) for k in range(self.count)]

    def stamp(self, k: int) -> tuple[Pixels, int, int]:
        """A glyph as it lies in the picture before the wave, and its left and top ends there."""
        numbers, at = self.numbers, self.at
        left, top, right, bottom = self.cells[k]
        coverage = self.studio.glyphs.coverage[numbers.fonts[at, k]][numbers.characters[at, k]]
        return cv2.warpAffine(coverage, numbers.warps[at, k], (right - left, bottom - top)), left, top

    def _covered(self, attempt: int | None, *, dots: bool = True) -> tuple[Pixels, Pixels, list[float]]:
        """All ink, that of curves and dots, and how much of each glyph is seen: what lies above is drawn before."""
        ink = np.zeros((self.height, self.width), np.uint8)
        if attempt is not None:
            self._lines(ink, attempt)
        if dots:
            ink.ravel()[(self.numbers.dots[self.at][:, None] + self.numbers.disc).ravel()] = 255
        clutter, visible = ink.copy(), [0.0] * self.count
        for k in range(self.count - 1, -1, -1):
            stamp, left, top = self.stamps[k]
            under = ink[top : top + stamp.shape[0], left : left + stamp.shape[1]]
            mine = cv2.norm(stamp, cv2.NORM_L1)
            # min(a, b) = (a + b - |a - b|) / 2
            hidden = (mine + cv2.norm(under, cv2.NORM_L1) - cv2.norm(stamp, under, cv2.NORM_L1)) / 2
            visible[k] = 1 - hidden / mine if mine else 0.0
            cv2.max(stamp, under, under)
        return ink, clutter, visible

    def _lines(self, ink: Pixels, attempt: int) -> None:
        curves, widths = self.numbers.curves[self.at, attempt], self.numbers.line_widths[self.at].tolist()
        for curve, width in zip(curves, widths, strict=True):
            cv2.polylines(ink, [curve], False, 255, width, cv2.LINE_AA, SHIFT)

    def pixels(self) -> Pixels:
        """The finished picture, (H, W, 3)."""
        pixels = self._colored(self._waved(self.ink))
        start = self.numbers.noise[self.at]
        if self.studio.options.noise:
            noise = self.studio.noise[start : start + pixels.size].reshape(pixels.shape)
            pixels = cv2.add(pixels, noise, dtype=cv2.CV_8U)
        return pixels

    def mask(self) -> Pixels:
        """(H, W), k where the ink of glyph k (from 1) is uppermost."""
        return self._waved(self._owners(), nearest=True)

    def glyphs(self) -> tuple[Glyph, ...]:
        """What is known about each."""
        plain = self.studio.options.background == "plain"
        below = luminance(self.numbers.backgrounds[self.at, :1] if plain else self._background())
        size = self.studio.options.size
        return glyph_truths(self.numbers, self.at, self.studio.glyphs, self.visible, below, size)

    def _waved(self, flat: Pixels, *, nearest: bool = False) -> Pixels:
        rows, columns = self.numbers.rows[self.at], self.numbers.columns[self.at]
        return warped(flat, self.studio.grid, rows, columns, border=0, nearest=nearest)

    def _colored(self, ink: Pixels) -> Pixels:
        """The background with ink on it, RGB."""
        options, numbers, at = self.studio.options, self.numbers, self.at
        if options.background == "plain" and options.colors == "one":
            return _blended(ink, numbers.backgrounds[at, 0], numbers.inks[at, -1])
        below = self._background().astype(np.float32)
        if options.colors == "each":
            colors = numbers.inks[at][[-1, *range(self.count)]]
            owners = self._owners(spread=True)
            owners[self.clutter >= 128] = 0
            above = colors[self._waved(owners, nearest=True)]
        else:
            above = np.broadcast_to(numbers.inks[at, -1], below.shape)
        share = ink[..., None].astype(np.float32) / 255
        pixels: Pixels = np.rint(below + (above - below) * share).astype(np.uint8)
        return pixels

    def _background(self) -> Pixels:
        """(H, W, 3): a plain colour, a gradient, or a picture made light or dark enough."""
        studio, numbers, at = self.studio, self.numbers, self.at
        first, second = numbers.backgrounds[at].astype(np.float64)
        if studio.options.background == "plain":
            return np.broadcast_to(numbers.backgrounds[at, 0], (self.height, self.width, 3))
        if studio.scenes:
            scene = studio.scenes[self.index % len(studio.scenes)]
            return _faded(scene, numbers.backgrounds[at, 0], bool(numbers.dark[at]))
        along = np.cos(numbers.turns[at]) * studio.grid.x + np.sin(numbers.turns[at]) * studio.grid.y
        share = (along - along.min()) / max(float(np.ptp(along)), 1e-9)
        pixels: Pixels = np.rint(first + (second - first) * share[..., None]).astype(np.uint8)
        return pixels

    def _owners(self, *, spread: bool = False) -> Pixels:
        """(H, W) before the wave: the number of the uppermost glyph, from 1 on, where its ink covers at least half.

        Args:
            spread: also around all ink that has no owner yet, so that soft edges have one.
        """
        owners = np.zeros((self.height, self.width), np.uint8)
        for k, (stamp, left, top) in enumerate(self.stamps):
            inside = owners[top : top + stamp.shape[0], left : left + stamp.shape[1]]
            if spread:
                inside[(cv2.dilate(stamp, np.ones((3, 3), np.uint8)) > 0) & (inside == 0)] = k + 1
            inside[stamp >= 128] = k + 1
        return owners


@lru_cache(maxsize=2)
def noise_table(deviation: float, more: int) -> NDArray[np.int16]:
    """Normal numbers, `more` than a picture may begin at; the same for all seeds."""
    numbers = np.random.Generator(np.random.Philox(key=np.array(TABLE_KEY, np.uint64)))
    levels = numbers.standard_normal(NOISE_TABLE + more, np.float32) * deviation
    table: NDArray[np.int16] = np.rint(levels).astype(np.int16)
    return table


def fitted_scene(scene: Pixels, width: int, height: int) -> Pixels:
    """The middle of a picture that fills a size, (height, width, 3)."""
    scale = max(width / scene.shape[1], height / scene.shape[0])
    wide, high = max(width, round(scene.shape[1] * scale)), max(height, round(scene.shape[0] * scale))
    resized = cv2.resize(scene, (wide, high), interpolation=cv2.INTER_AREA)
    left, top = (wide - width) // 2, (high - height) // 2
    return np.ascontiguousarray(resized[top : top + height, left : left + width])


def _blended(ink: Pixels, below: Pixels, above: Pixels) -> Pixels:
    """A plain colour with ink of one colour on it: one look-up a pixel."""
    table = np.rint(below + (above.astype(np.float32) - below) * SHARES).astype(np.uint8)
    result: Pixels = cv2.applyColorMap(ink, table)
    return result


def _faded(scene: Pixels, limit: Pixels, dark: bool) -> Pixels:
    """A picture whose every pixel is at least as light (or, for light ink, as dark) as a colour.

    Levels are squeezed towards white or black: what has enough contrast with that colour has it with every pixel.
    """
    share = scene.astype(np.float32) / 255
    if dark:
        least = float(limit.max())
        return np.rint(least + (255 - least) * share).astype(np.uint8)
    return np.rint(float(limit.min()) * share).astype(np.uint8)
