import numpy as np
import pytest

from imgtool.imaging.labels import FALSE, HIT
from imgtool.tasks.score_edges import judged, score_edges, thinned


def line(row, strength=1.0, width=3):
    """A blurred horizontal line, 40x60."""
    distance = np.abs(np.arange(40)[:, None] - row) * np.ones((1, 60))
    return (strength * np.clip(1 - distance / width, 0, 1)).astype(np.float32)


def drawn(*rows):
    truth = np.zeros((1, 40, 60), bool)
    for row in rows:
        truth[0, row] = True
    return truth


def test_a_broad_line_in_its_place_is_found():
    scores = score_edges([(line(15), drawn(15))], lambda item: item, thresholds=19)
    assert scores.ods > 0.9


def test_a_line_elsewhere_is_not():
    scores = score_edges([(line(15), drawn(25))], lambda item: item, thresholds=19)
    assert scores.ods < 0.05


def test_thin_maps_are_taken_as_they_are():
    """Of three lines side by side, thinning leaves the strongest."""
    stripes = np.zeros((40, 60), np.float32)
    stripes[[18, 20, 22]] = np.array([[0.6], [0.9], [0.6]], np.float32)
    told = {}
    for thin in (True, False):
        score_edges(
            [(stripes, drawn(20))],
            lambda item: item,
            thresholds=1,
            thin=thin,
            on_image=lambda done, counts, thin=thin: told.update({thin: int(counts.predicted[0])}),
        )
    assert told[False] == 180
    assert told[True] != 180


def test_pictures_are_told_in_order():
    told = []
    items = [(line(10), drawn(10)), (line(12), drawn(30))]
    score_edges(
        items,
        lambda item: item,
        thresholds=5,
        on_image=lambda done, counts: told.append((done, counts)),
    )
    assert [done for done, _ in told] == [1, 2]
    assert told[0][1].f.max() > 0.9 > told[1][1].f.max()


def test_any_map_may_spread_the_work():
    items = [(line(row), drawn(row)) for row in (10, 20)]
    spread = score_edges(
        items, lambda item: item, thresholds=5, spread=lambda function, items: map(function, items)
    )
    assert spread.ods == score_edges(items, lambda item: item, thresholds=5).ods


def test_thinned_is_one_pixel_wide_in_eight_bits():
    found = thinned(line(15, 0.8))
    assert ((found[:, 10:50] > 0).sum(axis=0) == 1).all()
    assert (found * 255) == pytest.approx(np.rint(found * 255), abs=1e-4)


def test_judged_tells_found_from_false_and_missed():
    picture = judged(np.maximum(line(10), line(30)), drawn(10, 20), 0.5)
    assert tuple(picture[10, 30]) == HIT
    assert tuple(picture[30, 30]) == FALSE
    assert picture[20, 30, 2] > picture[20, 30, 0]
    assert tuple(picture[25, 30]) == (255, 255, 255)
