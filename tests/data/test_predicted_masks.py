from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imgtool.data.coding import Coding
from imgtool.data.predicted_masks import (
    Meaning,
    coding_faults,
    contents_of,
    kind_of,
    match_names,
    sense_of,
    subject_of,
)
from imgtool.imaging.labels import palette

TWO, THREE, OBJECTS = Coding((0, 255)), Coding((0, 128, 255)), Coding(())


@pytest.fixture
def save(tmp_path):
    """Writes samples as a file, and returns its path."""

    def save(name, samples):
        path = tmp_path / name
        if path.suffix == ".npy":
            np.save(path, samples)
        else:
            Image.fromarray(np.asarray(samples)).save(path)
        return path

    return save


def gray(*values):
    return np.array([values], np.uint8)


@pytest.mark.parametrize(
    ("predicted", "truth", "expected"),
    [
        ("a", "a", {"a": {"": "a"}}),
        ("a", "a_mask", {"a_mask": {"": "a"}}),
        ("a-segment", "a", {"a": {"": "a-segment"}}),
        ("a-probability", "a", {"a": {"probability": "a-probability"}}),
        ("a-segment-mask", "a_labels", {"a_labels": {"mask": "a-segment-mask"}}),
        ("a-probability", "a-probability", {"a-probability": {"": "a-probability"}}),
        ("a-sheet", "a", {"a": {"sheet": "a-sheet"}}),
        ("a-segment-mask-sheet", "a_mask", {"a_mask": {"sheet": "a-segment-mask-sheet"}}),
    ],
)
def test_names_go_together(predicted, truth, expected):
    assert match_names([predicted], [truth]) == (expected, [])


def test_several_kinds_are_of_one_picture():
    found, alone = match_names(["a-mask", "a-instances", "b", "a-what"], ["a"])
    assert found == {"a": {"mask": "a-mask", "instances": "a-instances"}}
    assert alone == ["b", "a-what"]


def test_a_kind_is_a_name_s_end():
    assert [kind_of(stem) for stem in ("a-contours", "mask", "a_mask")] == ["contours", "", ""]


def test_how_truth_is_scored():
    assert [subject_of(each) for each in (TWO, THREE, OBJECTS)] == ["borders", "classes", "objects"]


@pytest.mark.parametrize(
    ("samples", "sense"),
    [
        (gray(0, 255), "same"),
        (gray(0, 1), "mask"),
        (np.array([[0, 65535]], np.uint16), "mask"),
        (gray(0, 100, 255), "probability"),
        (np.array([[0, 30000, 65535]], np.uint16), "probability"),
    ],
)
def test_a_mask_and_a_probability_of_borders(save, samples, sense):
    path, truth = save("a.png", samples), save("truth.png", np.resize(gray(0, 255, 255), samples.shape))
    assert sense_of([contents_of(path)], TWO) == (sense, [])
    found, inside = Meaning(TWO, sense).borders(path, truth)
    assert found[0, 0] == 0 and found[0, -1] == 1
    assert inside.tolist() == [[False, True, True][: samples.shape[1]]]
    inverted, _ = Meaning(TWO, sense, invert=True).borders(path, truth)
    assert inverted == pytest.approx(1 - found)


def test_depth_does_not_change_a_probability(save):
    wanted = np.array([[0.2, 0.6, 1]])
    truth = save("truth.png", gray(0, 255, 255))
    paths = [
        save("8.png", np.rint(wanted * 255).astype(np.uint8)),
        save("16.png", np.rint(wanted * 65535).astype(np.uint16)),
        save("raw.npy", wanted.astype(np.float32)),
    ]
    assert sense_of([contents_of(path) for path in paths], TWO) == ("probability", [])
    for path in paths:
        assert Meaning(TWO, "probability").borders(path, truth)[0] == pytest.approx(wanted, abs=1e-3)


def test_the_lower_value_need_not_be_black(save):
    coding, path = Coding((3, 7)), save("a.png", gray(3, 7, 7))
    assert sense_of([contents_of(path)], coding) == ("same", [])
    found, inside = Meaning(coding, "same").borders(path, path)
    assert found.tolist() == inside.tolist() == [[0, 1, 1]]


def test_names_tell_a_probability_of_zeros_and_ones(save):
    """Where nothing was found, an 8-bit probability looks like a mask of classes."""
    path = save("a.png", gray(0, 1))
    assert sense_of([contents_of(path)], TWO)[0] == "mask"
    assert sense_of([contents_of(path)], TWO, probabilities=True)[0] == "probability"


