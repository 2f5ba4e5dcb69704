import io
import json

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imgtool.errors import OutputError
from imgtool.imaging import strips
from imgtool.imaging.io import read_recipe
from imgtool.imaging.labels import palette
from imgtool.imaging.raster_files import open_raster
from imgtool.imaging.strips import Layout, strip_writer
from imgtool.imaging.suffixes import IN_STRIPS

RECIPE = json.dumps({"command": "segment", "name": "größe <&>", "format": 1}, ensure_ascii=False)


def samples_of(height, width, channels=1, dtype=np.uint8, *, most=None, seed=0):
    random = np.random.default_rng(seed)
    found = random.integers(0, most or np.iinfo(dtype).max + 1, (height, width, channels)).astype(dtype)
    return found[..., 0] if channels == 1 else found


def written(format, layout, samples, cuts=(), *, recipe=None, file=None):
    file = io.BytesIO() if file is None else file
    writer = strip_writer(file, format, layout, recipe)
    for rows in np.split(samples, sorted(cuts)):
        if len(rows):
            writer.write(rows)
    writer.close()
    return file


def layout_of(samples, **more):
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    return Layout(*samples.shape[:2], channels, samples.dtype, **more)


def read_back(format, file):
    file.seek(0)
    if format == "npy":
        return np.load(file)
    if format in ("tif", "tiff"):
        return tifffile.imread(file)
    with Image.open(file) as image:
        return np.array(image)


@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    cuts=st.lists(st.integers(0, 30), max_size=5),
    format=st.sampled_from(IN_STRIPS),
    dtype=st.sampled_from([np.uint8, np.uint16]),
)
@settings(deadline=None, max_examples=120)
def test_grey_in_any_split_of_rows(height, width, cuts, format, dtype):
    samples = samples_of(height, width, 1, dtype, seed=height * 31 + width)
    once = written(format, layout_of(samples), samples)
    often = written(format, layout_of(samples), samples, cuts)
    found = read_back(format, often)
    assert found.dtype.kind in "ui"
    assert np.array_equal(found, samples)
    assert once.getvalue() == often.getvalue()


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 4), (40, 3), (2, 90)])
@pytest.mark.parametrize("format", IN_STRIPS)
def test_colour(format, size):
    samples = samples_of(*size, 3)
    assert np.array_equal(read_back(format, written(format, layout_of(samples), samples, (1,))), samples)


@pytest.mark.parametrize("channels", [2, 4])
def test_png_with_alpha(channels):
    samples = samples_of(9, 7, channels)
    assert np.array_equal(read_back("png", written("png", layout_of(samples), samples, (4,))), samples)


def test_png_in_sixteen_bits_and_colour(tmp_path):
    """Which Pillow reads in eight: the bytes are there."""
    samples = samples_of(9, 7, 3, np.uint16)
    file = written("png", layout_of(samples), samples, (4,))
    assert np.array_equal(read_back("png", file), samples >> 8)
    (tmp_path / "a.png").write_bytes(file.getvalue())
    with open_raster(tmp_path / "a.png", max_pixels=1000) as raster:
        assert np.array_equal(raster.whole(), samples)


@pytest.mark.parametrize("format", ["png", "tif"])
@pytest.mark.parametrize("colors", [1, 3, 256])
def test_palette(format, colors):
    samples = samples_of(20, 30, most=colors)
    table = palette(colors)
    file = written(format, layout_of(samples, palette=table), samples, (7, 8))
    file.seek(0)
    with Image.open(file) as image:
        assert image.mode == "P"
        assert np.array_equal(np.array(image), samples)
        assert np.array_equal(np.array(image.convert("RGB")), table[samples])


@pytest.mark.parametrize("format", ["tif", "png"])
def test_pillow_reads_it_alike(format):
    for samples in (samples_of(9, 7), samples_of(9, 7, 3), samples_of(9, 7, 1, np.uint16)):
        file = written(format, layout_of(samples), samples)
        file.seek(0)
        with Image.open(file) as image:
            image.load()
            assert np.array_equal(np.array(image), samples)


