import numpy as np
import pytest

from imgtool.imaging.bezier import bernstein, bezier


@pytest.mark.parametrize("degree", [1, 2, 3, 7, 20])
def test_basis_is_a_partition_of_one(degree):
    basis = bernstein(degree, 33)
    assert basis.shape == (33, degree + 1)
    assert (basis >= 0).all()
    np.testing.assert_allclose(basis.sum(axis=1), 1)


def by_de_casteljau(control, at):
    points = np.array(control, float)
    while len(points) > 1:
        points = points[:-1] * (1 - at) + points[1:] * at
    return points[0]


def test_points_are_those_of_de_casteljau():
    control = np.random.default_rng(0).random((2, 6, 2)) * 100
    curves = bezier(control, 11)
    for points, curve in zip(control, curves, strict=True):
        expected = [by_de_casteljau(points, at) for at in np.linspace(0, 1, 11)]
        np.testing.assert_allclose(curve, expected)
