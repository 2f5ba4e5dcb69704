import random
import struct
from functools import partial

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imgtool.errors import BadImage
from imgtool.imaging import raster_files
from imgtool.imaging.picture import LUMA
from imgtool.imaging.raster import raster_of
from imgtool.imaging.raster_files import open_raster
from imgtool.imaging.raster_png import stream_png

MOST = 10**7


def samples_of(height, width, channels=1, dtype=np.uint8, *, seed=0):
    found = np.random.default_rng(seed).integers(0, 250, (height, width, channels))
    return found.astype(dtype)


def whole(path, **options):
    with open_raster(path, **{"max_pixels": MOST, **options}) as raster:
        assert raster.whole().shape == (raster.height, raster.width, raster.channels)
        return raster.whole()


def require_rows(path, expected):
    """Whole, and in any split of rows."""
    with open_raster(path, max_pixels=MOST) as raster:
        assert (raster.height, raster.width, raster.channels) == expected.shape
        for begin, end in ((0, 1), (3, 8), (1, raster.height), (raster.height - 1, raster.height), (0, 2)):
            assert np.array_equal(raster.rows(begin, end), expected[begin:end]), (begin, end)
        assert np.array_equal(np.concatenate(list(raster.strips())), expected)


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", ">f4", "<f8", "i4", "?", "<f2"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("channels", [0, 1, 5])
def test_arrays(tmp_path, dtype, order, channels, monkeypatch):
    monkeypatch.setattr("imgtool.imaging.raster.STRIP_BYTES", 200)
    samples = samples_of(11, 7, max(1, channels), np.dtype(dtype))
    given = samples if channels else samples[..., 0]
    np.save(tmp_path / "a.npy", np.asarray(given, order=order))
    require_rows(tmp_path / "a.npy", samples)


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_versions_of_arrays(tmp_path, version):
    samples = samples_of(9, 5)
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, samples, version=version)
    assert (whole(tmp_path / "a.npy") == samples).all()


def test_array_by_its_contents_not_its_name(tmp_path):
    np.save(tmp_path / "a.npy", samples_of(9, 5))
    (tmp_path / "a.npy").rename(tmp_path / "a.png")
    assert whole(tmp_path / "a.png").shape == (9, 5, 1)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (np.zeros((3, 4, 5, 6)), "expected"),
        (np.zeros(7), "expected"),
        (np.zeros((0, 5)), "expected"),
        (np.zeros((4, 4, 65)), "expected"),
        (np.array([[1, "a"], [None, 2]], dtype=object), "type object"),
        (np.zeros((3, 4), np.complex64), "type complex64"),
        (np.array([["a", "b"]]), "type <U1"),
        (np.zeros((3, 4), [("x", "u1")]), "expected numbers"),
        (np.zeros((3, 4), "M8[s]"), "expected numbers"),
    ],
)
def test_arrays_that_hold_no_samples(tmp_path, made, words):
    np.save(tmp_path / "a.npy", made, allow_pickle=True)
    with pytest.raises(BadImage, match=words):
        open_raster(tmp_path / "a.npy", max_pixels=MOST)


def test_an_array_that_would_be_unpickled_is_not(tmp_path):
    class Evil:
        def __reduce__(self):
            return (exit, (3,))

    np.save(tmp_path / "a.npy", np.array([[Evil()]], dtype=object), allow_pickle=True)
    with pytest.raises(BadImage, match="type object"):
        open_raster(tmp_path / "a.npy", max_pixels=MOST)


@pytest.mark.parametrize("order", ["C", "F"])
def test_truncated_arrays(tmp_path, order):
    np.save(tmp_path / "a.npy", np.asarray(samples_of(30, 20)[..., 0], order=order))
    data = (tmp_path / "a.npy").read_bytes()
    for size in (len(data) - 1, len(data) - 300, 128, 40, 9, 7):
        (tmp_path / "a.npy").write_bytes(data[:size])
        with pytest.raises(BadImage, match=r"a\.npy"):
            open_raster(tmp_path / "a.npy", max_pixels=MOST)


