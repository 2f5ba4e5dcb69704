import math

import pytest
from scipy import stats

from imgtool.metrics.captchas import Rate, wilson_interval


@pytest.mark.parametrize(
    ("successes", "count"), [(0, 10), (10, 10), (1, 3), (973, 1000), (5, 10_000), (1, 1)]
)
def test_agrees_with_scipy(successes, count):
    expected = stats.binomtest(successes, count).proportion_ci(method="wilson")
    assert wilson_interval(successes, count) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_interval_holds_the_share_and_shrinks():
    wide, narrow = wilson_interval(8, 10), wilson_interval(800, 1000)
    assert wide[0] < narrow[0] < 0.8 < narrow[1] < wide[1]


def test_its_ends_are_where_the_score_test_turns():
    low, high = wilson_interval(30, 100)
    for end in (low, high):
        assert abs(0.3 - end) / math.sqrt(end * (1 - end) / 100) == pytest.approx(1.959964)


def test_rate():
    rate = Rate(90, 100)
    assert rate.share == 0.9
    assert rate.interval == wilson_interval(90, 100)
    assert rate.within(3) == pytest.approx(0.999)
    assert Rate(0, 5).within(3) == 0