@pytest.mark.parametrize(
    ("name", "samples", "words"),
    [
        ("a.npy", np.array([[0.5, 3.5]]), "holds 0.5 to 3.5, expected a probability from 0 to 1"),
        ("a.npy", np.array([[0, 7, 9]], np.int32), "holds int32"),
        ("a.png", np.array([[[9, 8, 7], [0, 0, 0]]], np.uint8), "is in colours"),
    ],
)
def test_what_is_no_probability_is_named(save, name, samples, words):
    sense, (fault,) = sense_of([contents_of(save(name, samples))], TWO)
    assert sense == "probability"
    assert "a.np" in fault.replace("a.png", "a.np") and words in fault


def test_classes_may_be_values_numbers_or_colours(save):
    truth = save("truth.png", gray(0, 255, 128, 0))
    paletted = Image.new("P", (4, 1))
    paletted.putdata([0, 2, 1, 0])
    paletted.putpalette(palette(3).tobytes())
    paletted.save(truth.with_name("palette.png"))
    for path, expected in (
        (truth, "same"),
        (save("numbers.png", gray(0, 2, 1, 0)), "numbers"),
        (truth.with_name("palette.png"), "palette"),
    ):
        assert sense_of([contents_of(path)], THREE) == (expected, [])
        found, classes = Meaning(THREE, expected).classes(path, truth)
        assert found.tolist() == classes.tolist() == [[0, 2, 1, 0]]


def test_a_class_that_no_truth_has_is_named(save):
    right, wrong = save("right.png", gray(0, 128)), save("wrong.png", gray(0, 77, 255))
    _, (fault,) = sense_of([contents_of(right), contents_of(wrong)], THREE)
    assert "wrong.png has the value 77" in fault
    _, (fault,) = sense_of([contents_of(save("part.npy", np.array([[0.5]])))], THREE)
    assert "holds fractions" in fault


@pytest.mark.parametrize(
    ("name", "samples", "sense", "expected"),
    [
        ("a.png", np.array([[300, 0, 300, 2]], np.uint16), "labels", [[2, 0, 2, 1]]),
        ("a.png", gray(255, 0, 255, 255), "mask", [[1, 0, 2, 2]]),
        ("a.npy", np.array([[0.7, 0.2, 0.6, 0.5]]), "probability", [[1, 0, 2, 2]]),
        ("a.npy", np.array([[-1, -1, 4, 5]]), "labels", [[0, 0, 1, 2]]),
        (
            "a.png",
            np.array([[[0, 0, 0], [9, 8, 7], [9, 8, 7], [1, 2, 3]]], np.uint8),
            "labels",
            [[0, 2, 2, 1]],
        ),
    ],
)
def test_objects_are_numbers_colours_or_regions(save, name, samples, sense, expected):
    path = save(name, samples)
    assert sense_of([contents_of(path)], OBJECTS) == (sense, [])
    truth = save("truth.png", gray(255, 0, 255, 9))
    found, numbers = Meaning(OBJECTS, sense).objects(path, truth)
    assert found.tolist() == expected
    assert numbers.tolist() == [[2, 0, 2, 1]]


def test_objects_of_a_truth_that_is_a_mask_are_its_regions(save):
    path = save("a.png", gray(255, 0, 255, 255))
    found, truth = Meaning(OBJECTS, "mask", regions=True).objects(path, path)
    assert found.tolist() == truth.tolist() == [[1, 0, 2, 2]]


def test_truth_of_one_value_is_named(save):
    both, one = (contents_of(save(f"{len(set(row))}.png", gray(*row))) for row in ((0, 255), (0, 0)))
    (fault,) = coding_faults([both, one], "borders")
    assert "1.png holds the value 0 alone" in fault
    assert coding_faults([both, one], "objects") == coding_faults([both, one], "classes") == []
    assert len(coding_faults([one, one], "objects")) == 2


def test_truth_of_fractions_is_named(save):
    (fault,) = coding_faults([contents_of(save("a.npy", np.array([[0.5]])))], "objects")
    assert fault.endswith("a.npy holds fractions")


def test_contents_are_what_a_file_holds(save):
    found = contents_of(save("a.png", gray(7, 3, 7)))
    assert (found.path.name, found.size, found.values.tolist(), found.gray) == ("a.png", (1, 3), [3, 7], True)
    assert isinstance(found.path, Path)
