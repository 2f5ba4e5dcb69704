"""Static pages for reports: text, tables, plots and pictures in one HTML file that needs nothing else.

No script, no address outside the page; everything is escaped; light or dark as the reader's system is.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import cycle
from typing import TypeAlias

from imgtool.imaging.axis import Axis, extremes

Points: TypeAlias = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 640, 400  # of a plot, in its own units
LEFT, RIGHT, TOP, BOTTOM = 76, 16, 12, 52  # what a plot leaves for numbers and names
LINE_HEIGHT, LETTER = 20, 7.5  # of a legend: rows, and about the width of a letter
SMALL = 1e-3  # a number in a table below this is written with its exponent
MARGIN = 0.04  # of a plot's range, above and below its curves
COLORS = 8  # as the style sheet has, of curves before they repeat
STYLE = """
:root { color-scheme: light dark; --ink: #262626; --ground: #fff; --faint: #6b6b6b; --line: #ddd;
  --c0: #0072b2; --c1: #d55e00; --c2: #00845f; --c3: #b0588f; --c4: #a87300; --c5: #2f8fc4; --c6: #6e6e6e;
  --c7: #7d5a2e }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --ground: #17181a; --faint: #9a9a9a; --line: #3a3b3e;
  --c0: #56b4e9; --c1: #ff8c42; --c2: #2fc796; --c3: #e09cc4; --c4: #f0c04a; --c5: #8ecbff; --c6: #b4b4b4;
  --c7: #c9a26b } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem }
h1, h2 { line-height: 1.2 } p, h1, h2, td, th, figcaption { overflow-wrap: anywhere }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .9rem .3rem 0; text-align: left; border-bottom: 1px solid var(--line) }
td.number, th.number { text-align: right }
figure { margin: 1rem 0 } figcaption { color: var(--faint); font-size: .875rem }
.pictures { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(16rem, 100%), 1fr)) }
.pictures figure { margin: 0 } .pictures img { width: 100%; height: auto; border: 1px solid var(--line) }
svg { width: 100%; max-width: 40rem; height: auto } svg text { font-size: 13px; fill: var(--ink) }
.grid, .guide { stroke: var(--line); fill: none } svg .guides text { fill: var(--faint); font-size: 11px }
.axis { stroke: var(--ink); fill: none } .curve { fill: none; stroke-width: 2; stroke-linejoin: round }
""" + "\n".join(f".c{index} {{ stroke: var(--c{index}) }}" for index in range(COLORS))


@dataclass(frozen=True)
class Heading:
    """A title within the page."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """A piece of text."""

    text: str


@dataclass(frozen=True)
class Table:
    """Rows under a header; numbers stand to the right, and floats have four digits."""

    header: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True)
class Plot:
    """Curves by name, each a sequence of (x, y).

    Attributes:
        curves: what the legend names; a point that is not finite breaks its curve.
        x_label, y_label: what the axes count.
        log_y: whether heights go by their logarithms; what is not above 0 is left out.
        unit: whether both axes go from 0 to 1.
        marks: single points by name, drawn above the curves.
        guides: faint curves behind them, with their names at their ends.
    """

    curves: Mapping[str, Points]
    x_label: str
    y_label: str
    log_y: bool = False
    unit: bool = False
    marks: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    guides: Mapping[str, Points] = field(default_factory=dict)


@dataclass(frozen=True)
class Pictures:
    """Captions and PNG files, side by side where there is room."""

    captioned: Sequence[tuple[str, bytes]]


Block: TypeAlias = Heading | Paragraph | Table | Plot | Pictures


def html_page(title: str, blocks: Sequence[Block]) -> str:
    """A page with a title and blocks one below the other."""
    body = "\n".join(_block(block) for block in blocks)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def _block(block: Block) -> str:
    match block:
        case Heading(text):
            return f"<h2>{escape(text)}</h2>"
        case Paragraph(text):
            return f"<p>{escape(text)}</p>"
        case Table():
            return _table(block)
        case Plot():
            return _Drawing(block).svg()
        case Pictures(captioned):
            return f'<div class="pictures">{"".join(_figure(*each) for each in captioned)}</div>'


def _figure(caption: str, png: bytes) -> str:
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    text = escape(caption)
    return f'<figure><img src="{source}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def _table(table: Table) -> str:
    """The table; a column of numbers has its title on the right too."""
    numeric = [
        bool(table.rows) and all(isinstance(cell, int | float) for cell in column)
        for column in zip(*table.rows, strict=True)
    ] or [False] * len(table.header)

    def row(tag: str, cells: Sequence[object]) -> str:
        opening = (f'<{tag} class="number">' if right else f"<{tag}>" for right in numeric)
        return "".join(f"{start}{_cell(cell)}</{tag}>" for start, cell in zip(opening, cells, strict=True))

    body = "\n".join(f"<tr>{row('td', cells)}</tr>" for cells in table.rows)
    head = f"<thead><tr>{row('th', table.header)}</tr></thead>"
    return f'<div class="scroll"><table>{head}\n<tbody>\n{body}\n</tbody></table></div>'


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}" if value == 0 or abs(value) >= SMALL else f"{value:.4g}"
    return escape(str(value))


class _Drawing:
    """A plot on its way to SVG."""

    def __init__(self, plot: Plot) -> None:
        self.plot = plot
        self.head, self.legend = self._legend()
        points = [point for curve in plot.curves.values() for point in curve] + list(plot.marks.values())
        points = [point for point in points if self._is_shown(point)]
        xs, ys = [x for x, _ in points], [y for _, y in points]
        self.x = Axis(*self._range(xs, margin=0), LEFT, WIDTH - RIGHT)
        self.y = Axis(
            *self._range(ys, margin=MARGIN, log=plot.log_y), self.head + HEIGHT, self.head, plot.log_y
        )

    def svg(self) -> str:
        """The drawing, with a name for those who do not see it."""
        label = escape(f"{self.plot.y_label} over {self.plot.x_label}")
        parts = [*self._axes(), *self._guides(), *self._curves(), *self._marks(), *self.legend]
        size = f"0 0 {WIDTH} {self.head + HEIGHT + BOTTOM}"
        return f'<svg viewBox="{size}" role="img" aria-label="{label}">\n{chr(10).join(parts)}\n</svg>'

    def _is_shown(self, point: tuple[float, float]) -> bool:
        return all(map(math.isfinite, point)) and not (self.plot.log_y and point[1] <= 0)

    def _range(self, values: list[float], *, margin: float, log: bool = False) -> tuple[float, float]:
        """The ends of an axis, never the same."""
        if self.plot.unit or not values:
            return (0.1 if log else 0.0), 1.0
        low, high = (math.log10(end) if log else end for end in (min(values), max(values)))
        margin = margin * (high - low) or (0.0 if low < high else abs(low) * 0.1 or 0.5)
        return (10 ** (low - margin), 10 ** (high + margin)) if log else (low - margin, high + margin)

    def _legend(self) -> tuple[float, list[str]]:
        """How high it is, and its parts: a stroke and a name for each curve, in rows."""
        parts, left, middle = [], float(LEFT), TOP + LINE_HEIGHT / 2
        for color, name in zip(cycle(range(COLORS)), self.plot.curves, strict=False):
            width = 24 + LETTER * len(name) + 20
            if left + width > WIDTH and left > LEFT:
                left, middle = LEFT, middle + LINE_HEIGHT
            parts.append(f'<path class="curve c{color}" d="M{left:.1f},{middle:.1f}h18"/>')
            parts.append(_text(left + 24, middle, name))
            left += width
        return middle + LINE_HEIGHT, parts

    def _axes(self) -> Iterator[str]:
        """Grid, ticks, numbers and names."""
        x, y = self.x, self.y
        for value in y.ticks():
            yield f'<path class="grid" d="M{x.start},{y.place(value):.1f}H{x.end}"/>'
            yield _text(x.start - 8, y.place(value), f"{value:.4g}", "end")
        for value in x.ticks():
            yield f'<path class="axis" d="M{x.place(value):.1f},{y.start}v5"/>'
            yield _text(x.place(value), y.start + 16, f"{value:.6g}", "middle")
        yield f'<path class="axis" d="M{x.start},{y.end}V{y.start}H{x.end}"/>'
        yield _text((x.start + x.end) / 2, y.start + 38, self.plot.x_label, "middle")
        middle = f"{(y.start + y.end) / 2:.1f}"
        yield f'<g transform="translate(12 {middle}) rotate(-90)">{_text(0, 0, self.plot.y_label, "middle")}</g>'

    def _guides(self) -> Iterator[str]:
        yield '<g class="guides">'
        for name, points in self.plot.guides.items():
            yield self._path(points, "guide")
            end = next((point for point in reversed(points) if self._is_shown(point)), None)
            if end:
                yield _text(self.x.place(end[0]) - 4, self.y.place(end[1]) - 7, name, "end")
        yield "</g>"

    def _curves(self) -> Iterator[str]:
        """The first curve matters most, so it is drawn last."""
        pairs = list(zip(cycle(range(COLORS)), self.plot.curves.values(), strict=False))
        yield from (self._path(points, f"curve c{color}") for color, points in reversed(pairs))

    def _path(self, points: Points, kind: str) -> str:
        words, pen_down = [], False
        for index in extremes([y for _, y in points]):
            x, y = points[index]
            if shown := self._is_shown((x, y)):
                words.append(f"{'L' if pen_down else 'M'}{self.x.place(x):.1f},{self.y.place(y):.1f}")
            pen_down = shown
        return f'<path class="{kind}" d="{"".join(words)}"/>'

    def _marks(self) -> Iterator[str]:
        for name, point in self.plot.marks.items():
            if self._is_shown(point):
                x, y = self.x.place(point[0]), self.y.place(point[1])
                yield f'<circle class="curve c1" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
                left = x > (self.x.start + self.x.end) / 2  # where there is more room for the name
                yield _text(x - 10 if left else x + 10, y - 12, name, "end" if left else "start")


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    """Text whose middle is at the height y."""
    return f'<text x="{x:.1f}" y="{y + 4.5:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
