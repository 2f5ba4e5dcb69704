import gzip
import re
import zipfile

import numpy as np
import pytest

from imgtool.data.picture_set import read_picture_set
from imgtool.errors import DataError

RANDOM = np.random.default_rng(0)
LEVELS = RANDOM.integers(0, 256, (6, 8, 8, 3), np.uint8)


def read(tmp_path, classes=False, **arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    return read_picture_set(tmp_path / "a.npz", size=8, classes=classes)


def put(path, data):
    path.write_bytes(data)
    return path


def saved(path, array):
    np.save(path, array, allow_pickle=True)
    return path


def idx(array, kind):
    header = kind.to_bytes(4, "big") + b"".join(side.to_bytes(4, "big") for side in array.shape)
    return header + array.tobytes()


@pytest.mark.parametrize("mark", ["-", "."])
@pytest.mark.parametrize("zipped", [False, True])
def test_idx_with_labels_beside_it(tmp_path, zipped, mark):
    images, labels = RANDOM.integers(0, 256, (5, 28, 28), np.uint8), np.array([3, 1, 3, 7, 1], np.uint8)
    write = gzip.compress if zipped else bytes
    end = ".gz" if zipped else ""
    (tmp_path / f"train-images{mark}idx3-ubyte{end}").write_bytes(write(idx(images, 0x803)))
    (tmp_path / f"train-labels{mark}idx1-ubyte{end}").write_bytes(write(idx(labels, 0x801)))
    found = read_picture_set(
        tmp_path / f"train-images{mark}idx3-ubyte{end}", size=32, fit="pad", classes=True
    )
    np.testing.assert_array_equal(found.pixels[:, 2:30, 2:30, 0], images)
    assert found.classes == ("1", "3", "7") and found.labels.tolist() == [1, 0, 1, 2, 0]


def test_arrays_alone(tmp_path):
    for order in ("C", "F"):
        path = saved(tmp_path / "a.npy", np.asarray(LEVELS, order=order)).rename(tmp_path / "A.NPY")
        np.testing.assert_array_equal(read_picture_set(path, size=8).pixels, LEVELS)


@pytest.mark.parametrize(
    "images",
    [
        LEVELS,
        LEVELS.astype(np.int64),
        LEVELS.astype(">i2"),
        LEVELS.astype(np.uint16) * 257,
        (LEVELS.astype(np.uint16) * 257).astype(">u2"),
        LEVELS.astype(np.float32) / 255,
        LEVELS.astype(np.float64) / 255,
        (LEVELS / 255).astype(np.float16),
        LEVELS.transpose(0, 3, 1, 2),
        np.concatenate([LEVELS, np.full((6, 8, 8, 1), 255, np.uint8)], axis=3),
        np.concatenate([LEVELS / 255, np.ones((6, 8, 8, 1))], axis=3),
    ],
)
def test_types_and_shapes_tell_the_same_pictures(tmp_path, images):
    np.testing.assert_array_equal(read(tmp_path, x_train=images).pixels, LEVELS)


@pytest.mark.parametrize("shape", [(5, 8, 8), (5, 8, 8, 1), (5, 1, 8, 8)])
def test_grey(tmp_path, shape):
    levels = RANDOM.integers(0, 256, shape, np.uint8)
    np.testing.assert_array_equal(read(tmp_path, x=levels).pixels, levels.reshape(5, 8, 8, 1))


def test_type_alone_tells_the_range(tmp_path):
    ones = np.tile(np.array([0, 1]), (4, 8, 4))
    for dtype, white in ((bool, 255), (np.uint8, 1), (np.int64, 1), (np.float32, 255)):
        assert read(tmp_path, x=ones.astype(dtype)).pixels.max() == white


def test_alpha_is_laid_on_white(tmp_path):
    clear = np.zeros((2, 8, 8, 4), np.uint8)
    clear[1, ..., 3] = 255
    assert read(tmp_path, x=clear).pixels[:, 0, 0, 0].tolist() == [255, 0]
    assert read(tmp_path, x=clear[..., 2:]).pixels[:, 0, 0, 0].tolist() == [255, 0]
    half = np.full((1, 8, 8, 2), 32768, np.uint16)
    assert abs(int(read(tmp_path, x=half).pixels[0, 0, 0, 0]) - 191) <= 1


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.array([10, 2, 2, 10, 3, 2]), ("2", "3", "10")),
        (np.array([[10], [2], [2], [10], [3], [2]], np.uint8), ("2", "3", "10")),
        (np.array([10.0, 2, 2, 10, 3, 2]), ("2", "3", "10")),
        (np.eye(9, dtype=np.float32)[[8, 0, 0, 8, 5, 0]], ("0", "5", "8")),
        (np.array(["c", "ä", "ä", "c", "b", "ä"]), ("b", "c", "ä")),
        (np.array([each.encode() for each in "ceecde"]), ("c", "d", "e")),
    ],
)
def test_labels(tmp_path, labels, classes):
    found = read(tmp_path, classes=True, x=LEVELS, y=labels)
    assert found.classes == classes
    same = [found.labels.tolist()[index] for index in (0, 1, 4)]
    assert found.labels.tolist() == [same[index] for index in (0, 1, 1, 0, 2, 1)] and len(set(same)) == 3


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((6, 2)), "labels (6, 2) of type float64, expected"),
        (np.zeros((6, 2, 1), np.uint8), "expected whole numbers or names"),
        (np.arange(6) / 2, "expected whole numbers or names"),
        (np.array([0, 1, 0, 1, 0, np.nan]), "expected whole numbers or names"),
        (np.zeros(6, "M8[s]"), "expected whole numbers or names"),
        (np.arange(5), "5 labels for 6 pictures"),
        (np.array(3), "expected whole numbers or names"),
        (np.full(6, 3), "one class, 3, expected two"),
    ],
)
def test_labels_that_are_no_classes(tmp_path, labels, message):
    with pytest.raises(DataError, match=re.escape(message)):
        read(tmp_path, classes=True, x=LEVELS, y=labels)
    assert len(read(tmp_path, x=LEVELS, y=labels).pixels) == 6  # nobody asked


