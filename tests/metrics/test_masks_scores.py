import numpy as np
import pytest

from imgtool.metrics.masks import (
    average_precision,
    best_borders,
    border_table,
    cells,
    class_scores,
    confusion,
    object_counts,
    object_pairs,
    v_scores,
)


def test_parts_tell_splits_from_mergers():
    one, two = np.ones((4, 8), int), np.repeat([[1, 2]], 4, axis=1).repeat(4, axis=0)
    split, merged = v_scores(two, one), v_scores(one, two)
    assert (split.rand_split, split.rand_merge) == pytest.approx((0.5, 1))
    assert (merged.rand_split, merged.rand_merge) == pytest.approx((1, 0.5))
    assert split.rand == merged.rand == pytest.approx(2 / 3)
    assert (merged.info_split, merged.info_merge, merged.info) == pytest.approx((1, 0, 0))


def test_scores_are_the_harmonic_means_of_their_parts():
    random = np.random.default_rng(0)
    score = v_scores(random.integers(0, 4, (20, 20)), random.integers(0, 5, (20, 20)))
    assert score.rand == pytest.approx(2 / (1 / score.rand_split + 1 / score.rand_merge))
    assert score.info == pytest.approx(2 / (1 / score.info_split + 1 / score.info_merge))


def test_a_table_has_the_scores_of_each_threshold():
    """Also of those between which no pixel lies, which are not worked out again."""
    random = np.random.default_rng(1)
    foreground = random.choice(np.float32([0.1, 0.4, 0.8]), (24, 24))
    truth = np.repeat(np.arange(4), 6)[:, None] * np.ones((1, 24), int)
    thresholds = (0.05, 0.2, 0.3, 0.5, 0.6, 0.9)
    expected = [v_scores(cells(foreground, threshold), truth) for threshold in thresholds]
    assert border_table(foreground, truth, thresholds) == expected


def test_the_best_threshold_is_one_for_all_tables():
    random = np.random.default_rng(2)
    foregrounds = [random.random((20, 20), np.float32) for _ in range(2)]
    truths = [np.repeat([[1], [0], [2]], (9, 2, 9), axis=0) * np.ones((1, 20), int)] * 2
    tried = [0.2, 0.4, 0.5, 0.8]
    tables = [border_table(*each, tried) for each in zip(foregrounds, truths, strict=True)]
    best = best_borders(tables, tried)
    assert best.rand == max(np.mean([table[at].rand for table in tables]) for at in range(4))
    assert best.info == max(np.mean([table[at].info for table in tables]) for at in range(4))
    assert best.info_threshold in tried


def test_rows_of_a_confusion_are_the_truths():
    counts = confusion(np.array([[0, 1, 2, 2]]), np.array([[0, 0, 0, 2]]), 3)
    assert counts.tolist() == [[1, 1, 1], [0, 0, 0], [0, 0, 1]]


def test_class_scores_by_hand():
    scores = class_scores(np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]]))
    assert scores.error == pytest.approx(3 / 12)
    assert scores.dice[:2] == pytest.approx([12 / 15, 6 / 9])
    assert scores.iou[:2] == pytest.approx([6 / 9, 3 / 6])
    assert np.isnan(scores.dice[2]) and np.isnan(scores.iou[2])
    assert scores.mean_iou == pytest.approx((6 / 9 + 3 / 6) / 2)


def test_counts_of_objects_are_those_of_each_pair():
    random = np.random.default_rng(3)
    truth = np.kron(random.permutation(25).reshape(5, 5), np.ones((6, 6), int))
    found = np.where(random.random(truth.shape) < 0.85, np.roll(truth, 1, axis=0), 0)
    expected = []
    for overlap in (0.5, 0.6, 0.7):
        pairs = [(found == a, truth == b) for a in range(1, 25) for b in range(1, 25)]
        expected.append(sum((a & b).sum() > overlap * (a | b).sum() for a, b in pairs))
    counts = object_counts(found, truth, (0.5, 0.6, 0.7))
    assert counts.hits.tolist() == expected
    assert 0 < expected[-1] < expected[0]
    assert (counts.found, counts.truth) == (24, 24)
    assert average_precision(found, truth, overlap=0.6) == pytest.approx(expected[1] / (48 - expected[1]))


def test_background_is_no_object():
    pairs = object_pairs(np.array([[0, 4, 4, 0]]), np.array([[0, 2, 0, 2]]))
    assert (pairs.found.tolist(), pairs.truth.tolist()) == ([4], [2])
    assert pairs.overlaps == pytest.approx([1 / 3])
    assert object_counts(np.zeros((2, 2), int), np.zeros((2, 2), int), [0.5]).precisions.tolist() == [1]
