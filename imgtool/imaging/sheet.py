"""Sheets for papers and reports: titled pictures side by side, and how numbers fell along the way."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.Image import Resampling

from imgtool.imaging.axis import Axis, extremes
from imgtool.imaging.picture import Picture, to_8_bits

GROUND, INK, GRID, HAIRLINE = "#ffffff", "#262626", "#e6e6e6", "#c8c8c8"
CHECKS = (255, 218)  # the greys behind transparent pixels
# Okabe & Ito's colours, which colour-blind readers can tell apart.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
SMOOTH = 4  # plots are drawn this many times larger
ROW = 7  # panel heights across; what is wider goes on in a further row
PLOT_ASPECT = 1.4
LEGIBLE = 12  # pixels of the letters of a title, at least
RANGE = (1e-250, 1e250)  # beyond lies what a float cannot hold with a margin


def draw_sheet(
    panels: Sequence[tuple[str, Picture]],
    *,
    curves: Mapping[str, Sequence[float]] | None = None,
    panel_px: int = 512,
    columns: int | None = None,
) -> Picture:
    """Titled pictures side by side at one height, and a plot of curves after them.

    Transparent pixels show a checkerboard. A picture far wider than high is as wide as two panels are high,
    and centred. What does not fit in one row goes on in the next.

    Args:
        panels: titles and pictures, of any sizes.
        curves: values by name, one a step, on a logarithmic scale; what is not above 0 lies on its floor,
            which is then marked 0.
        panel_px: height of a panel in pixels, without its title.
        columns: panels in a row; by default as many as fit.
    Returns:
        The sheet in 8 bits, opaque.
    """
    tiles = [_titled(title, picture, panel_px) for title, picture in panels]
    if curves:
        tiles.append(_Plot(curves, panel_px).drawn())
    if not tiles:
        raise ValueError("nothing to draw")
    gap = panel_px // 16
    if columns:
        rows = [tiles[first : first + columns] for first in range(0, len(tiles), columns)]
    else:
        rows = list(_rows(tiles, gap=gap, widest=ROW * panel_px))
    width = max(sum(tile.width + gap for tile in row) for row in rows) + gap
    height = sum(row[0].height + gap for row in rows) + gap // 2
    sheet = Image.new("RGB", (width, height), GROUND)
    top = gap // 2
    for row in rows:
        left = (width - sum(tile.width + gap for tile in row) + gap) // 2
        for tile in row:
            sheet.paste(tile, (left, top))
            left += tile.width + gap
        top += row[0].height + gap
    return Picture(pixels=np.asarray(sheet))


def _rows(tiles: list[Image.Image], *, gap: int, widest: int) -> Iterator[list[Image.Image]]:
    """Tiles in rows of about the same width."""
    total = sum(tile.width + gap for tile in tiles)
    share = total / math.ceil(total / widest)
    row: list[Image.Image] = []
    for tile in tiles:
        if row and sum(one.width + gap for one in row) + tile.width / 2 > share:
            yield row
            row = []
        row.append(tile)
    yield row


def _font(size: float) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size=max(1.0, size))
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _title_height(panel_px: int) -> int:
    return max(panel_px // 11, round(1.7 * LEGIBLE))


def _title_font(panel_px: int) -> ImageFont.FreeTypeFont:
    return _font(max(LEGIBLE, panel_px / 19))


def _titled(title: str, picture: Picture, panel_px: int) -> Image.Image:
    """A picture at the height of a panel with its title above it."""
    image = _opaque(_scaled(picture, panel_px), square=max(1, panel_px // 32))
    font = _title_font(panel_px)
    title = " ".join(title.split())
    width = max(image.width, min(panel_px // 2, math.ceil(font.getlength(title))))
    while font.getlength(title) > width:
        title = title.removesuffix("…")[:-1] + "…"
    head = _title_height(panel_px)
    tile = Image.new("RGB", (width, head + panel_px), GROUND)
    pen = ImageDraw.Draw(tile)
    pen.text((width / 2, head * 0.68), title, INK, font, anchor="ms")
    left, top = (width - image.width) // 2, head + (panel_px - image.height) // 2
    tile.paste(image, (left, top))
    if min(image.size) > 8:
        pen.rectangle((left, top, left + image.width - 1, top + image.height - 1), outline=HAIRLINE)
    return tile


def _scaled(picture: Picture, panel_px: int) -> Image.Image:
    """The picture at a panel's height, or at its greatest width."""
    image = Image.fromarray(to_8_bits(picture.pixels))
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(to_8_bits(picture.alpha)))
    scale = min(panel_px / image.height, 2 * panel_px / image.width)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    # A picture of a few pixels shows them as squares.
    return image.resize(size, Resampling.NEAREST if scale > 8 else Resampling.LANCZOS, reducing_gap=3.0)


