import numpy as np
import pytest

from imgtool.imaging.picture import Picture, laid_on_white, on_white

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_laid_on_white(dtype: type) -> None:
    full = np.iinfo(dtype).max
    pixels = RANDOM.integers(0, full + 1, (9, 9, 3)).astype(dtype)
    alpha = RANDOM.integers(0, full + 1, (9, 9)).astype(dtype)
    weight = alpha[..., None] / full
    expected = pixels * weight + full * (1 - weight)
    np.testing.assert_allclose(laid_on_white(pixels, alpha), expected, atol=0.5001)


def test_on_white_is_of_8_bits() -> None:
    pixels, alpha = np.full((1, 2, 3), 32896, np.uint16), np.array([[0, 65535]], np.uint16)
    assert on_white(Picture(pixels, alpha)).tolist() == [[[255] * 3, [128] * 3]]
    assert on_white(Picture(pixels)).dtype == np.uint8
