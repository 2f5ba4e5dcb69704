import numpy as np
import pytest

from imgtool.errors import OutputError
from imgtool.imaging.labels import (
    FILL,
    FIRST,
    MEASURES,
    contours_over,
    label_layout,
    mask_over,
    measured,
    palette,
)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 256])
def test_palette_begins_with_black_and_its_first(count):
    colors = palette(count)
    assert (colors.shape, colors.dtype) == ((max(1, count), 3), np.uint8)
    assert colors[0].tolist() == [0, 0, 0]
    assert count < 2 or tuple(colors[1]) == FIRST
    assert len(np.unique(colors, axis=0)) == len(colors)


def test_neighbours_in_a_palette_are_far_from_each_other():
    colors = palette(256).astype(int)
    assert np.abs(np.diff(colors, axis=0)).sum(axis=1).min() > 60
    assert (palette(9) == palette(256)[:9]).all()


def test_mask_is_laid_over_a_photo():
    photo = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    classes = np.zeros((8, 9), np.uint8)
    classes[2:6, 1:5], classes[2:6, 5:] = 2, 1
    before = photo.copy()
    drawn = mask_over(photo, classes)
    assert np.array_equal(photo, before)
    assert np.array_equal(drawn[classes == 0], photo[classes == 0])
    expected = (1 - FILL) * photo[3, 3].astype(float) + FILL * palette(3)[2]
    assert np.abs(drawn[3, 3] - expected).max() <= 0.51
    assert np.array_equal(mask_over(photo, np.zeros((8, 9), np.uint8)), photo)


def test_the_mask_over_a_photo_has_a_full_outline():
    photo = np.full((8, 9, 3), 100, np.uint8)
    classes = np.zeros((8, 9), np.uint8)
    classes[2:6, 1:5], classes[2:6, 5:] = 2, 1
    full = (mask_over(photo, classes) == palette(3)[classes]).all(axis=2) & (classes > 0)
    expected = np.zeros((8, 9), bool)
    expected[[2, 5], 1:] = expected[2:6, 1] = expected[2:6, 4:6] = (
        True  # where two meet, and not at the border
    )
    assert np.array_equal(full, expected)


def test_outlines_are_the_rims_of_objects():
    photo = np.full((20, 20, 3), 100, np.uint8)
    labels = np.zeros((20, 20), np.int32)
    labels[2:9, 2:9], labels[2:9, 9:16] = 1, 300
    drawn = contours_over(photo, labels)
    assert np.array_equal(drawn[labels == 0], photo[labels == 0])
    assert np.array_equal(drawn[4:7, 4:7], photo[4:7, 4:7])  # inside
    assert drawn[5, 2].tolist() == list(FIRST)
    assert (drawn[5, 8] != drawn[5, 9]).any()  # each has its own where they touch
    assert (drawn[5, 9] != 0).any()


def test_layouts_are_as_small_as_they_can_be():
    assert label_layout((5, 6), 255, "png").palette.shape == (256, 3)
    assert label_layout((5, 6), 0, "tif").palette.shape == (1, 3)
    deep = label_layout((5, 6), 256, "png")
    assert (deep.palette, deep.dtype) == (None, np.uint16)
    assert label_layout((5, 6), 65_536, "tif").dtype == np.uint32
    assert label_layout((5, 6), 3, "npy").palette is None
    with pytest.raises(OutputError, match="65536 objects are too many for PNG"):
        label_layout((5, 6), 65_536, "png")


def test_measures_by_hand():
    labels = np.zeros((10, 12), np.int32)
    labels[2:4, 3:8] = 1
    labels[9, 11] = 2
    front = np.full((10, 12), 0.25, np.float32)
    front[2, 3:8] = 0.75
    classes = np.zeros((10, 12), np.uint8)
    classes[2, 3], classes[9, 11] = 2, 1
    names = ("nothing", "cell", "edge")
    first, second = measured(labels, front, classes=classes, names=names)
    assert tuple(first) == MEASURES
    assert first == {
        "object": 1,
        "class": "edge",
        "area": 10,
        "x": 5.0,
        "y": 2.5,
        "left": 3,
        "top": 2,
        "width": 5,
        "height": 2,
        "probability": 0.5,
    }
    assert (second["area"], second["x"], second["y"], second["probability"]) == (1, 11, 9, 0.25)
    nothing = np.zeros((3, 3), np.int32)
    assert measured(nothing, front[:3, :3], classes=classes[:3, :3], names=names) == []
