import tracemalloc

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from imgtool.metrics.edges import EdgeCounts, edge_counts, edge_thresholds, match_edges, summarise


def plain(mask):
    return mask


def most_pairs(predicted, truth, distance):
    """The greatest number of pairs, by scipy's matching of all that are near enough."""
    ours, theirs = np.argwhere(predicted), np.argwhere(truth)
    near = np.hypot(*(ours[:, None] - theirs[None]).transpose(2, 0, 1)) <= distance
    return int((maximum_bipartite_matching(csr_matrix(near)) >= 0).sum()) if near.size else 0


@pytest.mark.parametrize("seed", range(20))
def test_as_many_pairs_as_possible(seed):
    random = np.random.default_rng(seed)
    predicted, truth = random.random((2, 9, 11)) < random.uniform(0.05, 0.4)
    distance = random.uniform(1, 3.5)
    ours, theirs = match_edges(predicted, truth, distance)
    assert ours.sum() == theirs.sum() == most_pairs(predicted, truth, distance)
    assert not (ours & ~predicted).any()
    assert not (theirs & ~truth).any()


def test_many_maps_at_once_are_matched_by_themselves():
    random = np.random.default_rng(0)
    predicted, truth = random.random((2, 4, 3, 12, 10)) < 0.2
    ours, theirs = match_edges(predicted, truth, 2.3)
    for index in np.ndindex(4, 3):
        one = match_edges(predicted[index], truth[index], 2.3)
        assert (one[0].sum(), one[1].sum()) == (ours[index].sum(), theirs[index].sum())


def test_a_pixel_has_one_partner_and_none_too_far():
    predicted, truth = np.zeros((2, 1, 12), bool)
    predicted[0, [0, 9]] = True
    truth[0, [0, 1, 6]] = True
    ours, theirs = match_edges(predicted, truth, 2.5)
    assert ours[0].nonzero()[0].tolist() == [0]
    assert theirs[0].sum() == 1


def test_the_nearest_becomes_the_partner():
    predicted, truth = np.zeros((2, 5, 12), bool)
    predicted[2, [3, 4, 7]] = True
    truth[2, 5] = True
    ours, _ = match_edges(predicted, truth, 3)
    assert np.argwhere(ours).tolist() == [[2, 4]]


def test_a_way_is_made_for_a_pixel_that_was_left_over():
    """Nearest first gives 4 to 4; then 3 stands alone, unless 4 moves on to 6."""
    predicted, truth = np.zeros((2, 1, 10), bool)
    predicted[0, [4, 6]] = True
    truth[0, [2, 4]] = True
    ours, theirs = match_edges(predicted, truth, 2)
    assert ours.sum() == theirs.sum() == 2


def test_counts_by_hand():
    """Two annotators; the map has both lines of the one and, weaker, a line that nobody drew."""
    annotators = np.zeros((2, 40, 40), bool)
    annotators[0, 10], annotators[0, 20], annotators[1, 10] = True, True, True
    probabilities = np.zeros((40, 40), np.float32)
    probabilities[10], probabilities[20], probabilities[32] = 0.9, 0.6, 0.4
    counts = edge_counts(probabilities, annotators, [0.3, 0.5, 0.7], skeleton=plain)
    assert counts.predicted.tolist() == [120, 80, 40]
    assert counts.matched_predicted.tolist() == [80, 80, 40]
    assert counts.truth.tolist() == [120, 120, 120]
    assert counts.matched_truth.tolist() == [120, 120, 80]


def counts_of(*rows):
    return EdgeCounts(*(np.array(row) for row in rows))


def test_scores_by_hand():
    one = counts_of([8, 4], [10, 10], [8, 4], [16, 4])  # F of 8/13 and 4/7
    two = counts_of([2, 1], [10, 10], [2, 1], [2, 2])  # F of 1/3 and 1/6
    scores = summarise([one, two], [0.3, 0.6])
    recall, precision = 10 / 20, 10 / 18
    assert scores.ods >= 2 * precision * recall / (precision + recall) - 1e-9
    assert scores.ois == pytest.approx(10 / 19)
    assert scores.recall.tolist() == [0.5, 0.25]
    assert scores.precision == pytest.approx([10 / 18, 5 / 6])


def test_ods_is_sought_between_thresholds():
    """Precision 1 with recall 0.5, and the reverse: half-way both are 0.75."""
    counts = counts_of([10, 5], [10, 10], [5, 5], [10, 5])
    scores = summarise([counts], [0.2, 0.4])
    assert scores.ods == pytest.approx(0.75)
    assert (scores.ods_threshold, scores.ods_precision) == pytest.approx((0.3, 0.75))


def test_area_and_recall_at_half_by_hand():
    """From recall 0.5 with precision 1 straight to recall 1 with precision 0.5: 51 places, 0.75 on average."""
    scores = summarise([counts_of([10, 5], [10, 10], [10, 5], [20, 5])], [0.2, 0.4])
    assert scores.ap == pytest.approx(0.51 * 0.75)
    assert scores.r50 == 1
    better = summarise([counts_of([8, 5], [10, 10], [8, 5], [10, 5])], [0.2, 0.4])
    assert better.r50 == pytest.approx(0.8)  # at the lowest threshold, as precision stays above one half


def test_perfect_map_scores_one():
    truth = np.zeros((1, 30, 30), bool)
    truth[0, 15] = True
    thresholds = edge_thresholds(9)
    scores = summarise(
        [edge_counts(truth[0].astype(np.float32), truth, thresholds, skeleton=plain)], thresholds
    )
    assert (scores.ods, scores.ois, scores.r50) == pytest.approx((1, 1, 1))


def test_empty_map_scores_nothing():
    truth = np.ones((1, 8, 8), bool)
    thresholds = edge_thresholds(5)
    scores = summarise(
        [edge_counts(np.zeros((8, 8), np.float32), truth, thresholds, skeleton=plain)], thresholds
    )
    assert (scores.ods, scores.ois, scores.ap, scores.r50) == (0, 0, 0, 0)


def test_thresholds_are_the_benchmarks():
    assert edge_thresholds() == pytest.approx(np.linspace(0.01, 0.99, 99))


def test_memory_does_not_grow_with_the_thresholds():
    """All masks at once would take a byte a pixel each."""
    lines = np.zeros((1200, 1200), np.float32)
    lines[600, ::40] = np.linspace(0.01, 1, 30)
    peaks = []
    for count in (5, 99):
        tracemalloc.start()
        edge_counts(
            lines, lines[None] > 0.5, edge_thresholds(count), skeleton=lambda mask: mask, max_distance=0.001
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 10 * lines.size, peaks
