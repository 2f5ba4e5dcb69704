from dataclasses import replace

import numpy as np
import pytest

from imgtool.data.picture_batches import fingerprint, some
from imgtool.data.picture_set import PictureSet


def numbered(labels, classes=()):
    """Pictures of one pixel that is their number."""
    pixels = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1)
    return PictureSet(pixels, np.array(labels, np.int64), classes, ())


def test_some_are_of_every_class():
    pictures = numbered([0] * 150 + [1] * 40 + [2] * 3, ("a", "b", "c"))
    shown = some(pictures, 12, 0).ravel()
    assert len(set(shown)) == 12
    assert sorted(np.bincount(pictures.labels[shown])) == [3, 4, 5]
    assert (some(pictures, 12, 0).ravel() == shown).all()
    assert (some(pictures, 12, 1).ravel() != shown).any()


def test_some_without_classes_are_from_everywhere():
    shown = some(numbered([0] * 200), 16, 0).ravel()
    assert min(shown) < 60 and max(shown) > 140


def test_some_of_few_are_all():
    assert sorted(some(numbered([0, 1, 0]), 64, 0).ravel()) == [0, 1, 2]


@pytest.mark.parametrize("change", ["pixel", "label", "name", "shape"])
def test_fingerprint_knows_what_changed(change):
    pictures = numbered([0, 1, 0, 1], ("a", "b"))
    before = fingerprint(pictures)
    assert fingerprint(numbered([0, 1, 0, 1], ("a", "b"))) == before and len(before) == 64
    if change == "pixel":
        pictures.pixels[3] += 1
    elif change == "label":
        pictures.labels[3] = 0
    elif change == "name":
        pictures = replace(pictures, classes=("a", "c"))
    else:
        pictures = replace(pictures, pixels=pictures.pixels.reshape(1, 2, 2, 1))
    assert fingerprint(pictures) != before