def test_array_cut_short_while_it_is_read(tmp_path):
    np.save(tmp_path / "a.npy", samples_of(300, 200))
    with open_raster(tmp_path / "a.npy", max_pixels=MOST) as raster:
        with (tmp_path / "a.npy").open("r+b") as file:
            file.truncate(1000)
        with pytest.raises(BadImage, match="truncated"):
            raster.rows(290, 300)


def header(text, version=1):
    data = text.encode("latin1") + b"\n"
    size = struct.pack("<H", len(data)) if version == 1 else struct.pack("<I", len(data))
    return b"\x93NUMPY" + bytes([version, 0]) + size + data + bytes(64)


@pytest.mark.parametrize(
    "text",
    [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 4)}",
        "{'descr': '|u1', 'fortran_order': True, 'shape': (-4, -4)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (4, 4, -1)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (4, 'a')}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': 4}",
        "{'descr': ('|u1', (3,)), 'fortran_order': False, 'shape': (4, 4)}",
        "{'descr': [('x', '|u1', (1, -4))], 'fortran_order': False, 'shape': (4, 4)}",
        "{'descr': '|V0', 'fortran_order': False, 'shape': (4, 4)}",
        "{[]: 1}",
        "(" * 500,
        "{'descr': '|u1'}",
        "__import__('os').abort()",
        "",
    ],
)
def test_hostile_headers_of_arrays(tmp_path, text):
    (tmp_path / "a.npy").write_bytes(header(text))
    with pytest.raises(BadImage, match=r"a\.npy"):
        open_raster(tmp_path / "a.npy", max_pixels=MOST)


def test_unknown_versions_and_huge_headers(tmp_path):
    for data in (
        header("{}").replace(b"\x01\0", b"\x09\0", 1),
        b"\x93NUMPY\x02\0" + struct.pack("<I", 2**31),
    ):
        (tmp_path / "a.npy").write_bytes(data)
        with pytest.raises(BadImage):
            open_raster(tmp_path / "a.npy", max_pixels=MOST)


@given(place=st.integers(0, 127), value=st.integers(0, 255))
@settings(deadline=None, max_examples=150)
def test_any_byte_of_a_header_may_be_wrong(tmp_path_factory, place, value):
    path = tmp_path_factory.getbasetemp() / "spoilt.npy"
    np.save(path, np.zeros((6, 5), "<u2"))
    data = bytearray(path.read_bytes())
    data[place] = value
    path.write_bytes(data)
    try:
        with open_raster(path, max_pixels=MOST) as raster:
            raster.whole()
    except BadImage:
        pass


def test_too_many_pixels_are_refused_by_the_header(tmp_path):
    (tmp_path / "a.npy").write_bytes(
        header("{'descr': '|u1', 'fortran_order': True, 'shape': (1000000000, 1000000000)}")
    )
    Image.new("L", (30, 40)).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((40, 30), np.uint16), compression="zlib")
    for name in ("a.npy", "a.png", "a.tif"):
        with pytest.raises(BadImage, match="the limit is 1000 pixels") as raised:
            open_raster(tmp_path / name, max_pixels=1000)
        assert raised.value.hint.startswith("--max-pixels")
    assert whole(tmp_path / "a.tif", max_pixels=1200).shape == (40, 30, 1)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "f4", "f8"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"rowsperstrip": 3},
        {"compression": "zlib", "rowsperstrip": 4},
        {"compression": "zlib", "predictor": 2, "rowsperstrip": 5},
        {"tile": (16, 16)},
        {"tile": (16, 32), "compression": "zlib"},
        {"bigtiff": True, "compression": "zlib"},
        {"bigtiff": True},
    ],
    ids=str,
)
def test_tiff(tmp_path, dtype, byteorder, how):
    if "predictor" in how and dtype[0] == "f":
        how = {**how, "predictor": False}
    samples = samples_of(37, 21, 1, np.dtype(dtype))
    tifffile.imwrite(tmp_path / "a.tif", samples[..., 0], byteorder=byteorder, **how)
    require_rows(tmp_path / "a.tif", samples)


@pytest.mark.parametrize("how", [{}, {"compression": "zlib", "rowsperstrip": 4}, {"tile": (16, 16)}], ids=str)
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_tiff_in_colour(tmp_path, how, dtype):
    samples = samples_of(37, 21, 3, np.dtype(dtype))
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb", **how)
    require_rows(tmp_path / "a.tif", samples)


