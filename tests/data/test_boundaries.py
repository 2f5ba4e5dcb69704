import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from imgtool.data.boundaries import find_truth, read_boundaries, read_consensus
from imgtool.errors import DataError


def save_mat(path, maps):
    """As BSDS500 has it: a cell of structs, one an annotator."""
    cells = np.empty((1, len(maps)), object)
    for index, each in enumerate(maps):
        cells[0, index] = {"Boundaries": each.astype(np.uint8), "Segmentation": each.astype(np.uint16)}
    savemat(path, {"groundTruth": cells})


@pytest.fixture
def maps():
    return np.random.default_rng(0).random((3, 5, 7)) < 0.3


def test_mat_has_a_map_an_annotator(tmp_path, maps):
    save_mat(tmp_path / "a.mat", maps)
    assert (read_boundaries(tmp_path / "a.mat") == maps).all()
    assert read_consensus(tmp_path / "a.mat") == pytest.approx(maps.mean(axis=0))


def test_greys_of_a_picture_are_the_share_of_annotators(tmp_path):
    Image.fromarray(np.array([[0, 51, 255]], np.uint8)).save(tmp_path / "a.png")
    assert read_consensus(tmp_path / "a.png") == pytest.approx(np.array([[0, 0.2, 1]]))
    assert read_boundaries(tmp_path / "a.png").tolist() == [[[False, False, True]]]


def test_mat_goes_before_a_picture_of_the_same_name(tmp_path, maps):
    save_mat(tmp_path / "a.mat", maps)
    for name in ("a.png", "b.png", ".hidden.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    found = find_truth(tmp_path)
    assert {stem: path.name for stem, path in found.items()} == {"a": "a.mat", "b": "b.png"}


@pytest.mark.parametrize(
    ("contents", "words"),
    [(b"", "damaged"), (b"MATLAB 5.0 MAT-file" + bytes(200), "damaged"), (b"\x80\x04K\x01.", "damaged")],
)
def test_damaged_mat_is_named(tmp_path, contents, words):
    (tmp_path / "bad.mat").write_bytes(contents)
    with pytest.raises(DataError, match=f"bad.mat: {words}"):
        read_boundaries(tmp_path / "bad.mat")


def test_mat_of_something_else_is_named(tmp_path):
    savemat(tmp_path / "other.mat", {"x": np.zeros(3)})
    with pytest.raises(DataError, match="groundTruth"):
        read_boundaries(tmp_path / "other.mat")


def test_annotators_of_two_sizes_are_refused(tmp_path):
    save_mat(tmp_path / "a.mat", [np.zeros((3, 4)), np.zeros((4, 3))])
    with pytest.raises(DataError, match="sizes"):
        read_boundaries(tmp_path / "a.mat")


def test_folder_without_truth(tmp_path):
    with pytest.raises(DataError, match="holds no ground truth"):
        find_truth(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        find_truth(tmp_path / "missing")
