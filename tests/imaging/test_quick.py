import io

import cv2
import numpy as np
import pytest
from PIL import Image

from imgtool.imaging import quick
from imgtool.imaging.quick import encoded

SHAPES = [(1, 1), (1, 7), (9, 1), (60, 160), (1, 1, 3), (60, 160, 3), (300, 500, 3)]


@pytest.fixture(params=[True, False], ids=["isal", "zlib"])
def either(request, monkeypatch):
    """With the extra, which the tests install, and without it."""
    if request.param:
        assert quick.isal_zlib
    else:
        monkeypatch.setattr(quick, "isal_zlib", None)


def pictures(shape):
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return [noise, np.full(shape, 200, np.uint8), noise // 128]


@pytest.mark.parametrize("shape", SHAPES)
def test_png_holds_the_pixels(either, shape):
    for pixels in pictures(shape):
        data = encoded(pixels, "png")
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            assert image.mode == ("RGB" if len(shape) == 3 else "L")
            np.testing.assert_array_equal(np.array(image), pixels)
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(found[..., ::-1] if len(shape) == 3 else found, pixels)


def test_runs_take_little_room(either):
    assert len(encoded(np.zeros((60, 160), np.uint8), "png")) < 200


@pytest.mark.parametrize(("format", "start"), [("jpg", b"\xff\xd8"), ("webp", b"RIFF")])
def test_lossy_formats(format, start):
    pixels = np.full((40, 60, 3), (250, 120, 10), np.uint8)
    data = encoded(pixels, format, quality=95)
    assert data.startswith(start)
    with Image.open(io.BytesIO(data)) as image:
        assert np.abs(np.array(image.convert("RGB")).astype(int) - pixels).max() < 12
    noise = pictures((40, 60, 3))[0]
    assert len(encoded(noise, format, quality=20)) < len(encoded(noise, format, quality=90))