def _opaque(image: Image.Image, *, square: int) -> Image.Image:
    """The picture on a checkerboard."""
    if image.mode == "RGB":
        return image
    rows, columns = np.ogrid[: image.height, : image.width]
    odd = (rows // square + columns // square) % 2 == 1
    ground = Image.fromarray(np.where(odd, *CHECKS[::-1]).astype(np.uint8)).convert("RGB")
    ground.paste(image, mask=image)
    return ground


class _Plot:
    """A panel with curves over steps."""

    def __init__(self, curves: Mapping[str, Sequence[float]], panel_px: int) -> None:
        self.curves = {name: np.asarray(values, dtype=float) for name, values in curves.items()}
        unit = panel_px * SMOOTH
        self.head = _title_height(panel_px) * SMOOTH
        self.image = Image.new("RGB", (round(unit * PLOT_ASPECT), unit + self.head), GROUND)
        self.pen = ImageDraw.Draw(self.image)
        self.font, self.small = _font(unit / 24), _font(unit / 34)
        self.line = max(unit / 200, 1.25 * SMOOTH)
        legend = self._legend(unit)
        self.y = self._y_axis(start=self.image.height - unit / 7, end=legend)
        widest = max((self._label(None, value) for value in self.y.ticks()), default=0.0)
        longest = max(2, *(len(values) for values in self.curves.values()))
        right = self.image.width - max(unit / 40, self.font.getlength(f"{longest}") / 2)
        self.x = Axis(1, longest, widest + unit / 22, right, log=False)

    def drawn(self) -> Image.Image:
        """The panel at its size."""
        self._axes()
        # The first curve matters most, so it is drawn last.
        for color, values in reversed(list(zip(cycle(COLORS), self.curves.values(), strict=False))):
            self._curve(values, color)
        return self.image.reduce(SMOOTH)

    def _y_axis(self, *, start: float, end: float) -> Axis:
        """From a little below the smallest value above 0 to a little above the largest."""
        values = np.concatenate(list(self.curves.values()))
        self.with_zero = bool((values <= 0).any())
        values = values[np.isfinite(values) & (values > 0)]
        low, high = np.clip((values.min(), values.max()), *RANGE) if len(values) else (1.0, 1.0)
        low, high = math.log10(low), math.log10(high)
        margin = max(0.05 * (high - low), 0.02)
        floor = low - margin * (3 if self.with_zero else 1)  # its label is kept off the lowest tick's
        return Axis(10**floor, 10 ** (high + margin), start, end, log=True)

    def _legend(self, unit: int) -> float:
        """Name the curves in lines from the top; where the last one ends."""
        stroke, space, line_height = unit / 16, unit / 20, unit / 17
        left, middle = unit / 8, self.head * 0.55
        for color, name in zip(cycle(COLORS), self.curves, strict=False):
            width = stroke + space / 3 + self.font.getlength(name)
            if left + width > self.image.width and left > unit / 8:
                left, middle = unit / 8, middle + line_height
            self.pen.line((left, middle, left + stroke, middle), color, round(1.4 * self.line))
            self.pen.text((left + stroke + space / 3, middle), name, INK, self.font, anchor="lm")
            left += width + space
        return max(float(self.head), middle + line_height)

    def _label(self, at: tuple[float, float] | None, value: float) -> float:
        """Write a number that ends at a point, with a raised exponent where it is long; its width."""
        text, exponent = f"{value:.6g}", ""
        if value and not 1e-3 <= value < 1e5:
            digits, _, power = f"{value:.5e}".partition("e")
            digits = digits.rstrip("0").rstrip(".")
            text, exponent = "10" if digits == "1" else f"{digits}·10", f"{int(power)}"
        raised = self.small.getlength(exponent)
        if at is not None:
            self.pen.text((at[0] - raised, at[1]), text, INK, self.font, anchor="rm")
            self.pen.text((at[0], at[1] - self.font.size * 0.15), exponent, INK, self.small, anchor="rs")
        return self.font.getlength(text) + raised

    def _axes(self) -> None:
        """Grid, ticks and labels; the grid only across, as it is the height that is read off."""
        x, y, thin = self.x, self.y, round(self.line / 2)
        tick = 3 * self.line
        for value in y.ticks():
            place = y.place(value)
            self.pen.line((x.start, place, x.end, place), GRID, thin)
            self._label((x.start - 2 * tick, place), value)
        if self.with_zero:
            self._label((x.start - 2 * tick, y.start), 0.0)
        self.pen.line((x.start, y.end, x.start, y.start, x.end, y.start), INK, thin)
        for value in sorted({1, *(round(one) for one in x.ticks() if one >= 1)} - {0}):
            place = x.place(value)
            self.pen.line((place, y.start, place, y.start + tick), INK, thin)
            self.pen.text((place, y.start + 2 * tick), f"{value}", INK, self.font, anchor="mt")
        middle = (x.start + x.end) / 2
        self.pen.text((middle, self.image.height - self.line), "step", INK, self.font, anchor="mb")

    def _curve(self, values: np.ndarray, color: str) -> None:
        steps = extremes(values.tolist())
        points = [
            (self.x.place(step + 1), self.y.place(values[step]))
            for step in steps
            if math.isfinite(values[step])
        ]
        if len(points) > 1:
            self.pen.line(points, color, round(self.line), joint="curve")
        elif points:
            self.pen.circle(points[0], 2 * self.line, color)
