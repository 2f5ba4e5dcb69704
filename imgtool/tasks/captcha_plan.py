"""What is random about captchas, drawn for a block of pictures at once: texts, places of glyphs, curves, colours.

Picture i belongs to block i // BLOCK, and a block's numbers come from a generator of its own, so that a picture
depends on the seed and its index alone, in whatever order and company it is drawn.
"""

import secrets
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imgtool.imaging.bezier import bezier
from imgtool.imaging.contrast import FLARE, darker, lighter, luminance
from imgtool.imaging.glyphs import GlyphSet
from imgtool.imaging.wave import Wave, displacement
from imgtool.options.captcha import BACKGROUNDS, MAX_LENGTH, CaptchaOptions

Floats = NDArray[np.float64]
BLOCK = 64
TRIES = 4  # sets of curves to choose from, should one hide a glyph
SAMPLES = 24  # points along a curve
MARGIN = 3  # pixels at the border without ink, for its edges are soft
SHIFT = 4  # bits behind the point of a curve's coordinates
DOT = 0.016  # radius, in heights of the picture
NOISE_TABLE = 1 << 20
TEXT, LOOK = 0, 1  # streams of a block
EXACTLY = 1 + 1e-4  # so that rounding leaves no contrast below what was asked


@dataclass(frozen=True)
class Plan:
    """The numbers of `BLOCK` pictures, N below, with at most K characters each.

    Attributes:
        texts: N of them.
        fonts: (N, K) indices.
        characters: (N, K) indices; beyond a text's end they mean nothing.
        counts: (N,) characters.
        scales: (N, K) of a glyph against its size in the set.
        angles: (N, K) degrees, clockwise.
        matrices: (N, K, 2, 2), from a glyph's own plane around its middle to the picture.
        places: (N, K, 2), where the middles lie, (x, y).
        cells: (N, K, 4), left, top, right and bottom of the pixels that a glyph may touch before the wave.
        warps: (N, K, 2, 3), from a glyph's bitmap to its cell.
        curves: (N, TRIES, lines, SAMPLES, 2), in 1 / 2**SHIFT of a pixel.
        line_widths: (N, lines) pixels.
        dots: (N, dots), flat indices of their middles.
        disc: of a dot's pixels against its middle's.
        amplitudes, lengths, phases: (N, 2) of the wave, pixels, pixels, radians.
        rows: (N, height), pixels of displacement.
        columns: (N, width).
        noise: (N,) where in the table of noise to begin.
        dark: (N,) whether ink is darker than the background.
        backgrounds: (N, 2, 3), levels of the two ends of a gradient; the first is the plain colour.
        turns: (N,) radians, direction of a gradient.
        inks: (N, K + 1, 3), levels of each glyph and, last, of lines and dots.
    """

    texts: tuple[str, ...]
    fonts: NDArray[np.intp]
    characters: NDArray[np.intp]
    counts: NDArray[np.intp]
    scales: Floats
    angles: Floats
    matrices: Floats
    places: Floats
    cells: NDArray[np.intp]
    warps: Floats
    curves: NDArray[np.int32]
    line_widths: NDArray[np.intp]
    dots: NDArray[np.intp]
    disc: NDArray[np.intp]
    amplitudes: Floats
    lengths: Floats
    phases: Floats
    rows: NDArray[np.float32]
    columns: NDArray[np.float32]
    noise: NDArray[np.intp]
    dark: NDArray[np.bool_]
    backgrounds: NDArray[np.uint8]
    turns: Floats
    inks: NDArray[np.uint8]

    def wave(self, index: int) -> Wave:
        """The wave of one picture."""
        amplitude, length, phase = (
            (float(each[index, 0]), float(each[index, 1]))
            for each in (self.amplitudes, self.lengths, self.phases)
        )
        return Wave(amplitude, length, phase)