@pytest.mark.parametrize("how", [{}, {"compression": "zlib"}, {"tile": (16, 16)}], ids=str)
@pytest.mark.parametrize("channels", [3, 5])
def test_tiff_in_planes(tmp_path, how, channels):
    samples = samples_of(37, 21, channels, np.uint16)
    photometric = "rgb" if channels == 3 else "minisblack"
    extra = {} if channels == 3 else {"extrasamples": (0,) * (channels - 1)}
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.moveaxis(samples, -1, 0),
        photometric=photometric,
        planarconfig="separate",
        metadata=None,
        **how,
        **extra,
    )
    assert np.array_equal(whole(tmp_path / "a.tif"), samples)


def test_tiff_whose_channels_are_pages(tmp_path):
    samples = samples_of(20, 30, 5, np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif", np.moveaxis(samples, -1, 0), metadata={"axes": "CYX"}, photometric="minisblack"
    )
    with open_raster(tmp_path / "a.tif", max_pixels=MOST) as raster:
        assert np.array_equal(raster.whole(), samples)
        assert raster.notes == ()


@pytest.mark.parametrize("how", [{}, {"compression": "zlib"}], ids=str)
def test_first_of_several_pages_with_a_note(tmp_path, how):
    samples = samples_of(20, 30, 4, np.uint16)
    pages = np.moveaxis(samples, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack", **how)
    with tifffile.TiffWriter(tmp_path / "b.tif") as tiff:
        for page in pages:
            tiff.write(page, photometric="minisblack", metadata=None, contiguous=False, **how)
    for name in ("a.tif", "b.tif"):
        with open_raster(tmp_path / name, max_pixels=MOST) as raster:
            assert np.array_equal(raster.whole(), samples[..., :1]), name
            assert raster.notes == ("only the first of 4 pages is read",), name


def test_tiff_that_is_turned_is_upright(tmp_path):
    """Pillow turns pictures by their tag; whoever reads them, they stand alike."""
    pixels = samples_of(20, 30)[..., 0]
    for compression in (None, "zlib"):
        tifffile.imwrite(
            tmp_path / "a.tif", pixels, compression=compression, extratags=[(274, "H", 1, 6, True)]
        )
        assert np.array_equal(whole(tmp_path / "a.tif")[..., 0], np.rot90(pixels, -1))


def test_tiff_with_a_palette_is_its_colours(tmp_path):
    image = Image.fromarray((samples_of(20, 30)[..., 0] % 3).astype(np.uint8)).convert("P")
    image.putpalette([9, 8, 7, 200, 0, 0, 0, 0, 255])
    image.save(tmp_path / "a.tif")
    assert np.array_equal(whole(tmp_path / "a.tif"), np.array(image.convert("RGB")))


def test_tiff_with_alpha(tmp_path):
    samples = samples_of(20, 30, 4)
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb", extrasamples=["unassalpha"])
    with open_raster(tmp_path / "a.tif", max_pixels=MOST) as raster:
        assert np.array_equal(raster.whole(), samples[..., :3])
        assert raster.notes == ("its transparency is left aside",)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_damaged_tiff_is_one_bad_image(tmp_path, compression):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, samples_of(60, 50, 1, np.uint16)[..., 0], compression=compression, rowsperstrip=10)
    with tifffile.TiffFile(path) as tiff:
        places = tiff.pages[0].dataoffsets
    data = path.read_bytes()
    spoilt = data[: places[2]] + b"\xff" * 20 + data[places[2] + 20 :]
    for number, bytes_ in enumerate((spoilt, data[: places[3] + 9], data[:20], data[:9])):
        path.write_bytes(bytes_)
        if number == 0 and compression is None:
            continue  # any samples are samples
        with pytest.raises(BadImage, match=r"a\.tif") as raised, open_raster(path, max_pixels=MOST) as raster:
            raster.whole()
        assert "\n" not in raised.value.message


