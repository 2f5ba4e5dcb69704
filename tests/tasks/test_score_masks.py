import numpy as np
import pytest

from imgtool.imaging.labels import FALSE, GROUND, HIT, MISSED
from imgtool.metrics.masks import BORDER_THRESHOLDS
from imgtool.tasks.score_masks import (
    CONFUSED,
    OVERLAPS,
    RAGGED,
    judged_classes,
    judged_objects,
    score_borders,
    score_classes,
    score_objects,
)


def as_given(item):
    return item


@pytest.fixture
def inside():
    """Four cells of 15x20 with borders between them."""
    cells = np.ones((31, 41), bool)
    cells[15], cells[:, 20] = False, False
    return cells


def test_the_truth_itself_is_perfect(inside):
    scores = score_borders([(inside.astype(np.float32), inside)], as_given)
    assert (scores.best.rand, scores.best.info, scores.error) == pytest.approx((1, 1, 0))
    assert list(scores.dice) == list(scores.iou) == [1, 1]


def test_a_gap_merges_and_a_wall_splits(inside):
    gap, wall = (inside.astype(np.float32) for _ in range(2))
    gap[15, 5:12] = 1
    wall[:, 10] = 0
    merged, split = (score_borders([(each, inside)], as_given) for each in (gap, wall))
    assert merged.rand_split == pytest.approx(1, abs=0.01) and merged.rand_merge < 0.8
    assert split.rand_merge == pytest.approx(1, abs=0.01) and split.rand_split < 0.8
    assert merged.best.rand == pytest.approx(2 / (1 / merged.rand_split + 1 / merged.rand_merge))


def test_one_threshold_is_the_best_for_all_pictures(inside):
    """A picture that is right above 0.2 alone and one below 0.7 alone are both right in between."""
    low, high = (np.where(inside, of, border).astype(np.float32) for of, border in ((1, 0.2), (0.7, 0)))
    scores = score_borders([(low, inside), (high, inside)], as_given)
    assert scores.best.rand == pytest.approx(1)
    assert 0.2 <= scores.best.threshold < 0.7
    assert (
        scores.rands[BORDER_THRESHOLDS.index(0.15)] < 0.9
        and scores.rands[BORDER_THRESHOLDS.index(0.75)] < 0.9
    )
    assert scores.rands[scores.rand_at] == scores.best.rand


def test_pixel_error_is_best_at_its_own_threshold(inside):
    faint = np.where(inside, 0.3, 0.1).astype(np.float32)
    scores = score_borders([(faint, inside)], as_given)
    assert scores.error == pytest.approx(inside.mean())
    assert scores.best_error == 0 and 0.1 < scores.error_threshold <= 0.3
    assert scores.dice == pytest.approx([2 * (~inside).mean() / (1 + (~inside).mean()), 0])


def test_classes_are_counted_over_all_pixels():
    truth = np.array([[0, 0, 1, 1]]), np.array([[0, 0, 0, 0]])
    found = np.array([[0, 1, 1, 1]]), np.array([[0, 0, 0, 2]])
    scores = score_classes(list(zip(found, truth, strict=True)), as_given, 3)
    assert scores.scores.error == 2 / 8
    assert list(scores.scores.iou) == pytest.approx([4 / 6, 2 / 3, 0])
    assert [image.error for image in scores.images] == [1 / 4, 1 / 4]
    assert np.isnan(scores.images[1].iou[1])  # neither there nor found
    assert scores.images[1].mean_iou == pytest.approx((3 / 4 + 0) / 2)


def squares(*numbers, shift=0):
    labels = np.zeros((12, 60), np.int64)
    for place, number in enumerate(numbers):
        labels[1:11, 15 * place + 1 + shift : 15 * place + 11 + shift] = number
    return labels


def test_objects_count_whatever_their_numbers():
    scores = score_objects([(squares(7, 9, 2), squares(1, 2, 3))], as_given)
    assert list(scores.precisions) == [1] * len(OVERLAPS)
    assert (scores.precision, scores.recall, scores.dice) == (1, 1, 1)


def test_objects_are_lost_where_the_overlap_is_too_small():
    """Moved by 2 of 10, the IoU is 8/12."""
    scores = score_objects([(squares(1, 2, shift=2), squares(1, 2))], as_given)
    assert list(scores.precisions) == [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert scores.dice == pytest.approx(0.8)


def test_precision_and_recall_are_of_all_objects_but_ap_is_of_pictures():
    pictures = [
        (squares(1, 2, 3, 4), squares(1, 2, 3, 4)),
        (squares(1), squares(0, 1, 2)),
        (squares(), squares()),
    ]
    scores = score_objects(pictures, as_given)
    assert (scores.precision, scores.recall) == (4 / 5, 4 / 6)
    assert scores.precisions[0] == pytest.approx((1 + 0 + 1) / 3)


def test_pictures_are_told_and_any_map_spreads_the_work(inside):
    told = []
    items = [(squares(1), squares(1)), (squares(1), squares(1, 2))]
    scores = score_objects(items, as_given, spread=lambda do, them: map(do, them), on_image=told.append)
    assert told == [1, 2]
    assert [image.counts.truth for image in scores.images] == [1, 2]


def test_judged_classes_tell_right_from_wrong():
    picture = judged_classes(np.array([[0, 1, 1, 0, 2]]), np.array([[0, 1, 0, 1, 1]]))
    assert [tuple(pixel) for pixel in picture[0]] == [GROUND, HIT, FALSE, MISSED, CONFUSED]


def test_judged_objects_tell_found_from_false_and_missed():
    found, truth = squares(5, 0, 6, shift=1), squares(1, 2, 0)
    picture = judged_objects(found, truth)
    at = {place: tuple(picture[5, place]) for place in (5, 20, 35, 1, 11, 13)}
    assert at == {5: HIT, 20: MISSED, 35: FALSE, 1: RAGGED, 11: RAGGED, 13: GROUND}


def test_objects_that_touch_stay_apart_in_a_picture():
    truth = np.repeat([[1, 2]], 6, axis=1).repeat(4, axis=0)
    picture = judged_objects(truth, truth)
    assert [tuple(pixel) for pixel in picture[2, 4:8]] == [HIT, GROUND, HIT, HIT]
