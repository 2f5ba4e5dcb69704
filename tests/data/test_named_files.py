from pathlib import Path

import pytest

from imgtool.data.named_files import files_by_name, listed, only_by_name, require_partners, require_same_size
from imgtool.errors import DataError


@pytest.fixture
def folder(tmp_path):
    for name in ("b.TIF", "a.png", "notes.txt", ".c.png"):
        (tmp_path / name).touch()
    return tmp_path


def test_files_go_by_stem_and_hidden_ones_by_nothing(folder):
    assert [path.name for path in listed(folder, ("png", "tif"), "masks")] == ["a.png", "b.TIF"]
    found, faults = files_by_name(folder, ("png", "tif"), "masks")
    assert ({name: path.name for name, path in found.items()}, faults) == ({"a": "a.png", "b": "b.TIF"}, [])
    assert only_by_name(folder, ("png", "tif"), "masks") == found


def test_two_of_one_name_are_told(folder):
    (folder / "a.tif").touch()
    _, (fault,) = files_by_name(folder, ("png", "tif"), "masks")
    assert fault.endswith("are masks of one name") and "a.png" in fault and "a.tif" in fault
    with pytest.raises(DataError, match="are masks of one name"):
        only_by_name(folder, ("png", "tif"), "masks")


def test_a_folder_that_is_not_there_or_empty_is_named(folder):
    with pytest.raises(DataError, match="nowhere: no such file or directory, expected a folder of masks"):
        files_by_name(folder / "nowhere", ("png",), "masks")
    with pytest.raises(DataError, match="holds no masks"):
        only_by_name(folder, ("npy",), "masks")


def test_who_has_no_partner_is_named(folder):
    files = {name: folder / f"{name}.png" for name in "cab"}
    require_partners(files, "abcd", "mask")
    with pytest.raises(DataError, match=r"b\.png has no mask of the same name \(and 1 more\)"):
        require_partners(files, {"a"}, "mask")


def test_sizes_are_told_as_width_by_height(folder):
    require_same_size(folder, (2, 3), folder, (2, 3))
    with pytest.raises(DataError, match=r"a.png is 3x2, its ground truth b.png is 4x2"):
        require_same_size(Path("a.png"), (2, 3), Path("b.png"), (2, 4))
