"""Report pages: what was put in can be read off again, nothing from outside, nothing unescaped."""

import base64
import io
import math
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from imgtool.imaging.axis import POINTS
from imgtool.imaging.report import Heading, Paragraph, Pictures, Plot, Table, html_page

EVIL = '<script>alert("x")</script> & \'"'


class Balanced(HTMLParser):
    """Reads a page, and knows which tags were left open."""

    SINGLE = {"meta", "img", "path", "circle"}  # noqa: RUF012

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.SINGLE:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def drawing(plot):
    """The SVG element of a plot."""
    (svg,) = re.findall(r"<svg.*?</svg>", html_page("t", [plot]), re.DOTALL)
    return ElementTree.fromstring(svg)


def paths(svg, kind):
    return [each.get("d") for each in svg.iter("path") if kind in each.get("class").split()]


def curve(svg, number=0):
    """Points of a curve in the drawing's units; the legend's strokes are left out."""
    (line,) = (path for path in paths(svg, f"c{number}") if "h" not in path)
    return np.array([[float(part) for part in pair.split(",")] for pair in re.findall(r"[ML]([^ML]+)", line)])


def texts(svg):
    return [each.text for each in svg.iter("text")]


def png(color="red"):
    file = io.BytesIO()
    Image.new("RGB", (4, 3), color).save(file, "png")
    return file.getvalue()


EVERYTHING = [
    Heading(EVIL),
    Paragraph(EVIL),
    Table([EVIL, "n"], [[EVIL, 0.123456], ["x", 2]]),
    Plot({EVIL: [(0, 1), (1, 2)]}, EVIL, EVIL, marks={EVIL: (0.5, 1)}, guides={EVIL: [(0, 1), (1, 1)]}),
    Pictures([(EVIL, png())]),
]


def test_everything_is_escaped_and_closed():
    read = Balanced(html_page(EVIL, EVERYTHING))
    assert "script" not in {tag for tag, _ in read.tags}
    assert sum(EVIL in text for text in read.texts) == 12  # all but what attributes hold
    assert next(names["alt"] for tag, names in read.tags if tag == "img") == EVIL


def test_nothing_comes_from_outside():
    read = Balanced(html_page("t", EVERYTHING))
    assert {"link", "script", "iframe", "object"}.isdisjoint(tag for tag, _ in read.tags)
    addresses = [value for _, names in read.tags for key, value in names.items() if key in ("src", "href")]
    assert addresses and all(value.startswith("data:image/png;base64,") for value in addresses)
    assert "url(" not in html_page("t", EVERYTHING) and "@import" not in html_page("t", EVERYTHING)


def test_has_a_dark_side():
    assert "prefers-color-scheme: dark" in html_page("t", [])


def test_pictures_are_the_files_with_their_captions():
    read = Balanced(html_page("t", [Pictures([("one", png("red")), ("two", png("blue"))])]))
    sources = [names["src"] for tag, names in read.tags if tag == "img"]
    assert [base64.b64decode(source.partition(",")[2]) for source in sources] == [png("red"), png("blue")]
    assert {"one", "two"} <= set(read.texts)


def test_numbers_of_a_table_stand_on_the_right():
    page = html_page("t", [Table(["name", "F"], [["a", 0.5], ["b", 0.25]])])
    assert '<td>a</td><td class="number">0.5000</td>' in page
    assert '<th>name</th><th class="number">F</th>' in page
    assert "<tbody>" in html_page("t", [Table(["name", "F"], [])])


@pytest.mark.parametrize(("value", "text"), [(0.0, "0.0000"), (0.5, "0.5000"), (1e-6, "1e-06"), (7, "7")])
def test_numbers_keep_their_digits(value, text):
    assert f'<td class="number">{text}</td>' in html_page("t", [Table(["n"], [[value]])])


def test_a_curve_lies_where_its_numbers_are():
    points = [(0, 0), (0.5, 0.25), (1, 1)]
    svg = drawing(Plot({"square": points}, "x", "y", unit=True))
    xs, ys = curve(svg).T
    assert (xs - xs[0]) / (xs[-1] - xs[0]) == pytest.approx([0, 0.5, 1], abs=1e-3)
    assert (ys - ys[0]) / (ys[-1] - ys[0]) == pytest.approx([0, 0.25, 1], abs=1e-3)
    assert ys[0] > ys[-1]  # upwards on the page
    assert {"x", "y", "square", "0.2", "0.8", "1"} <= set(texts(svg))


def test_equal_steps_of_a_logarithm_are_equally_high():
    svg = drawing(Plot({"loss": [(step, 10.0**-step) for step in range(5)]}, "step", "loss", log_y=True))
    heights = np.diff(curve(svg)[:, 1])
    assert heights == pytest.approx([heights[0]] * 4, abs=0.2) and heights[0] > 10
    assert {"0.01", "0.1", "1"} <= set(texts(svg))


def test_everything_stays_inside():
    random = np.random.default_rng(0)
    walk = list(enumerate(random.normal(size=300).cumsum()))
    names = [f"a curve with a long name, number {index}" for index in range(9)]
    svg = drawing(Plot(dict.fromkeys(names, walk), "x", "y", marks={"end": walk[-1]}))
    _, _, width, height = map(float, svg.get("viewBox").split())
    points = curve(svg, 5)
    assert (points >= 0).all() and (points <= [width, height]).all()
    for each in svg.iter("text"):
        assert 0 <= float(each.get("x")) <= width and 0 <= float(each.get("y")) <= height
    legend = [float(each.get("y")) for each in svg.iter("text") if each.text in names]
    assert len(legend) == 9 and len(set(legend)) > 1 and max(legend) < points[:, 1].min()


def test_marks_and_guides_are_drawn():
    plot = Plot(
        {"a": [(0.2, 0.9), (0.9, 0.2)]},
        "recall",
        "precision",
        unit=True,
        marks={"best": (0.6, 0.5)},
        guides={"F = 0.5": [(0.4, 0.67), (1, 0.33)]},
    )
    svg = drawing(plot)
    (circle,) = svg.iter("circle")
    xs, ys = curve(svg).T
    assert xs[0] < float(circle.get("cx")) < xs[1] and ys[0] < float(circle.get("cy")) < ys[1]
    assert len(paths(svg, "guide")) == 1
    assert {"best", "F = 0.5"} <= set(texts(svg))


def test_what_is_not_finite_breaks_the_curve():
    svg = drawing(Plot({"a": [(0, 1), (1, 2), (2, math.nan), (3, math.inf), (4, 1), (5, 2)]}, "x", "y"))
    (line,) = (path for path in paths(svg, "c0") if "h" not in path)
    assert line.count("M") == 2 and line.count("L") == 2
    assert not re.search("nan|inf", line)


@pytest.mark.parametrize("points", [[], [(1, 5)], [(1, 0), (2, 0)], [(0, math.nan)], [(3, 2), (3, 2)]])
@pytest.mark.parametrize("log_y", [False, True])
def test_draws_what_has_no_extent(points, log_y):
    assert drawing(Plot({"a": points}, "x", "y", log_y=log_y)).tag == "svg"


def test_a_long_curve_keeps_the_page_small():
    values = np.random.default_rng(0).random(100_000)
    svg = drawing(Plot({"a": list(enumerate(values))}, "x", "y"))
    points = curve(svg)
    assert len(points) <= POINTS
    assert np.ptp(points[:, 1]) > 300
