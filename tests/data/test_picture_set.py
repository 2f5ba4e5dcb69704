import gzip
import io
import tarfile
import zipfile

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
    assert found.classes == ("cats", "deep") and found.labels.tolist() == [0, 0, 1, 1]


def test_all_grey_is_one_channel(tmp_path):
    for index in range(3):
        (tmp_path / f"{index}.png").write_bytes(png(levels(12, 12)))
    assert read_picture_set(tmp_path, size=8).pixels.shape == (3, 8, 8, 1)


def archive(folder, kind, path):
    files = [each for each in sorted(folder.rglob("*")) if each.is_file()]
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as opened:
            for each in files:
                opened.write(each, each.relative_to(folder))
    else:
        with tarfile.open(path, "w:gz") as opened:
            for each in files:
                opened.add(each, each.relative_to(folder))
    return path


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_archives_are_as_their_folder(folder, tmp_path, kind):
    packed = archive(folder, kind, tmp_path / f"set.{kind}")
    one, other = (read_picture_set(path, size=8, classes=True) for path in (folder, packed))
    np.testing.assert_array_equal(one.pixels, other.pixels)
    assert one.labels.tolist() == other.labels.tolist() and len(other.left_out) == 1


def idx(array, kind):
    header = kind.to_bytes(4, "big") + b"".join(side.to_bytes(4, "big") for side in array.shape)
    return header + array.tobytes()


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_with_labels_beside_it(tmp_path, zipped):
    images, labels = levels(5, 28, 28), np.array([3, 1, 3, 7, 1], np.uint8)
    write = gzip.compress if zipped else bytes
    end = ".gz" if zipped else ""
    (tmp_path / f"train-images-idx3-ubyte{end}").write_bytes(write(idx(images, 0x803)))
    (tmp_path / f"train-labels-idx1-ubyte{end}").write_bytes(write(idx(labels, 0x801)))
    found = read_picture_set(tmp_path / f"train-images-idx3-ubyte{end}", size=32, fit="pad", classes=True)
    np.testing.assert_array_equal(found.pixels[:, 2:30, 2:30, 0], images)
    assert found.classes == ("1", "3", "7") and found.labels.tolist() == [1, 0, 1, 2, 0]


def test_arrays(tmp_path):
    images = levels(4, 8, 8, 3)
    np.save(tmp_path / "a.npy", images)
    np.savez(tmp_path / "b.npz", x_train=images.astype(np.float32) / 255, y_train=np.array([1, 0, 1, 0]))
    for name in ("a.npy", "b.npz"):
        np.testing.assert_array_equal(read_picture_set(tmp_path / name, size=8).pixels, images)
    assert read_picture_set(tmp_path / "b.npz", size=8, classes=True).labels.tolist() == [1, 0, 1, 0]


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
        (lambda place: put(place / "a.npy", b"x" * 100), "cannot be read"),
        (
            lambda place: put(place / "t-images-idx3-ubyte", b"\0\0\x08\x01" + b"\0" * 20),
            "begins with 00000801",
        ),
        (lambda place: put(place / "t-images-idx3-ubyte", idx(levels(3, 4, 4), 0x803)[:-9]), "has 39 bytes"),
        (lambda place: saved(place / "a.npy", np.zeros((2, 2))), "expected"),
        (lambda place: saved(place / "a.npy", np.full((2, 4, 4), np.nan)), "holds numbers from nan"),
        (lambda place: saved(place / "a.npy", np.array([{}], object)), "cannot be read"),
    ],
)
def test_what_is_no_set(tmp_path, make, message):
    with pytest.raises(DataError, match=message):
        read_picture_set(make(tmp_path), size=8)


def put(path, data):
    path.write_bytes(data)
    return path


def saved(path, array):
    np.save(path, array, allow_pickle=True)
    return path


def test_no_classes(tmp_path):
    (tmp_path / "a.png").write_bytes(png(levels(8, 8)))
    with pytest.raises(DataError, match="no sub-folders to be classes"):
        read_picture_set(tmp_path, size=8, classes=True)
    np.save(tmp_path / "a.npy", levels(3, 8, 8))
    with pytest.raises(DataError, match="has no labels"):
        read_picture_set(tmp_path / "a.npy", size=8, classes=True)


def test_nothing_readable(tmp_path):
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"no picture could be read, the first: .*a\.png"):
        read_picture_set(tmp_path, size=8)
