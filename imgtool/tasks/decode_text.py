"""Texts from what is known of each frame: the best class of each, or the likeliest text by prefix beam search."""

from __future__ import annotations

from collections import defaultdict
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from imgtool.losses.ctc import BLANK

Text: TypeAlias = tuple[int, ...]  # classes from 1 on
NEVER = -np.inf  # a logarithm of 0
NEGLIGIBLE = np.log(1e-4)  # characters of a frame that are less likely are not followed


def best_path(log_probabilities: NDArray[np.floating]) -> Text:
    """The text of the likeliest path: the best class of each frame, without repeats and blanks.

    Args:
        log_probabilities: (T, K), class 0 the blank.
    """
    path = log_probabilities.argmax(axis=1)
    kept = path[np.flatnonzero(np.diff(path, prepend=-1))]
    return tuple(int(each) for each in kept if each != BLANK)


def beam_search(
    log_probabilities: NDArray[np.floating], width: int, *, least: float = NEGLIGIBLE
) -> list[tuple[Text, float]]:
    """The likeliest texts, each with the logarithm of its probability over the paths that were followed.

    A text is followed together with all paths that make it so far, apart for those that end in a blank: after one of
    these the last character may come once more.

    Args:
        log_probabilities: (T, K), class 0 the blank.
        width: texts that are kept after each frame.
        least: logarithm of the probability from which on a character of a frame is followed.
    Returns:
        At most `width` texts, the likeliest first; the probabilities are exact where nothing was dropped.
    Reference:
        Graves & Jaitly 2014, https://proceedings.mlr.press/v32/graves14.html, algorithm 1; Hannun et al. 2014,
        https://arxiv.org/abs/1408.2873.
    """
    beam: dict[Text, tuple[float, float]] = {(): (0.0, NEVER)}  # ending in a blank, and in the last character
    for frame in log_probabilities.astype(np.float64):
        likely = [int(each) for each in np.flatnonzero(frame >= least) if each != BLANK]
        found: defaultdict[Text, list[float]] = defaultdict(lambda: [NEVER, NEVER])
        for text, (blank, last) in beam.items():
            either = np.logaddexp(blank, last)
            ends = found[text]
            ends[0] = np.logaddexp(ends[0], either + frame[BLANK])
            if text:
                ends[1] = np.logaddexp(ends[1], last + frame[text[-1]])
            for each in likely:
                longer = found[(*text, each)]
                before = blank if text and each == text[-1] else either
                longer[1] = np.logaddexp(longer[1], before + frame[each])
        scores = {text: float(np.logaddexp(ends[0], ends[1])) for text, ends in found.items()}
        best = sorted((text for text in found if scores[text] > NEVER), key=lambda text: -scores[text])
        beam = {text: (found[text][0], found[text][1]) for text in best[:width]}
    return [(text, float(np.logaddexp(*ends))) for text, ends in beam.items()]