def test_numbers_of_32_bits_and_floats():
    labels = samples_of(9, 7, 1, np.uint32)
    for format in ("tif", "npy"):
        assert np.array_equal(read_back(format, written(format, layout_of(labels), labels, (2,))), labels)
    share = np.random.default_rng(0).random((9, 7), np.float32)
    assert np.array_equal(read_back("npy", written("npy", layout_of(share), share, (2,))), share)


def test_samples_of_another_type_and_order_are_converted():
    samples = samples_of(9, 7)
    for given_ in (
        samples.astype(np.int32),
        np.asfortranarray(samples),
        samples.astype(">u2"),
        samples[::-1][::-1],
    ):
        for format in IN_STRIPS:
            file = written(format, layout_of(samples), given_, (3,))
            assert np.array_equal(read_back(format, file), samples)


def test_data_of_a_png_comes_in_chunks_of_a_size(monkeypatch):
    monkeypatch.setattr(strips, "IDAT_BYTES", 100)
    samples = samples_of(40, 40)
    file = written("png", layout_of(samples), samples, range(1, 40))
    assert file.getvalue().count(b"IDAT") > 10
    assert np.array_equal(read_back("png", file), samples)


class Pipe(io.RawIOBase):
    """Cannot seek."""

    def __init__(self):
        self.data = bytearray()

    def writable(self):
        return True

    def write(self, data):
        self.data += data
        return len(data)


def test_png_needs_no_seeking():
    samples = samples_of(20, 20)
    pipe = written("png", layout_of(samples), samples, (5,), file=Pipe())
    assert np.array_equal(read_back("png", io.BytesIO(bytes(pipe.data))), samples)


@pytest.mark.parametrize("format", ["png", "tif", "tiff"])
@pytest.mark.parametrize("colored", [False, True])
def test_recipe_is_read_back(tmp_path, format, colored):
    path = tmp_path / f"a.{format}"
    samples = samples_of(9, 7, most=3)
    with path.open("w+b") as file:
        more = {"palette": palette(3)} if colored else {}
        written(format, layout_of(samples, **more), samples, (3,), recipe=RECIPE, file=file)
    assert read_recipe(path) == json.loads(RECIPE)
    assert np.array_equal(read_back(format, io.BytesIO(path.read_bytes())), samples)


def test_recipe_beside_an_array_is_read_back(tmp_path):
    path = tmp_path / "a.npy"
    samples = samples_of(9, 7)
    with path.open("w+b") as file:
        written("npy", layout_of(samples), samples, recipe=RECIPE, file=file)
    (tmp_path / "a.npy.json").write_text(RECIPE)
    assert read_recipe(path) == json.loads(RECIPE)


def test_recipe_of_a_picture_larger_than_pillow_likes(tmp_path):
    """Nothing is decoded; the file is sparse."""
    path = tmp_path / "a.tif"
    with path.open("w+b") as file:
        writer = strip_writer(file, "tif", Layout(20_000, 20_000), RECIPE)
        writer.close()
        assert file.tell() >= 400_000_000
    assert read_recipe(path) == json.loads(RECIPE)
    with open_raster(path, max_pixels=10**9) as raster:
        assert (raster.height, raster.width) == (20_000, 20_000)
        assert raster.rows(19_999, 20_000).max() == 0


def test_tiff_beyond_four_gigabytes_is_a_big_one(tmp_path):
    path = tmp_path / "a.tif"
    with path.open("w+b") as file:
        writer = strip_writer(file, "tif", Layout(70_000, 70_000), RECIPE)
        writer.write(np.full((1, 70_000), 7, np.uint8))
        writer.close()
    with path.open("rb") as file:
        assert file.read(4) == b"II+\0"
    with open_raster(path, max_pixels=10**10) as raster:
        assert (raster.rows(0, 2) == np.repeat([[7], [0]], 70_000, axis=1)[..., None]).all()
    assert read_recipe(path) == json.loads(RECIPE)


def test_too_large_for_png():
    with pytest.raises(OutputError, match="too large for PNG"):
        strip_writer(io.BytesIO(), "png", Layout(1, 2**31))
