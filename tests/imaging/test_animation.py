import numpy as np
import pytest
from PIL import Image

from imgtool.errors import BadImage, OutputError
from imgtool.imaging.animation import Timing, read_timing, write_animation
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


@pytest.mark.parametrize(("name", "loop"), [("a.gif", 0), ("a.gif", 4), ("a.gif", None), ("a.webp", 5)])
def test_times_and_loops_come_back(tmp_path, frames, name, loop):
    seconds = (0.05, 0.1, 0.2, 0.05, 1.0)
    write_animation(tmp_path / name, frames, seconds=seconds, loop=loop)
    assert read_timing(tmp_path / name) == Timing(seconds, loop)


@pytest.mark.parametrize("name", ["a.webp", "a.gif"])
def test_transparent_frames(tmp_path, frames, name):
    """What moves leaves nothing where it was."""
    alphas = np.zeros((len(frames), 6, 9), np.uint8)
    for number, alpha in enumerate(alphas):
        alpha[:, number : number + 3] = 255
    shown = [np.dstack([frame, alpha]) for frame, alpha in zip(frames, alphas, strict=True)]
    write_animation(tmp_path / name, shown, seconds=0.05)
    with Image.open(tmp_path / name) as image:
        for number, alpha in enumerate(alphas):
            image.seek(number)
            assert np.array_equal(np.asarray(image.convert("RGBA"))[..., 3], alpha)


def test_what_stands_still_does_so_in_a_gif(tmp_path):
    """Of a scene of many colours before which something moves, no pixel of the scene changes."""
    coarse = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    scene = np.asarray(Image.fromarray(coarse).resize((96, 72), Image.Resampling.BICUBIC))
    frames = []
    for number in range(4):
        frames.append(scene.copy())
        frames[-1][:24, 16 * number : 16 * number + 24] = (255, 40 * number, 0)
    notes = write_animation(tmp_path / "a.gif", frames, seconds=0.1)
    assert notes == ("GIF: at most 256 colours, the same in all frames",)
    with Image.open(tmp_path / "a.gif") as image:
        shown = []
        for number in range(4):
            image.seek(number)
            shown.append(np.asarray(image.convert("RGB")).astype(int))
    assert all(np.array_equal(one[24:], shown[0][24:]) for one in shown)
    assert np.abs(np.stack(shown) - np.stack(frames)).mean() < 12


def test_times_of_a_still_picture(tmp_path, frames):
    Image.fromarray(frames[0]).save(tmp_path / "still.png")
    assert read_timing(tmp_path / "still.png").seconds == (0.0,)


@pytest.mark.parametrize("contents", [b"", b"no picture", b"GIF89a" + bytes(40)])
def test_what_is_no_animation(tmp_path, contents):
    (tmp_path / "a.gif").write_bytes(contents)
    with pytest.raises(BadImage):
        read_timing(tmp_path / "a.gif")
