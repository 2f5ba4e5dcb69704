import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import adapted_rand_error, variation_of_information

from imgtool.metrics.masks import (
    BORDER_THRESHOLDS,
    average_precision,
    best_borders,
    border_table,
    cells,
    dice,
    v_scores,
)


def segments(seed, count=6, size=(30, 40)):
    """Smooth regions, 0 among them."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random((count, *size)), (0, 3, 3))
    return noise.argmax(axis=0)


@pytest.mark.parametrize("seed", range(4))
def test_v_rand_is_skimages(seed):
    """Which leaves out the pairs of a pixel with itself: next to nothing where each pixel is made 256."""
    found, truth = (
        np.kron(each, np.ones((16, 16), int)) for each in (segments(seed), segments(seed + 50, 5))
    )
    error, _, _ = adapted_rand_error(truth, found, ignore_labels=(0,))
    assert v_scores(found, truth).rand == pytest.approx(1 - error, abs=5e-5)


@pytest.mark.parametrize("seed", range(4))
def test_v_info_is_of_skimages_conditional_entropies(seed):
    """H(S|T) and H(T|S) where the truth is not 0: with I = H(S) - H(S|T), and entropies by hand."""
    found, truth = segments(seed), segments(seed + 50, 5)
    counted = truth > 0
    one, other = found[counted][None], truth[counted][None]
    first, second = variation_of_information(one, other)

    def entropy(labels):
        shares = np.unique(labels, return_counts=True)[1] / labels.size
        return -(shares * np.log2(shares)).sum()

    sides = entropy(one) + entropy(other)
    mutual = (sides - first - second) / 2
    assert v_scores(found, truth).info == pytest.approx(2 * mutual / sides, rel=1e-9)


def test_by_hand():
    """Two cells of two pixels, found as one: sum p_ij^2 = 1/2, s = 1, t = 1/2; no information of two bits' half."""
    truth, found = np.array([[1, 1, 2, 2, 0]]), np.array([[5, 5, 5, 5, 9]])
    scores = v_scores(found, truth)
    assert scores.rand == pytest.approx(2 * 0.5 / 1.5)
    assert scores.info == pytest.approx(0)


def test_perfect_and_renumbered():
    truth = segments(1)
    for found in (truth, truth * 37 + 5, truth.max() - truth):
        scores = v_scores(found, truth)
        assert (scores.rand, scores.info) == (pytest.approx(1), pytest.approx(1))
    single = v_scores(np.ones((3, 3), int), np.ones((3, 3), int))
    assert (single.rand, single.info) == (1, 1)


def test_nothing_to_count_is_refused():
    with pytest.raises(ValueError, match="nothing in the truth"):
        v_scores(np.ones((3, 3), int), np.zeros((3, 3), int))


def grid():
    """Four cells with borders of two pixels between them."""
    truth = np.zeros((32, 32), int)
    for number, (row, column) in enumerate(((0, 0), (0, 17), (17, 0), (17, 17)), start=1):
        truth[row : row + 15, column : column + 15] = number
    return truth


def test_cells_grow_until_they_touch():
    truth = grid()
    found = cells((truth > 0).astype(np.float32), 0.5)
    assert found.min() == 1
    assert found.max() == 4
    assert v_scores(found, truth).rand == 1


def test_cells_of_nothing_and_everything():
    assert (cells(np.zeros((5, 6), np.float32), 0.5) == 0).all()
    assert (cells(np.ones((5, 6), np.float32), 0.5) == 1).all()
    corner = np.zeros((4, 4), np.float32)
    corner[0, 0] = corner[1, 1] = 1
    assert cells(corner, 0.5).max() == 2  # connected by four


def scored(foregrounds, truths):
    tables = [border_table(*each, BORDER_THRESHOLDS) for each in zip(foregrounds, truths, strict=True)]
    return best_borders(tables, BORDER_THRESHOLDS)


def test_threshold_is_one_for_all_pictures():
    truth = grid()
    weak = np.where(truth > 0, 0.6, 0.3).astype(np.float32)  # right from 0.3 to 0.6
    strong = np.where(truth > 0, 0.95, 0.7).astype(np.float32)  # right from 0.7 to 0.95
    scores = scored([weak], [truth])
    assert scores.rand == pytest.approx(1)
    assert 0.3 <= scores.threshold < 0.6
    assert scores.rand_at_half == pytest.approx(1)
    both = scored([weak, strong], [truth, truth])
    assert both.rand < 1
    each = [scored([one], [truth]).rand for one in (weak, strong)]
    assert each == [pytest.approx(1)] * 2
    assert scored([strong], [truth]).rand_at_half < 0.7
    assert {0.01, 0.5, 0.99} <= set(BORDER_THRESHOLDS)


def test_dice():
    first, second = np.array([1, 1, 1, 0, 0], bool), np.array([0, 1, 1, 1, 0], bool)
    assert dice(first, second) == pytest.approx(4 / 6)
    empty = np.zeros(5, bool)
    assert dice(empty, empty) == 1
    assert dice(first, empty) == 0
    assert dice(first, first) == 1


def boxes(*places):
    labels = np.zeros((20, 40), np.int32)
    for number, (top, left, bottom, right) in enumerate(places, start=1):
        labels[top:bottom, left:right] = number
    return labels


def test_average_precision_by_hand():
    """Of three, one is found exactly, one by 10 of 15 pixels (IoU 2/3), one not at all; one more is made up."""
    truth = boxes((0, 0, 5, 5), (0, 10, 5, 13), (10, 0, 15, 5))
    found = boxes((0, 0, 5, 5), (0, 11, 5, 13), (10, 20, 15, 25))
    assert average_precision(found, truth) == pytest.approx(2 / (2 + 1 + 1))
    assert average_precision(found, truth, overlap=0.6) == pytest.approx(2 / 4)
    assert average_precision(found, truth, overlap=0.7) == pytest.approx(1 / 5)
    assert average_precision(found, truth * 1000) == average_precision(found, truth)


def test_an_overlap_of_just_one_half_is_none():
    truth, found = boxes((0, 0, 1, 2)), boxes((0, 0, 1, 1))
    assert average_precision(found, truth) == 0


def test_average_precision_of_nothing():
    some, none = boxes((0, 0, 5, 5)), boxes()
    assert average_precision(none, none) == 1
    assert average_precision(some, none) == average_precision(none, some) == 0
    assert average_precision(some, some) == 1


@pytest.mark.parametrize("overlap", [0.4, 1.0])
def test_overlaps_that_make_no_sense(overlap):
    with pytest.raises(ValueError, match="overlap"):
        average_precision(boxes(), boxes(), overlap=overlap)


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_pair_by_pair(seed):
    truth, found = segments(seed, 9), segments(seed, 9)
    found = np.roll(found, 2, axis=1)
    hits = sum(
        np.sum((found == one) & (truth == other)) > 0.5 * np.sum((found == one) | (truth == other))
        for one in np.unique(found[found > 0])
        for other in np.unique(truth[truth > 0])
    )
    counts = len(np.unique(found[found > 0])) + len(np.unique(truth[truth > 0]))
    assert average_precision(found, truth) == pytest.approx(hits / (counts - hits))
