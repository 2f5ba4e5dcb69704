import io

import numpy as np
import pytest
from PIL import Image

from imgtool.data.picture_set import fitted, read_picture_set
from imgtool.errors import DataError

RANDOM = np.random.default_rng(0)


def levels(*shape):
    return RANDOM.integers(0, 256, shape, np.uint8)


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "png")
    return file.getvalue()


@pytest.fixture
def folder(tmp_path):
    """Pictures of every kind in two sub-folders, and files that are none."""
    place = tmp_path / "set"
    for name in ("cats", "dogs/deep"):
        (place / name).mkdir(parents=True)
    (place / "cats/a.png").write_bytes(png(levels(20, 30, 3)))
    (place / "cats/b.PNG").write_bytes(png(levels(16, 16)))
    (place / "dogs/deep/c.png").write_bytes(png(levels(40, 10, 4)))
    Image.fromarray(levels(9, 9, 3)).quantize(8).save(place / "dogs/deep/d.png")
    (place / "dogs/deep/e.png").write_bytes(b"no picture")
    (place / "note.txt").write_text("note")
    return place


def test_folder_of_all_kinds(folder):
    found = read_picture_set(folder, size=16)
    assert found.pixels.shape == (4, 16, 16, 3)
    assert found.classes == () and found.labels.tolist() == [0] * 4
    (left_out,) = found.left_out
    assert "e.png" in left_out


def test_classes_are_the_folders(folder):
    found = read_picture_set(folder, size=8, classes=True)
    assert found.classes == ("cats", "dogs") and found.labels.tolist() == [0, 0, 1, 1]


def test_all_grey_is_one_channel(tmp_path):
    for index in range(3):
        (tmp_path / f"{index}.png").write_bytes(png(levels(12, 12)))
    assert read_picture_set(tmp_path, size=8).pixels.shape == (3, 8, 8, 1)


def test_transparency_is_laid_on_white(tmp_path):
    clear = np.zeros((8, 8, 4), np.uint8)
    (tmp_path / "a.png").write_bytes(png(clear))
    assert (read_picture_set(tmp_path, size=8).pixels == 255).all()


@pytest.mark.parametrize("shape", [(10, 30, 3), (30, 10, 3), (8, 8, 1), (1, 1, 3), (100, 7, 1)])
def test_rules(shape):
    pixels = levels(*shape)
    for fit in ("crop", "pad"):
        assert fitted(pixels, 8, fit).shape == (8, 8, shape[2])
    if max(shape[:2]) <= 8:
        padded = fitted(pixels, 8, "pad")
        assert np.count_nonzero(padded) == np.count_nonzero(pixels)


def test_crop_takes_the_middle():
    pixels = np.zeros((8, 24, 1), np.uint8)
    pixels[:, 8:16] = 200
    assert (fitted(pixels, 8, "crop") == 200).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda place: place / "gone", "no such file or folder"),
        (lambda place: place, "holds no pictures"),
        (lambda place: put(place / "a.bin", b"x" * 700), "is no set of pictures"),
    ],
)
def test_what_is_no_set(tmp_path, make, message):
    with pytest.raises(DataError, match=message):
        read_picture_set(make(tmp_path), size=8)


def put(path, data):
    path.write_bytes(data)
    return path


def test_no_classes(tmp_path):
    (tmp_path / "a.png").write_bytes(png(levels(8, 8)))
    with pytest.raises(DataError, match="no sub-folders to be classes"):
        read_picture_set(tmp_path, size=8, classes=True)


def test_nothing_readable(tmp_path):
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"no picture could be read, the first: .*a\.png"):
        read_picture_set(tmp_path, size=8)


def filled(place, *names):
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(png(levels(8, 8)))
    return place


def test_class_is_the_first_folder(tmp_path):
    found = read_picture_set(filled(tmp_path, "a/x/1.png", "b/x/2.png", "b/3.png"), size=8, classes=True)
    assert found.classes == ("a", "b") and found.labels.tolist() == [0, 1, 1]


def test_pictures_beside_classes_are_left_out(tmp_path):
    place = filled(tmp_path, "a/1.png", "b/2.png", "3.png")
    found = read_picture_set(place, size=8, classes=True)
    assert found.classes == ("a", "b") and len(found.pixels) == 2
    assert found.left_out == (f"{tmp_path / '3.png'}: it lies in no class's folder",)
    assert len(read_picture_set(place, size=8).pixels) == 3


def test_class_without_readable_pictures_is_none(tmp_path):
    filled(tmp_path, "a/1.png", "b/2.png", "c/3.png")
    (tmp_path / "b/2.png").write_bytes(b"nothing")
    found = read_picture_set(tmp_path, size=8, classes=True)
    assert found.classes == ("a", "c") and found.labels.tolist() == [0, 1]
    (tmp_path / "c/3.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match="pictures of one class, a, expected two"):
        read_picture_set(tmp_path, size=8, classes=True)


def test_hidden_files_are_no_pictures(tmp_path):
    names = ("1.png", "._1.png", ".cache/2.png", "__MACOSX/3.png")
    assert len(read_picture_set(filled(tmp_path / ".set", *names), size=8).pixels) == 1