def generator(seed: int, block: int, stream: int) -> np.random.Generator:
    """The random numbers of a block."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, 2 * block + stream], np.uint64)))


def texts_of(options: CaptchaOptions, alphabet: str, block: int, *, secure: bool = False) -> tuple[str, ...]:
    """The texts of a block.

    Args:
        options: where they come from.
        alphabet: of random texts.
        block: which.
        secure: take them from the system's randomness, which nobody can repeat, instead of from the seed.
    """
    if options.text is not None:
        return (options.text,) * BLOCK
    if options.words:
        numbers = _numbers(options.seed, block, 1, secure)[:, 0]
        return tuple(options.words[int(each * len(options.words))] for each in numbers)
    low, high = options.length
    numbers = _numbers(options.seed, block, high + 1, secure)
    counts = low + (numbers[:, 0] * (high - low + 1)).astype(int)
    letters = (numbers[:, 1:] * len(alphabet)).astype(int)
    return tuple(
        "".join(alphabet[each] for each in row[:count])
        for row, count in zip(letters.tolist(), counts.tolist(), strict=True)
    )


def _numbers(seed: int, block: int, count: int, secure: bool) -> Floats:
    """(BLOCK, count), from 0 to below 1."""
    if not secure:
        return generator(seed, block, TEXT).random((BLOCK, count))
    drawn = [secrets.randbits(53) / (1 << 53) for _ in range(BLOCK * count)]
    return np.array(drawn).reshape(BLOCK, count)


def plan(options: CaptchaOptions, glyphs: GlyphSet, block: int, texts: tuple[str, ...]) -> Plan:
    """The numbers of a block; the order in which they are drawn is part of what a seed means."""
    width, height = options.size
    draw = generator(options.seed, block, LOOK).random
    longest = max(map(len, texts))
    index_of = {character: index for index, character in enumerate(glyphs.characters)}
    characters = np.array([[index_of[c] for c in text] + [0] * (longest - len(text)) for text in texts])
    counts = np.array([len(text) for text in texts])
    amplitudes = between(draw((BLOCK, 2)), *options.wave) * height
    lengths = between(draw((BLOCK, 2)), *options.wave_length) * height
    phases = draw((BLOCK, 2)) * 2 * np.pi
    rows, columns = (
        displacement(count, amplitudes[:, axis], lengths[:, axis], phases[:, axis])
        for axis, count in enumerate((height, width))
    )
    # As many as there can be, so that no text changes how another one looks.
    look = draw((6, BLOCK, MAX_LENGTH))[:, :, :longest]
    fonts = (look[0] * len(glyphs.fonts)).astype(int)
    layout = _Layout(options, glyphs, fonts, characters, counts, look[1:], draw((BLOCK, 1)))
    layout.fit(amplitudes)
    dark = _dark(options.ink, draw(BLOCK))
    backgrounds = _backgrounds(options, dark, draw((BLOCK, 2, 3)))
    return Plan(
        texts=texts,
        fonts=fonts,
        characters=characters,
        counts=counts,
        scales=layout.scales,
        angles=layout.angles,
        matrices=layout.matrices,
        places=layout.places,
        cells=layout.cells,
        warps=layout.warps,
        curves=_curves(options, draw((BLOCK, TRIES, options.lines, options.line_degree + 1, 2))),
        line_widths=np.maximum(
            1, np.rint(between(draw((BLOCK, options.lines)), *options.line_width) * height)
        ).astype(int),
        dots=_dots(draw((BLOCK, options.dots, 2)), width, height),
        disc=_disc(width, height),
        amplitudes=amplitudes,
        lengths=lengths,
        phases=phases,
        rows=rows,
        columns=columns,
        noise=(draw(BLOCK) * NOISE_TABLE).astype(int),
        dark=dark,
        backgrounds=backgrounds,
        turns=draw(BLOCK) * 2 * np.pi,
        inks=_inks(options, dark, backgrounds, draw((BLOCK, MAX_LENGTH + 1, 3))),
    )


def between(numbers: Floats, low: float, high: float) -> Floats:
    """Numbers from 0 to 1 stretched to a range."""
    return low + numbers * (high - low)


class _Layout:
    """Glyphs turned, sheared and put beside each other, for a block."""

    def __init__(
        self,
        options: CaptchaOptions,
        glyphs: GlyphSet,
        fonts: NDArray[np.intp],
        characters: NDArray[np.intp],
        counts: NDArray[np.intp],
        numbers: Floats,
        start: Floats,
    ) -> None:
        self.options = options
        self.hulls = glyphs.hulls[fonts, characters, ::2]  # (N, K, P, 2); half of the points will do
        self.centers = glyphs.centers[fonts, characters]
        self.there = np.arange(characters.shape[1]) < counts[:, None]
        size, angle, shear, overlap, self.height_numbers = numbers
        self.start = start
        self.scales = between(size, *options.font_size) * options.size[1] / glyphs.size
        self.angles = between(angle, -options.rotation, options.rotation)
        self.overlaps = between(overlap, *options.overlap)
        turn = np.deg2rad(self.angles)
        cosine, sine, slant = np.cos(turn), np.sin(turn), between(shear, -options.shear, options.shear)
        turned = np.stack([cosine, cosine * slant - sine, sine, sine * slant + cosine], axis=-1)
        self.matrices = turned.reshape(*turn.shape, 2, 2) * self.scales[..., None, None]

    def fit(self, amplitudes: Floats) -> None:
        """Make the text small enough for its picture, and give each glyph its place.

        Where the wave might carry ink out of the picture is no room.

        Args:
            amplitudes: (N, 2) of the wave, pixels.
        """
        width, height = self.options.size
        edge = amplitudes + MARGIN
        room = np.array([width, height]) - 2 * edge
        low, high, total = self._extents()
        tallest = np.where(self.there, high[..., 1] - low[..., 1], 0).max(axis=1)
        shrink = np.minimum(1, np.minimum(room[:, 0] / total, room[:, 1] / tallest))[:, None]
        self.scales = self.scales * shrink
        self.matrices = self.matrices * shrink[..., None, None]
        low, high, total = low * shrink[..., None], high * shrink[..., None], total * shrink[:, 0]
        lefts = self._lefts(high[..., 0] - low[..., 0])
        lefts += edge[:, :1] + self.start * (room[:, :1] - total[:, None])
        free = room[:, 1:] - (high[..., 1] - low[..., 1])
        at = 0.5 + (self.height_numbers - 0.5) * self.options.jitter
        tops = edge[:, 1:] + free * at
        self.places = np.stack([lefts - low[..., 0], tops - low[..., 1]], axis=-1)
        first = np.maximum(0, np.floor(self.places + low).astype(int) - 1)
        last = np.minimum((width, height), np.ceil(self.places + high).astype(int) + 2)
        self.cells = np.concatenate([first, last], axis=-1)
        shift = self.places - first - (self.matrices @ self.centers[..., None])[..., 0]
        self.warps = np.concatenate([self.matrices, shift[..., None]], axis=-1)

    def _extents(self) -> tuple[Floats, Floats, Floats]:
        """Where the ink of each glyph ends, from its middle, and the width of each text."""
        points = self.hulls @ self.matrices.swapaxes(-1, -2)
        low, high = points.min(axis=2), points.max(axis=2)
        widths = high[..., 0] - low[..., 0]
        last = np.where(self.there, self._lefts(widths) + widths, 0)
        return low, high, last.max(axis=1)

    def _lefts(self, widths: Floats) -> Floats:
        """Left ends of the glyphs, from that of the first."""
        steps = widths[:, :-1] - self.overlaps[:, 1:] * np.minimum(widths[:, :-1], widths[:, 1:])
        return np.concatenate([np.zeros((len(widths), 1)), np.cumsum(steps, axis=1)], axis=1)


def _radius(width: int, height: int) -> int:
    return min(round(DOT * height), (width - 1) // 2)


def _dots(numbers: Floats, width: int, height: int) -> NDArray[np.intp]:
    """Middles of dots that lie wholly inside."""
    radius = _radius(width, height)
    columns = radius + (numbers[..., 0] * (width - 2 * radius)).astype(int)
    rows = radius + (numbers[..., 1] * (height - 2 * radius)).astype(int)
    middles: NDArray[np.intp] = rows * width + columns
    return middles


def _disc(width: int, height: int) -> NDArray[np.intp]:
    """Flat indices of a dot's pixels against that of its middle."""
    radius = _radius(width, height)
    around = np.arange(-radius, radius + 1)
    x, y = (each.ravel() for each in np.meshgrid(around, around))
    inside = x**2 + y**2 <= radius * (radius + 1)
    disc: NDArray[np.intp] = y[inside] * width + x[inside]
    return disc