@given(data=st.data())
@settings(deadline=None, max_examples=80)
def test_any_byte_of_a_tiff_may_be_wrong(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "spoilt.tif"
    compression = data.draw(st.sampled_from([None, "zlib"]))
    tifffile.imwrite(path, samples_of(12, 10)[..., 0], compression=compression, rowsperstrip=4)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        with open_raster(path, max_pixels=MOST) as raster:
            raster.whole()
    except BadImage:
        pass


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp"])
def test_pictures_in_grey_and_colour(tmp_path, suffix):
    gray = samples_of(14, 9)
    color = samples_of(14, 9, 3)
    options = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(gray[..., 0]).save(tmp_path / f"g.{suffix}", **options)
    Image.fromarray(color).save(tmp_path / f"c.{suffix}", **options)
    require_rows(tmp_path / f"g.{suffix}", gray)
    require_rows(tmp_path / f"c.{suffix}", color)


def test_sixteen_bits_of_a_png(tmp_path):
    gray = samples_of(14, 9, 1, np.uint16) * 201
    Image.fromarray(gray[..., 0]).save(tmp_path / "a.png")
    require_rows(tmp_path / "a.png", gray)


KINDS = {
    "plain.tif": {},
    "rows.tif": {"rowsperstrip": 5},
    "deflated.tif": {"compression": "zlib"},
    "tiles.tif": {"tile": (16, 16)},
    "big.tif": {"bigtiff": True},
    "planes.tif": {"photometric": "rgb", "planarconfig": "separate"},
    "five.tif": {"photometric": "minisblack", "planarconfig": "contig"},
}


def saved(path, name):
    """A file of some kind, of random samples."""
    if name in KINDS:
        samples = samples_of(40, 56, 5 if name == "five.tif" else 3)
        samples = np.moveaxis(samples, -1, 0) if name == "planes.tif" else samples
        tifffile.imwrite(path, samples, **KINDS[name])
    elif name == "a.npy":
        np.save(path, samples_of(40, 56, 3))
    else:
        Image.fromarray(samples_of(40, 56, 3)).save(path)
    return path.read_bytes()


@pytest.mark.parametrize("name", [*KINDS, "a.npy", "a.png", "streamed.png", "a.bmp", "a.ppm", "a.jpg"])
def test_truncated_is_refused_or_complete(tmp_path, name, monkeypatch):
    if name == "streamed.png":
        monkeypatch.setattr(raster_files, "stream_png", partial(stream_png, least=1))
    path = tmp_path / name
    data = saved(path, name)
    expected, chance = whole(path), random.Random(name)
    cuts = [chance.randrange(40), *(chance.randrange(len(data)) for _ in range(12)), len(data) - 1]
    for cut in cuts:
        path.write_bytes(data[:cut])
        try:
            assert np.array_equal(whole(path), expected), cut
        except BadImage as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)


def test_no_picture_at_all(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "b.tif").write_bytes(b"")
    for name, words in (("a.png", "not a picture"), ("b.tif", "empty"), ("gone.tif", "no such file")):
        with pytest.raises(BadImage, match=words):
            open_raster(tmp_path / name, max_pixels=MOST)
    with pytest.raises(BadImage, match="folder"):
        open_raster(tmp_path, max_pixels=MOST)


def test_grey_is_repeated_and_colours_become_luminance():
    gray, color = samples_of(9, 7), samples_of(9, 7, 3)
    assert raster_of(gray).with_channels(1).whole() is not None
    repeated = raster_of(gray).with_channels(4)
    assert (repeated.channels, repeated.dtype) == (4, np.uint8)
    assert (repeated.rows(2, 5) == gray[2:5]).all()
    luma = raster_of(color).with_channels(1)
    expected = (color.astype(np.float64) * LUMA).sum(axis=2, keepdims=True)
    np.testing.assert_allclose(luma.whole(), expected, rtol=1e-6)
    assert luma.whole().dtype == luma.dtype
    for channels in (2, 3, 4):
        with pytest.raises(ValueError, match=f"5 channels, expected {channels}"):
            raster_of(samples_of(9, 7, 5)).with_channels(channels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float64])
def test_luminance_is_the_same_in_any_split_of_rows(dtype):
    luma = raster_of(samples_of(40, 33, 3, dtype)).with_channels(1)
    everything = luma.whole()
    assert everything.dtype == luma.dtype
    for begin, end in ((0, 1), (1, 4), (3, 40), (39, 40)):
        assert np.array_equal(luma.rows(begin, end), everything[begin:end])
    assert np.array_equal(np.concatenate(list(luma.strips())), everything)
