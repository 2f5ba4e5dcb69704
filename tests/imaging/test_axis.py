"""Axes: values lie where they belong, and round numbers stand beside them."""

import math

import pytest

from imgtool.imaging.axis import POINTS, TICKS, Axis, extremes


def test_places_values_by_themselves_or_by_their_logarithms():
    assert Axis(0, 10, 100, 200).place(2.5) == 125
    assert Axis(0, 10, 200, 100).place(2.5) == 175
    assert Axis(0.01, 1, 0, 100, log=True).place(0.1) == pytest.approx(50)


@pytest.mark.parametrize(("value", "place"), [(-5, 100), (15, 200), (math.inf, 200)])
def test_what_is_beyond_lies_at_the_end(value, place):
    assert Axis(0, 10, 100, 200).place(value) == place


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 5000, [0, 1000, 2000, 3000, 4000, 5000]),
        (-1, 1, [-1, -0.5, 0, 0.5, 1]),
        (1e-9, 3e-9, [1e-9, 1.5e-9, 2e-9, 2.5e-9, 3e-9]),
    ],
)
def test_ticks_are_round(low, high, expected):
    assert Axis(low, high, 0, 1).ticks() == pytest.approx(expected)


def test_ticks_of_logarithms_are_powers_of_ten_where_there_are_enough():
    assert Axis(1e-4, 1, 0, 1, log=True).ticks() == pytest.approx([1e-4, 1e-3, 0.01, 0.1, 1])
    assert Axis(0.8, 12, 0, 1, log=True).ticks() == pytest.approx([1, 3, 10])


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("high", [1.001, 1.7, 30.0, 4e3, 5e9, 1e60])
def test_there_are_neither_few_nor_many_ticks(log, high):
    axis = Axis(1.0, high, 0, 1, log)
    assert TICKS[0] <= len(axis.ticks()) <= TICKS[1]
    slack = 1e-6 * (high - 1)
    assert all(1 - slack <= tick <= high + slack for tick in axis.ticks())


def test_long_curves_keep_their_peaks():
    values = [0.0] * (10 * POINTS)
    values[12_345], values[777] = 1.0, -1.0
    kept = extremes(values)
    assert {12_345, 777, 0} <= set(kept)
    assert len(kept) <= POINTS and kept == sorted(kept)
    assert extremes(values[:POINTS]) == list(range(POINTS))
