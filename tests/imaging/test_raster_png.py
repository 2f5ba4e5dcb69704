"""Large PNGs in strips: the same samples as Pillow decodes, and nothing of a damaged one."""

import io

import numpy as np
import pytest
from PIL import Image

from imgtool.errors import BadImage
from imgtool.imaging import raster_png
from imgtool.imaging.raster_png import stream_png
from imgtool.imaging.strips import png_chunk

MOST = 10**9
PHOTO = np.cumsum(np.random.default_rng(0).integers(-9, 10, (90, 131, 3)), axis=1).astype(np.uint8)


@pytest.fixture(autouse=True)
def small_strips(monkeypatch):
    monkeypatch.setattr(raster_png, "STRIP_BYTES", 2000)


def streamed(path, **more):
    with stream_png(path, "picture", MOST, **{"least": 0, **more}) as raster:
        return raster.whole(), raster.notes


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "I;16"])
@pytest.mark.parametrize("optimize", [False, True])
def test_samples_are_those_of_pillow(tmp_path, mode, optimize):
    image = Image.fromarray(PHOTO)
    if mode == "I;16":
        image = Image.fromarray(PHOTO[..., 0].astype(np.uint16) * 257 + 3)
    elif mode == "LA":
        image = image.convert("L").convert("LA")
    else:
        image = image.convert(mode)
    image.save(tmp_path / "a.png", optimize=optimize)
    samples, notes = streamed(tmp_path / "a.png")
    expected = np.asarray(image.convert("RGB") if mode == "P" else image)
    expected = expected[..., None] if expected.ndim == 2 else expected
    alpha = mode in ("RGBA", "LA")
    assert np.array_equal(samples, expected[..., :-1] if alpha else expected)
    assert notes == (("its transparency is left aside",) if alpha else ())


@pytest.mark.parametrize(
    "write",
    [
        lambda image, file: image.save(file, "PNG", icc_profile=b"profile"),
        lambda image, file: image.convert("L").save(file, "PNG", transparency=3),
        lambda image, file: image.convert("1").save(file, "PNG"),
    ],
)
def test_what_changes_colours_is_left_to_others(tmp_path, write):
    with (tmp_path / "a.png").open("wb") as file:
        write(Image.fromarray(PHOTO), file)
    assert stream_png(tmp_path / "a.png", "picture", MOST, least=0) is None


def test_a_small_one_is_left_to_others(tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    assert stream_png(tmp_path / "a.png", "picture", MOST) is None


def test_damage_is_one_bad_image(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(PHOTO).save(buffer, "PNG")
    data = buffer.getvalue()
    random = np.random.default_rng(0)
    broken = [data[:cut] for cut in random.integers(40, len(data) - 13, 20)]
    for place in random.integers(45, len(data) - 20, 20):
        broken.append(data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :])
    for each in broken:
        (tmp_path / "b.png").write_bytes(each)
        with pytest.raises(BadImage, match="picture: damaged PNG"):
            streamed(tmp_path / "b.png")


def test_a_file_that_ends_between_chunks_is_damaged(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)).save(buffer, "PNG")
    data = buffer.getvalue()
    second = data.index(b"IDAT", data.index(b"IDAT") + 4) - 4
    (tmp_path / "a.png").write_bytes(data[:second])
    with pytest.raises(BadImage, match="damaged PNG"):
        streamed(tmp_path / "a.png")


def test_a_suggested_palette_is_no_palette(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(PHOTO).save(buffer, "PNG")
    data = buffer.getvalue()
    start = data.index(b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(data[:start] + png_chunk(b"PLTE", bytes(range(30))) + data[start:])
    assert np.array_equal(streamed(tmp_path / "a.png")[0], PHOTO)


def test_too_many_pixels_are_refused_by_the_header(tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    with pytest.raises(BadImage, match="limit"):
        stream_png(tmp_path / "a.png", "picture", 90 * 131 - 1, least=0)
