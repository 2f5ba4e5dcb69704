import numpy as np
import pytest
import tifffile
from PIL import Image

from imgtool.data import mask_pairs
from imgtool.data.mask_pairs import COLOR, check_pairs, find_mask_pairs, read_samples
from imgtool.errors import DataError


def pairs_of(data):
    return find_mask_pairs(data / "images", data / "masks")


def replace_mask(data, name, pixels, *, suffix="png"):
    (data / f"masks/{name}.png").unlink(missing_ok=True)
    path = data / f"masks/{name}.{suffix}"
    if suffix == "npy":
        np.save(path, pixels)
    elif suffix == "tif":
        tifffile.imwrite(path, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack")
    else:
        Image.fromarray(pixels).save(path)


def test_pairs_in_the_order_of_their_names(data):
    pairs = pairs_of(data)
    assert [pair.name for pair in pairs] == ["a", "b", "c"]
    assert (pairs[0].pixels().shape, pairs[0].values().shape) == ((6, 8, 1), (6, 8))
    assert set(np.unique(pairs[0].values())) == {0, 255}


@pytest.mark.parametrize("ending", ["_mask", "_label", "_labels"])
def test_endings_of_masks(data, ending):
    (data / "masks/b.png").rename(data / f"masks/b{ending}.png")
    assert pairs_of(data)[1].mask.name == f"b{ending}.png"


def test_partners_may_be_of_another_kind_of_file(data):
    replace_mask(data, "b", np.eye(6, 8, dtype=np.uint16), suffix="tif")
    replace_mask(data, "c", np.eye(6, 8), suffix="npy")
    replace_mask(data, "a", np.eye(6, 8, dtype=np.uint8), suffix="gif")
    assert [pair.mask.suffix for pair in pairs_of(data)] == [".gif", ".tif", ".npy"]
    assert pairs_of(data)[2].values().sum() == 6
    (data / "masks/.hidden.png").touch()
    (data / "masks/notes.txt").touch()
    assert len(pairs_of(data)) == 3


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        (["masks/a.png"], "a.png has no mask of the same name"),
        (["masks/b.png", "masks/a.png"], r"a.png has no mask .* \(and 1 more\)"),
        (["images/b.png"], "b.png has no image of the same name"),
        (["images/b.png", "images/c.png"], r"b.png has no image .* \(and 1 more\)"),
    ],
)
def test_a_file_without_its_partner_is_named(data, missing, words):
    for name in missing:
        (data / name).unlink()
    with pytest.raises(DataError, match=words):
        pairs_of(data)


def test_two_files_of_one_name_are_refused(data):
    Image.new("L", (8, 6)).save(data / "masks/a.bmp")
    with pytest.raises(DataError, match="are masks of one name"):
        pairs_of(data)


def test_folders_that_are_not_there_or_empty(data):
    with pytest.raises(DataError, match="no such file or directory, expected a folder of images"):
        find_mask_pairs(data / "gone", data / "masks")
    (data / "empty").mkdir()
    with pytest.raises(DataError, match="holds no masks"):
        find_mask_pairs(data / "images", data / "empty")
    with pytest.raises(DataError, match="not a directory"):
        find_mask_pairs(data / "images", data / "masks/a.png")


def test_a_picture_is_not_its_own_mask(data):
    (data / "again").symlink_to(data / "images")
    for masks in ("images", "again", "masks/../images"):
        with pytest.raises(DataError, match="is given for images and for masks"):
            find_mask_pairs(data / "images", data / masks)
    (data / "masks/b.png").unlink()
    (data / "masks/b.png").symlink_to(data / "images/b.png")
    with pytest.raises(DataError, match=r"images/b\.png and its mask .*masks/b\.png are one file"):
        pairs_of(data)


def test_sizes_that_differ_are_named(data):
    replace_mask(data, "b", np.zeros((6, 9), np.uint8))
    with pytest.raises(DataError, match=r"images/b\.png is 8x6, its mask .*masks/b\.png is 9x6"):
        check_pairs(pairs_of(data))


def test_contents_of_pairs_are_read_once(data, monkeypatch):
    colors = np.zeros((6, 8, 3), np.uint8)
    colors[1], colors[2] = (255, 0, 0), 255
    replace_mask(data, "b", colors)
    replace_mask(data, "c", np.zeros((6, 8), np.uint8))
    np.save(data / "images/c.npy", np.zeros((6, 8, 5)))
    (data / "images/c.png").unlink()
    read = []
    monkeypatch.setattr(mask_pairs, "read_samples", lambda path: read.append(path) or read_samples(path))
    pairs = pairs_of(data)
    found = check_pairs(pairs)
    assert sorted(read) == sorted(path for pair in pairs for path in (pair.image, pair.mask))
    assert [found[pair].channels for pair in pairs] == [1, 1, 5]
    told = [dict(zip(each.values.tolist(), each.counts.tolist(), strict=True)) for each in found.values()]
    assert told == [{0: 42, 255: 6}, {0: 32, 255: 8, COLOR + 0xFF0000: 8}, {0: 48}]


def test_files_that_cannot_be_read_are_named(data):
    (data / "masks/b.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"masks/b\.png"):
        check_pairs(pairs_of(data))


@pytest.mark.parametrize(("value", "words"), [(np.nan, "NaN"), (np.inf, "NaN"), (0.5, "fractions")])
def test_numbers_that_are_no_values(data, value, words):
    mask = np.zeros((6, 8))
    mask[2, 2] = value
    replace_mask(data, "b", mask, suffix="npy")
    with pytest.raises(DataError, match=rf"b\.npy holds {words}"):
        check_pairs(pairs_of(data))
