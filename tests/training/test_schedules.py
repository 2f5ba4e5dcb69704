import pytest

from imgtool.training.schedules import warm_cosine


def test_rises_then_falls_to_nothing():
    values = [warm_cosine(step / 1000) for step in range(1001)]
    top = values.index(max(values))
    assert (values[0], values[top], values[-1]) == pytest.approx((0, 1, 0))
    assert top == 20
    assert values[: top + 1] == sorted(values[: top + 1])
    assert values[top:] == sorted(values[top:], reverse=True)
