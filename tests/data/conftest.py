import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def data(tmp_path):
    """Pairs a, b and c of 6x8 pixels whose masks hold 0 and 255."""
    for name in "abc":
        mask = np.zeros((6, 8), np.uint8)
        mask[2:4, 2:5] = 255
        for folder, pixels in (("images", mask // 2), ("masks", mask)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / folder / f"{name}.png")
    return tmp_path