def _curves(options: CaptchaOptions, numbers: Floats) -> NDArray[np.int32]:
    """Curves from the left part of the picture to the right one."""
    width, height = options.size
    steps = np.arange(options.line_degree + 1)
    x = (steps + between(numbers[..., 0], -0.3, 0.3)) / options.line_degree
    y = between(numbers[..., 1], 0.1, 0.9)
    points = bezier(np.stack([x * width, y * height], axis=-1), SAMPLES)
    return np.rint(points * (1 << SHIFT)).astype(np.int32)


def _dark(ink: str, numbers: Floats) -> NDArray[np.bool_]:
    return numbers < {"dark": 1.1, "light": -1.0, "any": 0.5}[ink]


def _backgrounds(options: CaptchaOptions, dark: NDArray[np.bool_], numbers: Floats) -> NDArray[np.uint8]:
    """Light colours for dark ink and dark ones for light ink, far enough from black or white for the contrast.

    Each channel keeps to that, so that all colours between two such do; one level is left for rounding.
    """
    wanted = options.min_contrast * EXACTLY
    lightest, deepest = np.array(wanted * FLARE - FLARE), np.array((1 + FLARE) / wanted - FLARE)
    least = np.minimum(255, lighter(np.zeros(3), np.minimum(1, lightest)).astype(int) + 1)
    most = np.maximum(0, darker(np.full(3, 255.0), np.maximum(0, deepest)).astype(int) - 1)
    picture = options.background not in BACKGROUNDS  # faded as little as the contrast allows
    light = np.maximum(least, between(numbers, *((130, 170) if picture else (200, 255))))
    deep = np.minimum(most, between(numbers, *((70, 110) if picture else (0, 70))))
    levels: NDArray[np.uint8] = np.rint(np.where(dark[:, None, None], light, deep)).astype(np.uint8)
    return levels


def _inks(
    options: CaptchaOptions, dark: NDArray[np.bool_], backgrounds: NDArray[np.uint8], numbers: Floats
) -> NDArray[np.uint8]:
    """Colours with enough contrast against every colour between the two of their background."""
    mixing = np.linspace(0, 1, 17)[:, None]
    between_them = backgrounds[:, :1] + mixing * (backgrounds[:, 1:].astype(float) - backgrounds[:, :1])
    gradient = options.background == "gradient"
    levels = between_them if gradient else backgrounds[:, :1].astype(float)
    rounding = 0.5 if gradient else 0.0
    wanted = options.min_contrast * EXACTLY
    below = (luminance(levels - rounding).min(axis=1) + FLARE) / wanted - FLARE
    above = (luminance(levels + rounding).max(axis=1) + FLARE) * wanted - FLARE
    if options.colors == "one":
        numbers = np.broadcast_to(numbers[:, -1:], numbers.shape)
    dimmed = darker(numbers * 190, np.maximum(0, below)[:, None])
    bright = lighter(255 - numbers * 190, np.minimum(1, above)[:, None])
    return np.where(dark[:, None, None], dimmed, bright)
