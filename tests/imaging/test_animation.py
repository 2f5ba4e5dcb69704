import numpy as np
import pytest
from PIL import Image

from imgtool.errors import OutputError
from imgtool.imaging.animation import write_animation
from imgtool.imaging.io import read_recipe


@pytest.fixture
def frames():
    return [np.full((6, 9, 3), 40 * index, np.uint8) for index in range(5)]


@pytest.mark.parametrize("name", ["walk.gif", "walk.webp"])
def test_frames_come_back(tmp_path, frames, name):
    write_animation(tmp_path / name, frames, seconds=0.05, recipe={"imgtool": "1"})
    with Image.open(tmp_path / name) as image:
        assert (image.n_frames, image.size, image.info.get("loop")) == (5, (9, 6), 0)
        for index, frame in enumerate(frames):
            image.seek(index)
            assert np.abs(np.asarray(image.convert("RGB")).astype(int) - frame).max() <= 1


def test_webp_has_its_recipe(tmp_path, frames):
    write_animation(tmp_path / "walk.webp", frames, seconds=0.05, recipe={"imgtool": "1", "options": {}})
    assert read_recipe(tmp_path / "walk.webp")["imgtool"] == "1"


def test_too_large_leaves_nothing(tmp_path):
    frames = [np.zeros((1, 16_384, 3), np.uint8)] * 2
    with pytest.raises(OutputError, match="WEBP"):
        write_animation(tmp_path / "walk.webp", frames, seconds=0.05)
    assert list(tmp_path.iterdir()) == []
