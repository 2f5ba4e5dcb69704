import numpy as np
import pytest

from imgtool.imaging import levels as module
from imgtool.imaging.levels import levels

MAP = np.array([[0, 0.25, 0.5], [0.75, 1, 0.1]], np.float32)


def test_eight_and_sixteen_bits():
    assert levels(MAP).tolist() == [[0, 64, 128], [191, 255, 26]]
    assert levels(MAP, bits=16).dtype == np.uint16
    assert levels(MAP, bits=16)[1, 1] == 65535


def test_threshold_is_reached_not_passed():
    assert levels(MAP, threshold=0.5).tolist() == [[0, 0, 255], [255, 255, 0]]


def test_invert():
    assert (levels(MAP, invert=True) == 255 - levels(MAP)).all()


@pytest.mark.parametrize("strip", [1, 3, 4])
def test_strips_change_nothing(monkeypatch, strip):
    whole = levels(MAP)
    monkeypatch.setattr(module, "STRIP_PIXELS", strip)
    assert (levels(MAP) == whole).all()
