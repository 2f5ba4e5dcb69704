import numpy as np
import pytest

from imgtool.metrics.images import (
    Moments,
    frechet_distance,
    frechet_interval,
    nearest,
    neighbourhood,
    spread,
)

RANDOM = np.random.default_rng(0)


def normal(count, dimensions, mean=0.0, deviation=1.0):
    return (RANDOM.standard_normal((count, dimensions)) * deviation + mean).astype(np.float32)


def test_distance_by_the_matrix_root():
    from scipy.linalg import sqrtm

    one, other = (Moments.of(normal(500, 6) @ RANDOM.standard_normal((6, 6)).astype("f4")) for _ in range(2))
    root = sqrtm(one.covariance @ other.covariance).real
    expected = np.square(one.mean - other.mean).sum() + np.trace(one.covariance + other.covariance - 2 * root)
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(other, one) == pytest.approx(expected, rel=1e-6)


def test_distance_of_known_normals():
    one = Moments(np.zeros(3), np.eye(3))
    other = Moments(np.array([3.0, 0, 4.0]), 4 * np.eye(3))
    assert frechet_distance(one, other) == pytest.approx(25 + 3 * (2 - 1) ** 2)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-12)


def test_singular_covariances():
    flat = Moments.of(np.repeat(normal(1, 4), 10, axis=0))
    assert frechet_distance(flat, flat) == pytest.approx(0, abs=1e-9)
    assert np.isfinite(frechet_distance(flat, Moments.of(normal(3, 4))))


def test_interval_holds_the_distance_nearly():
    real, fake = normal(400, 3), normal(400, 3, mean=0.5)
    low, high = frechet_interval(real, fake)
    found = frechet_distance(Moments.of(real), Moments.of(fake))
    assert low < high and low < found + 0.1 and high > found - 0.1
    assert (low, high) == frechet_interval(real, fake)


def test_two_sets_of_one_kind():
    around = neighbourhood(normal(600, 4), normal(600, 4))
    assert min(around.precision, around.recall, around.coverage) > 0.85


def test_copies_of_one_picture_cover_little():
    real = normal(300, 4)
    around = neighbourhood(real, np.repeat(real[:1], 300, axis=0))
    assert around.precision == 1 and around.recall < 0.05 and around.coverage < 0.1


def test_far_away_is_neither():
    around = neighbourhood(normal(200, 4), normal(200, 4, mean=50))
    assert (around.precision, around.recall, around.coverage) == (0, 0, 0)


def test_half_of_what_there_is():
    real = np.concatenate([normal(300, 4, mean=-20), normal(300, 4, mean=20)])
    around = neighbourhood(real, normal(300, 4, mean=20))
    assert around.precision > 0.9
    assert around.recall == pytest.approx(0.5, abs=0.08) and around.coverage == pytest.approx(0.5, abs=0.08)


def test_nearest_by_brute_force():
    known, queries = normal(1500, 5), normal(1203, 5)
    expected = [int(np.square(known - query).sum(axis=1).argmin()) for query in queries]
    assert nearest(queries, known).tolist() == expected


def test_spread():
    assert spread(normal(2000, 9, mean=3, deviation=2)) == pytest.approx(
        2 * spread(normal(2000, 9)), rel=0.05
    )
    assert spread(np.ones((5, 2), np.float32)) == 0


def test_features_that_are_no_numbers_are_infinitely_far():
    broken = normal(20, 3)
    broken[0, 0] = np.nan
    assert frechet_distance(Moments.of(broken), Moments.of(normal(20, 3))) == np.inf