def test_no_labels(tmp_path):
    with pytest.raises(DataError, match="has no labels"):
        read(tmp_path, classes=True, x=LEVELS)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 2)), "expected (N, H, W)"),
        (np.zeros((4, 0, 8, 3), np.uint8), "holds an array of (4, 0, 8, 3)"),
        (np.zeros((0, 8, 8), np.uint8), "holds an array of (0, 8, 8)"),
        (np.zeros((4, 8, 8, 5), np.uint8), "C from 1 to 4"),
        (np.full((2, 4, 4), np.nan), "holds floats from nan"),
        (np.full((2, 4, 4), np.inf), "holds floats from inf"),
        (LEVELS.astype(np.float32), "holds floats from 0 to 255, expected 0 to 1"),
        (LEVELS / 127.5 - 1, "holds floats from -1 to 1, expected 0 to 1"),
        (LEVELS.astype(np.int16) - 1, "holds int16 from -1 to 254, expected 0 to 255"),
        (LEVELS.astype(np.uint32) + 1, "holds uint32 from 1 to 256, expected 0 to 255"),
        (LEVELS.astype(np.uint16), "holds uint16 up to 255, white is 65535"),
        (LEVELS.astype(np.complex64), "holds complex64, expected"),
        (np.full((2, 4, 4), "a"), "holds <U1, expected"),
        (np.zeros((2, 4, 4), "M8[s]"), "holds datetime64[s], expected"),
        (np.array([{}], object), "cannot be read"),
    ],
)
def test_arrays_that_are_no_pictures(tmp_path, images, message):
    with pytest.raises(DataError, match=re.escape(message)):
        read_picture_set(saved(tmp_path / "a.npy", images), size=8)


def zip_of(path, **members):
    with zipfile.ZipFile(path, "w") as zipped:
        for name, data in members.items():
            zipped.writestr(name, data)
    return path


HEADER = b"\x93NUMPY\x01\x00v\x00"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda place: put(place / "a.npy", b"x" * 100), "cannot be read"),
        (lambda place: put(place / "a.npy", HEADER + b"{'descr': ('|u1', (" + b" " * 200), "cannot be read"),
        (
            lambda place: put(place / "a.npy", saved(place / "a.npy", LEVELS).read_bytes()[:-9]),
            "cannot be read",
        ),
        (lambda place: zip_of(place / "a.npz"), "holds no arrays"),
        (lambda place: zip_of(place / "a.npz", x="no array"), "x in it is no array"),
        (
            lambda place: put(place / "t-images-idx3-ubyte", b"\0\0\x08\x01" + b"\0" * 20),
            "begins with 00000801",
        ),
        (
            lambda place: put(place / "t-images-idx3-ubyte", idx(LEVELS[:3, ..., 0], 0x803)[:-9]),
            "has 183 bytes",
        ),
        (lambda place: put(place / "t-images-idx3-ubyte", b"\0\0\x08\x03" + b"\xff" * 12), "has 0 bytes"),
        (
            lambda place: put(place / "t-images-idx3.gz", gzip.compress(idx(LEVELS[..., 0], 0x803))[:-90]),
            "cannot be read",
        ),
    ],
)
def test_damaged_files(tmp_path, make, message):
    with pytest.raises(DataError, match=message) as caught:
        read_picture_set(make(tmp_path), size=8)
    assert "\n" not in caught.value.message


def test_array_larger_than_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("imgtool.data.picture_arrays.LARGEST", 1 << 10)
    with pytest.raises(DataError, match=r"x takes .* more than"):
        read(tmp_path, x=LEVELS)
