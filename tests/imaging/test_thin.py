"""Thin edges: a blurred line becomes the line, whichever way it runs, and nothing depends on strips."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, label

from imgtool.imaging import thin as module
from imgtool.imaging.thin import skeleton, thin_edges

EIGHT = np.ones((3, 3))  # neighbours of a pixel, with the diagonal ones


def blurred(line, sigma=1.5):
    soft = gaussian_filter(line.astype(np.float32), sigma)
    return soft / soft.max()


def noise(height, width, seed=0):
    """Smooth random crests."""
    return blurred(np.random.default_rng(seed).random((height, width)) ** 8, 2)


@pytest.fixture
def vertical():
    line = np.zeros((40, 30), bool)
    line[:, 17] = True
    return line


def test_a_vertical_line_is_where_it_was(vertical):
    assert np.array_equal(thin_edges(blurred(vertical)) > 0.01, vertical)


def test_a_horizontal_line_is_where_it_was(vertical):
    assert np.array_equal(thin_edges(blurred(vertical.T)) > 0.01, vertical.T)


@pytest.mark.parametrize("flip", [False, True])
def test_a_diagonal_line_is_where_it_was(flip):
    line = np.eye(40, dtype=bool)[:, :: -1 if flip else 1]
    inside = (slice(6, -6), slice(6, -6))
    assert np.array_equal(thin_edges(blurred(line))[inside] > 0.01, line[inside])


def test_a_circle_becomes_one_ring_of_its_radius():
    y, x = np.mgrid[:80, :80] - 39.5
    radius = np.hypot(x, y)
    thin = thin_edges(np.exp(-((radius - 25) ** 2) / 8).astype(np.float32)) > 0.1
    assert abs(radius[thin] - 25).max() < 0.8
    assert label(thin, EIGHT)[1] == 1
    assert thin.sum() < 2 * 2 * np.pi * 25


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turns_with_the_picture(turns):
    edges = noise(60, 47)
    turned = thin_edges(np.rot90(edges, turns))
    np.testing.assert_allclose(turned, np.rot90(thin_edges(edges), turns), atol=1e-6)


def test_keeps_smoothed_crests_and_nothing_else(vertical):
    thin = thin_edges(blurred(vertical))
    column = blurred(vertical)[20]
    expected = column[16] / 4 + column[17] / 2 + column[18] / 4
    assert thin[20, 17] == pytest.approx(expected)
    assert thin.dtype == np.float32


def test_a_plateau_is_left():
    assert thin_edges(np.full((20, 20), 0.5, np.float32)).min() == pytest.approx(0.5)


@pytest.mark.parametrize("rows", [1, 8, 29, 100])
def test_strips_are_the_whole(rows, monkeypatch):
    edges = noise(90, 33)
    whole = thin_edges(edges, border_px=5)
    monkeypatch.setattr(module, "STRIP_PIXELS", rows * 33)
    assert np.array_equal(thin_edges(edges, border_px=5), whole)


def test_fades_the_border_when_asked():
    edges = np.ones((30, 20), np.float32)
    assert thin_edges(edges).min() == pytest.approx(1)
    faded = thin_edges(edges, border_px=5)
    np.testing.assert_allclose(faded[15, :7], [0, 0.2, 0.4, 0.6, 0.8, 1, 1], atol=1e-6)
    np.testing.assert_allclose(faded[-7:, 10], [1, 1, 0.8, 0.6, 0.4, 0.2, 0], atol=1e-6)
    assert faded[1, 1] == pytest.approx(0.04)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 3)])
@pytest.mark.parametrize("border_px", [0, 5])
def test_takes_the_smallest_maps(shape, border_px):
    thin = thin_edges(np.ones(shape, np.float32), border_px=border_px)
    assert thin.shape == shape and np.isfinite(thin).all()
    assert skeleton(np.ones(shape, bool)).shape == shape


def test_leaves_its_input_alone():
    edges, mask = noise(30, 30), noise(30, 30) > 0.3
    before = edges.copy(), mask.copy()
    thin_edges(edges, border_px=5)
    skeleton(mask)
    assert np.array_equal(edges, before[0]) and np.array_equal(mask, before[1])


def test_skeleton_of_a_bar_is_its_middle():
    bar = np.zeros((9, 30), bool)
    bar[3:6, 4:26] = True
    rows, columns = np.nonzero(skeleton(bar))
    assert set(rows) == {4}
    assert columns.min() < 8 and columns.max() > 22


def test_skeleton_keeps_what_hangs_together_and_is_stable():
    mask = noise(80, 70, seed=3) > 0.25
    thin = skeleton(mask)
    assert not (thin & ~mask).any()
    assert label(thin, EIGHT)[1] == label(mask, EIGHT)[1]
    assert thin.sum() < mask.sum() / 3
    assert np.array_equal(skeleton(thin), thin)


@pytest.mark.parametrize("density", [0.3, 0.6, 0.9])
def test_skeleton_is_what_scikit_image_finds(density):
    from skimage.morphology import thin

    mask = np.random.default_rng(1).random((50, 40)) < density
    assert np.array_equal(skeleton(mask), thin(mask))
