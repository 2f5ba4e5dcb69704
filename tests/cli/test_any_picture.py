"""Pictures of any small size and mode, with any options: results of the same size, and finite numbers."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from imgtool.options.edges import EDGE_KINDS
from imgtool.options.segment import SEGMENT_KINDS

MODES = ("L", "LA", "RGB", "RGBA", "P", "1", "I;16", "F", "CMYK")
FORMATS = {"F": "tif", "CMYK": "tif"}  # that a mode fits in; others in PNG
QUICK = ("--threads", "1", "--precision", "fp32", "--force", "--json")
SHARED = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}
few = settings(max_examples=8, derandomize=True, database=None, **SHARED)
many = settings(max_examples=40, **SHARED)


@st.composite
def pictures(draw):
    """A file with a picture in it, in the current folder, and its size."""
    width, height = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    mode, seed = draw(st.sampled_from(MODES)), draw(st.integers(0, 99))
    random = np.random.default_rng(seed)
    if mode == "F":
        image = Image.fromarray(random.normal(0, 100, (height, width)).astype(np.float32))
    elif mode == "I;16":
        image = Image.fromarray(random.integers(0, 1 << 16, (height, width), np.uint16))
    else:
        colors = random.integers(0, 256, (height, width, 4), np.uint8)
        image = Image.fromarray(colors).convert("LA" if mode == "LA" else "RGBA" if mode == "RGBA" else "RGB")
        image = image if image.mode == mode else image.convert(mode)
    assert image.mode == mode
    path = Path(f"in.{FORMATS.get(mode, 'png')}")
    image.save(path)
    return path, (width, height)


def words(**options):
    """Strategy for the words of options: None for one that is left away, True for a flag."""

    def typed(values):
        return [
            f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}")
            for name, value in values.items()
            if value is not None
        ]

    return st.fixed_dictionaries(options).map(typed)


def maybe(*values):
    return st.sampled_from((None, *values))


@pytest.fixture
def require_same_size(imgtool):
    """Runs a command on a picture, and looks at all that it made."""

    def require(command, picture, options, *, longest=None):
        path, size = picture
        result = imgtool(command, path, "-o", "out/", *options, *QUICK)
        assert result.code == 0, (path, size, options, result.stderr)
        *records, _ = result.records
        for record in records:
            assert all(map(math.isfinite, numbers(record)))
            width, height = record["width"], record["height"]
            assert (width, height) == size if longest is None else max(width, height) == longest
            if record["output"].endswith(".npy"):
                made = np.load(record["output"])
                assert made.shape[:2] == (height, width) and np.isfinite(made).all()
            elif not record["output"].endswith(".svg"):
                with Image.open(record["output"]) as image:
                    image.load()
                    assert image.size == (width, height)

    return require


def numbers(value):
    """All numbers in a record."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from numbers(each)
    elif isinstance(value, int | float):
        yield value


EDGES = words(
    kind=maybe(*EDGE_KINDS, "all"),
    scales=maybe("0.5", "0.5,1,1.5", "0.05", "3"),
    thin=maybe(True),
    bits=maybe("16"),
    invert=maybe(True),
    tile=maybe(16, 33),
    overlay=maybe(True),
    svg=maybe(True),
    sheet=maybe(True),
    format=maybe("tif", "webp", "ppm", "bmp", "gif", "jpg", "avif"),
)
SEGMENT = words(
    kind=maybe(*SEGMENT_KINDS, "all"),
    threshold=maybe(0, 0.3, 1),
    min_area=maybe(0, 5),
    tta=maybe(True),
    bits=maybe("16"),
    sheet=maybe(True),
    tile=maybe(16, 33),
    format=maybe("tif", "npy"),
)
PAINT = words(
    strength=maybe(0, 0.5),
    blend=maybe("waves", "night=0.3,waves=0.7"),
    preserve_color=maybe(True),
    sheet=maybe(True),
    format=maybe("tif", "webp", "bmp", "gif", "jpg", "avif"),
)
STYLIZE = words(
    init=maybe("noise", "style"),
    preserve_color=maybe(True),
    style_scale=maybe(0.5, 2),
    pool=maybe("average", "max"),
    tv_weight=maybe(0, 1),
    optimizer=maybe("adam"),
    scales=maybe(1, 2, 3),
    sheet=maybe(True),
    format=maybe("tif", "webp", "jpg"),
)


def twice(test, **drawn):
    """A test with few examples, always the same, and one with many, marked."""
    return few(given(**drawn)(test)), pytest.mark.hostile(many(given(**drawn)(test)))


def edges(require_same_size, narrow, picture, options):
    require_same_size("edges", picture, [*options, f"--weights={narrow}/edges.safetensors"])


def segment(require_same_size, narrow, picture, options, channels):
    require_same_size("segment", picture, [*options, f"--weights={narrow}/segment{channels}.safetensors"])


def paint(require_same_size, narrow, picture, options):
    require_same_size("stylize", picture, [*options, f"--weights={narrow}/paint.safetensors"])


def stylize(require_same_size, random_vgg19, picture, options, size):
    Image.new("RGB", (size, 7), "red").save("style.png")
    quick = ("--steps=1", "--content-layers=conv2_1", "--style-layers=conv1_1,conv2_1", "--style=style.png")
    words = [*options, *quick, f"--size={size}", f"--weights={random_vgg19}"]
    require_same_size("stylize", picture, words, longest=size)


test_edges, test_edges_much = twice(edges, picture=pictures(), options=EDGES)
test_segment, test_segment_much = twice(
    segment, picture=pictures(), options=SEGMENT, channels=st.sampled_from(("", "3"))
)
test_paint, test_paint_much = twice(paint, picture=pictures(), options=PAINT)
test_stylize, test_stylize_much = twice(stylize, picture=pictures(), options=STYLIZE, size=st.integers(1, 40))
