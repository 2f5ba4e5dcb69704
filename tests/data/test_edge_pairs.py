import numpy as np
import pytest
from PIL import Image

from imgtool.data import edge_pairs
from imgtool.data.edge_pairs import EdgePair, find_edge_pairs
from imgtool.errors import DataError


@pytest.fixture
def data(tmp_path):
    """Two pairs, in the layout of BSDS500."""
    for name in ("a", "b"):
        for folder, mode in (("images", "RGB"), ("groundTruth", "L")):
            path = tmp_path / folder / "train" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new(mode, (8, 6)).save(path)
    return tmp_path


def test_pairs_by_name(data):
    pairs = find_edge_pairs(data, "train")
    assert [pair.name for pair in pairs] == ["a", "b"]
    pixels, consensus = pairs[0].read()
    assert (pixels.shape, consensus.shape, consensus.dtype) == ((6, 8, 3), (6, 8), np.uint8)


@pytest.mark.parametrize(("room", "kept"), [(3, ["b", "c", "d"]), (2.9, ["c", "d"]), (0, ["d"])])
def test_memory_holds_the_newest_pairs_that_fit(tmp_path, monkeypatch, room, kept):
    for name in "abcd":
        Image.new("RGB", (8, 6)).save(tmp_path / f"{name}.png")
    pairs = [EdgePair(tmp_path / f"{name}.png", tmp_path / f"{name}.png") for name in "abcd"]
    edge_pairs._kept.clear()
    monkeypatch.setattr(edge_pairs._kept, "room", room * 8 * 6 * 4)
    first = [pair.read()[0] for pair in pairs]
    assert [pair.name for pair in edge_pairs._kept] == kept
    assert pairs[-1].read()[0] is first[-1]


@pytest.mark.parametrize(
    ("missing", "words"),
    [("images/train/a.png", "a.png has no photo"), ("groundTruth/train/b.png", "b.png has no ground truth")],
)
def test_a_file_without_its_partner_is_named(data, missing, words):
    (data / missing).unlink()
    with pytest.raises(DataError, match=words):
        find_edge_pairs(data, "train")


def test_sizes_that_differ_are_named(data):
    Image.new("L", (9, 6)).save(data / "groundTruth/train/b.png")
    with pytest.raises(DataError, match=r"8x6, its ground truth .* is 9x6"):
        find_edge_pairs(data, "train")


def test_a_photo_that_cannot_be_read_is_named(data):
    (data / "images/train/b.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"b\.png"):
        find_edge_pairs(data, "train")


def test_photos_and_truth_may_be_of_any_format(data):
    for folder, suffix in (("images", "avif"), ("groundTruth", "gif")):
        path = data / folder / "train/a.png"
        Image.open(path).save(path.with_suffix(f".{suffix}"))
        path.unlink()
    assert [pair.photo.suffix for pair in find_edge_pairs(data, "train")] == [".avif", ".png"]


def test_two_photos_of_one_name_are_refused(data):
    Image.new("RGB", (8, 6)).save(data / "images/train/a.jpg")
    with pytest.raises(DataError, match="are photos of one name"):
        find_edge_pairs(data, "train")


def test_part_that_is_not_there(data):
    with pytest.raises(DataError, match="no such file"):
        find_edge_pairs(data, "val")
