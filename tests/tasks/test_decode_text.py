import itertools
import math

import numpy as np
import pytest

from imgtool.tasks.decode_text import NEVER, beam_search, best_path


def known(frames, classes, seed, spread=2.0):
    logits = spread * np.random.default_rng(seed).standard_normal((frames, classes))
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def by_all_paths(log_probabilities):
    frames, classes = log_probabilities.shape
    found = {}
    for path in itertools.product(range(classes), repeat=frames):
        text = tuple(each for each, _ in itertools.groupby(path) if each)
        score = sum(log_probabilities[frame, each] for frame, each in enumerate(path))
        found[text] = found.get(text, 0.0) + math.exp(score)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_that_drops_nothing_is_exact(seed):
    frames = known(5, 3, seed)
    expected = by_all_paths(frames)
    found = beam_search(frames, 10_000, least=NEVER)
    assert {text for text, _ in found} == set(expected)
    for text, score in found:
        assert math.exp(score) == pytest.approx(expected[text]), text
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)


@pytest.mark.parametrize("seed", range(20))
def test_a_beam_finds_the_likeliest_text(seed):
    frames = known(6, 3, seed, spread=1.5)
    expected = by_all_paths(frames)
    best = max(expected, key=expected.get)
    assert beam_search(frames, 8)[0][0] == best


def test_a_beam_sees_more_than_the_best_path():
    """The best path is blank twice, with 0.36; the text "a" has three paths, with 0.64 in all."""
    frames = np.log(np.array([[0.6, 0.4], [0.6, 0.4]]))
    assert best_path(frames) == ()
    text, score = beam_search(frames, 2)[0]
    assert text == (1,)
    assert math.exp(score) == pytest.approx(0.64)


def test_best_path_is_the_likeliest_path():
    for seed in range(10):
        frames = known(5, 3, seed)
        path = max(
            itertools.product(range(3), repeat=5),
            key=lambda path: sum(frames[frame, each] for frame, each in enumerate(path)),
        )
        assert best_path(frames) == tuple(each for each, _ in itertools.groupby(path) if each)


@pytest.mark.parametrize(
    ("path", "text"), [((1, 1, 2), (1, 2)), ((1, 0, 1), (1, 1)), ((0, 0, 0), ()), ((2, 0, 0), (2,))]
)
def test_repeats_and_blanks(path, text):
    frames = np.full((3, 3), -10.0)
    frames[range(3), path] = 0
    assert best_path(frames) == text
    assert beam_search(frames, 4)[0][0] == text


def test_the_beam_is_as_wide_as_asked_for():
    for width in (1, 2, 5):
        assert len(beam_search(known(6, 4, 0, spread=0.1), width, least=NEVER)) == width


def test_no_frames_say_nothing():
    assert best_path(np.zeros((0, 3))) == ()
    assert beam_search(np.zeros((0, 3)), 3) == [((), 0.0)]
