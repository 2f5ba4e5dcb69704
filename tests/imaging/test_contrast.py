import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgtool.imaging.contrast import contrast, darker, lighter, luminance

COLOR = st.tuples(*[st.floats(0, 255)] * 3)


def test_black_on_white():
    assert contrast(luminance(np.zeros(3)), luminance(np.full(3, 255))) == pytest.approx(21)


@pytest.mark.parametrize(
    ("color", "expected"),
    [((118, 118, 118), 4.54), ((255, 0, 0), 4.0), ((0, 0, 255), 8.59), ((119, 119, 119), 4.48)],
)
def test_published_ratios_against_white(color, expected):
    # WebAIM's checker, to two places
    assert contrast(luminance(np.array(color)), 1.0) == pytest.approx(expected, abs=0.005)


@given(COLOR, st.floats(0, 1))
def test_darker_is_dark_enough(color, limit):
    dimmed = darker(np.array(color), np.array(limit))
    assert luminance(dimmed) <= limit + 1e-6
    assert (dimmed <= np.array(color) + 1e-3).all()


@given(COLOR, st.floats(0, 1))
def test_lighter_is_light_enough(color, limit):
    bright = lighter(np.array(color), np.array(limit))
    assert luminance(bright) >= limit - 1e-6
    assert (bright >= np.floor(np.array(color)) - 1e-3).all()


def test_no_farther_than_needed():
    green = np.array([20.0, 200.0, 40.0])
    assert luminance(darker(green, np.array(0.1))) > 0.09
    np.testing.assert_array_equal(darker(green, np.array(1.0)), [20, 200, 40])
