import io

import numpy as np
import pytest
from PIL import Image

from imgtool.imaging.quick import encoded

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def test_png_keeps_every_level_and_the_order_of_colors():
    with Image.open(io.BytesIO(encoded(PIXELS, "png"))) as image:
        np.testing.assert_array_equal(np.array(image), PIXELS)


def test_gray():
    with Image.open(io.BytesIO(encoded(PIXELS[..., 0], "png"))) as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.array(image), PIXELS[..., 0])


@pytest.mark.parametrize("format", ["jpg", "webp"])
def test_quality(format):
    smooth = np.full((64, 64, 3), (200, 60, 20), np.uint8)
    with Image.open(io.BytesIO(encoded(smooth, format))) as image:
        assert np.abs(np.array(image.convert("RGB")).astype(int) - smooth).max() < 12
    assert len(encoded(PIXELS, format, quality=95)) > len(encoded(PIXELS, format, quality=20))
