"""The boundary benchmark of Berkeley: how well maps of edges agree with what people drew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Mask: TypeAlias = NDArray[np.bool_]
Numbers: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]

MAX_DISTANCE = 0.0075  # between partners, as a share of the picture's diagonal
BATCH_PIXELS = 1 << 21  # of maps that are matched together: more is no faster, and takes memory
BLOCK = 1 << 21  # pairs of pixel and place that are looked up at once
STEPS_BETWEEN = 100  # two thresholds are interpolated at so many places
TINY = 1e-12


@dataclass(frozen=True)
class EdgeCounts:
    """Pixels of one picture at each of K thresholds; counts of several pictures add up.

    Attributes:
        matched_truth, truth: (K,), drawn pixels that were found and all drawn pixels, over all annotators.
        matched_predicted, predicted: (K,), predicted pixels that any annotator drew and all predicted pixels.
    """

    matched_truth: Numbers
    truth: Numbers
    matched_predicted: Numbers
    predicted: Numbers

    @property
    def recall(self) -> Floats:
        """(K,) in [0, 1], 0 where nothing was drawn."""
        return self.matched_truth / np.maximum(self.truth, TINY)

    @property
    def precision(self) -> Floats:
        """(K,) in [0, 1], 0 where nothing was predicted."""
        return self.matched_predicted / np.maximum(self.predicted, TINY)

    @property
    def f(self) -> Floats:
        """(K,) in [0, 1], the harmonic mean of precision and recall."""
        return harmonic(self.precision, self.recall)


@dataclass(frozen=True)
class EdgeScores:
    """What the benchmark says about a set of pictures.

    Attributes:
        ods: the best F with one threshold for all pictures.
        ods_threshold, ods_precision, ods_recall: where that is.
        ois: F when each picture has its own best threshold.
        ap: average precision, the area under the curve where it is known; 0 if that is a single point.
        r50: recall at a precision of 50 %; at the lowest threshold if precision never falls that low.
        precision, recall: (K,), the curve.
        thresholds: (K,), rising.
    """

    ods: float
    ods_threshold: float
    ods_precision: float
    ods_recall: float
    ois: float
    ap: float
    r50: float
    precision: Floats
    recall: Floats
    thresholds: Floats

    @property
    def is_curve(self) -> bool:
        """Whether the thresholds give more than one point, as `ap` needs."""
        return len(np.unique(self.recall)) > 1


def edge_thresholds(count: int = 99) -> Floats:
    """`count` values that cut [0, 1] in equal parts; with 99, the benchmark's own."""
    return np.arange(1, count + 1) / (count + 1)


def harmonic(precision: Floats, recall: Floats) -> Floats:
    """F = 2 P R / (P + R), 0 where both are."""
    return 2 * precision * recall / np.maximum(precision + recall, TINY)


def edge_counts(
    probabilities: NDArray[np.floating],
    annotators: Mask,
    thresholds: Sequence[float] | Floats,
    *,
    skeleton: Callable[[Mask], Mask],
    max_distance: float = MAX_DISTANCE,
) -> EdgeCounts:
    """Matched and unmatched pixels of one picture.

    Args:
        probabilities: (H, W) in [0, 1], thin; a pixel is an edge from the threshold on, but never at 0.
        annotators: (A, H, W), boundaries as each of them drew them.
        thresholds: K of them, rising.
        skeleton: makes the lines of a mask (H, W) one pixel wide.
        max_distance: between partners, as a share of the diagonal.
    Reference:
        Martin, Fowlkes & Malik 2004, Learning to detect natural image boundaries using local brightness, color,
        and texture cues, sec. IV. Arbeláez et al. 2011, Contour detection and hierarchical image segmentation.
    """
    distance = max_distance * float(np.hypot(*probabilities.shape))
    cuts = [max(threshold, TINY) for threshold in thresholds]
    # The masks lie one in the other, so those with as many pixels are the same. Made again below, where they are
    # needed: all at once they would take a hundred bytes a pixel.
    sizes, first, which = np.unique(
        [np.count_nonzero(probabilities >= cut) for cut in cuts], return_index=True, return_inverse=True
    )
    at_once = max(1, BATCH_PIXELS // annotators.size)
    found = np.zeros((3, len(sizes)), np.int64)
    for begin in range(0, len(sizes), at_once):
        masks = np.stack([skeleton(probabilities >= cuts[index]) for index in first[begin : begin + at_once]])
        pairs = np.broadcast_to(masks[:, None], (len(masks), *annotators.shape))
        predicted, truth = match_edges(pairs, np.broadcast_to(annotators, pairs.shape), distance)
        counts = truth.sum((1, 2, 3)), predicted.any(1).sum((1, 2)), masks.sum((1, 2))
        found[:, begin : begin + at_once] = counts
    matched_truth, matched_predicted, predicted_pixels = found[:, which]
    truth_pixels = np.full(len(cuts), annotators.sum(), np.int64)
    return EdgeCounts(matched_truth, truth_pixels, matched_predicted, predicted_pixels)


def match_edges(predicted: Mask, truth: Mask, max_distance: float) -> tuple[Mask, Mask]:
    """Which pixels find a partner, when as many as possible do and each has at most one.

    Partners are chosen nearest first; then pixels that were left over get one where others can move on. That
    gives the greatest number of pairs, and nobody who has a partner loses it.

    Args:
        predicted, truth: (..., H, W); what comes before H and W are pairs of maps to be matched by themselves.
            Many at once take much less time than one after the other.
        max_distance: between partners, pixels.
    Returns:
        The pixels with a partner, of `predicted` and of `truth`.
    Reference:
        Hopcroft & Karp 1973, An n^5/2 algorithm for maximum matchings in bipartite graphs; searched from all
        pixels at once as by Azad, Buluç & Pothen 2015, A parallel tree grafting algorithm for maximum
        cardinality matching in bipartite graphs.
    """
    reach = int(max_distance)
    frame = [(0, 0)] * (truth.ndim - 2) + [(reach, reach)] * 2  # so that nobody looks into the next map
    places, drawn = (np.flatnonzero(np.pad(maps, frame)) for maps in (predicted, truth))
    size = int(np.prod(truth.shape[:-2])) * (truth.shape[-2] + 2 * reach) * (truth.shape[-1] + 2 * reach)
    number = np.full(size, -1, np.int32)
    number[places] = np.arange(len(places))
    matching = _Matching(number, drawn, _steps(max_distance, truth.shape[-1] + 2 * reach), len(places))
    matching.augment()
    partners = matching.partner[matching.partner >= 0]
    matched = np.zeros((2, *truth.shape), bool)
    matched[0][predicted] = np.isin(np.arange(len(places)), partners, assume_unique=True, kind="table")
    matched[1][truth] = matching.partner >= 0
    return matched[0], matched[1]


def _steps(max_distance: float, stride: int) -> Numbers:
    """From a pixel to all places within a distance, nearest first, as differences of flat indices."""
    reach = int(max_distance)
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    distance = rows**2 + columns**2
    order = np.argsort(distance, kind="stable")
    return (rows * stride + columns)[order[: (distance <= max_distance**2).sum()]]


class _Matching:
    """Drawn pixels and their partners among the predicted ones, both by number.

    Attributes:
        partner: of each drawn pixel, -1 for none.
        owner: of each predicted pixel, its partner or -1.
    """

    def __init__(self, number: NDArray[np.int32], drawn: Numbers, steps: Numbers, predicted: int) -> None:
        """Match nearest first.

        Args:
            number: of the predicted pixel at each place, -1 where there is none.
            drawn: places of the drawn pixels.
            steps: from a drawn pixel to the places of possible partners.
            predicted: how many predicted pixels there are.
        """
        self.partner = np.full(len(drawn), -1, np.int64)
        self.owner = np.full(predicted, -1, np.int64)
        self._look_up(number, drawn, steps)
        left = np.flatnonzero(np.diff(self.starts))
        for step in steps:
            # Two pixels never take the same step to the same place, so all may take it at once.
            found = number[drawn[left] + step]
            free = (found >= 0) & (self.owner[found] < 0)
            self._pair(left[free], found[free])
            left = left[~free]

    def _look_up(self, number: NDArray[np.int32], drawn: Numbers, steps: Numbers) -> None:
        """Possible partners of drawn pixel i: `candidates[starts[i] : starts[i + 1]]`."""
        counts, parts = [], []
        for block in np.array_split(drawn, 1 + len(drawn) * len(steps) // BLOCK):
            found = number[block[:, None] + steps]
            there = found >= 0
            counts.append(there.sum(1))
            parts.append(found[there])
        self.candidates = np.concatenate(parts)
        self.starts = np.concatenate([[0], np.cumsum(np.concatenate(counts))])

    def _pair(self, drawn: Numbers, predicted: Numbers) -> None:
        self.partner[drawn] = predicted
        self.owner[predicted] = drawn

    def augment(self) -> None:
        """Find partners for drawn pixels that have none, until no way is left to do so."""
        roots = np.flatnonzero((self.partner < 0) & (np.diff(self.starts) > 0))
        while len(roots):
            ends, parent = self._grow(roots)
            if not len(ends):
                return
            while len(ends):  # each gives up its partner to who stands before it on the way to the root
                drawn = parent[ends]
                given_up = self.partner[drawn]
                self._pair(drawn, ends)
                ends = given_up[given_up >= 0]
            roots = roots[self.partner[roots] < 0]

    def _grow(self, roots: Numbers) -> tuple[Numbers, Numbers]:
        """Trees of ways from drawn pixels without a partner, all at once and without a pixel in common.

        Returns:
            Predicted pixels without a partner that were reached, at most one from each root, and for each
            predicted pixel the drawn one it was reached from.
        """
        parent = np.full(len(self.owner), -1, np.int64)
        root = np.full(len(self.partner), -1, np.int64)
        root[roots] = roots
        grown = np.zeros(len(self.partner), bool)
        ends = []
        while len(roots):
            drawn, predicted = self._edges(roots)
            new = parent[predicted] < 0
            drawn, predicted = drawn[new], predicted[new]
            parent[predicted] = drawn
            first = parent[predicted] == drawn  # one of several that reached the same
            drawn, predicted = drawn[first], predicted[first]
            owner, tree = self.owner[predicted], root[drawn]
            free = owner < 0
            if free.any():
                trees, index = np.unique(tree[free], return_index=True)
                ends.append(predicted[free][index])
                grown[trees] = True
            owner, tree = owner[~free], tree[~free]
            root[owner] = tree
            roots = owner[~grown[tree]]
        return (np.concatenate(ends) if ends else np.empty(0, np.int64)), parent

    def _edges(self, drawn: Numbers) -> tuple[Numbers, NDArray[np.int32]]:
        """All pairs of some drawn pixels and their possible partners."""
        begin, count = self.starts[drawn], self.starts[drawn + 1] - self.starts[drawn]
        offset = np.cumsum(count) - count
        index = np.arange(count.sum()) + np.repeat(begin - offset, count)
        return np.repeat(drawn, count), self.candidates[index]


def summarise(counts: Sequence[EdgeCounts], thresholds: Sequence[float] | Floats) -> EdgeScores:
    """The benchmark's numbers for a set of pictures.

    Args:
        counts: of each picture, at the same K thresholds.
        thresholds: (K,), rising.
    """
    cuts = np.asarray(thresholds, np.float64)
    total = _total(counts)
    best = [int(each.f.argmax()) for each in counts]
    chosen = [
        EdgeCounts(*(part[[k]] for part in vars(each).values())) for each, k in zip(counts, best, strict=True)
    ]
    ods, threshold, precision, recall = _best_between(total, cuts)
    return EdgeScores(
        ods=ods,
        ods_threshold=threshold,
        ods_precision=precision,
        ods_recall=recall,
        ois=float(_total(chosen).f[0]),
        ap=_average_precision(total),
        r50=_recall_at_half(total),
        precision=total.precision,
        recall=total.recall,
        thresholds=cuts,
    )


def _total(counts: Sequence[EdgeCounts]) -> EdgeCounts:
    return EdgeCounts(
        *(np.sum(parts, axis=0) for parts in zip(*(vars(each).values() for each in counts), strict=True))
    )


def _best_between(total: EdgeCounts, thresholds: Floats) -> tuple[float, float, float, float]:
    """The best F on the curve, whose points are joined by straight lines; its threshold, precision and recall."""
    places = np.linspace(0, len(thresholds) - 1, (len(thresholds) - 1) * STEPS_BETWEEN + 1)
    known = np.arange(len(thresholds))
    precision, recall = (np.interp(places, known, curve) for curve in (total.precision, total.recall))
    f = harmonic(precision, recall)
    k = int(f.argmax())
    return float(f[k]), float(np.interp(places[k], known, thresholds)), float(precision[k]), float(recall[k])


def _average_precision(total: EdgeCounts) -> float:
    """Precision over recalls of 0, 0.01, ... 1, summed where the curve reaches."""
    some = total.predicted > 0
    recall, first = np.unique(total.recall[some], return_index=True)
    if len(recall) < 2:
        return 0.0
    grid = np.linspace(0, 1, 101)
    reached = (grid >= recall[0]) & (grid <= recall[-1])
    return float(np.interp(grid[reached], recall, total.precision[some][first]).sum() / 100)


def _recall_at_half(total: EdgeCounts) -> float:
    some = total.predicted > 0
    precision, first = np.unique(total.precision[some], return_index=True)
    if not len(precision):
        return 0.0
    return float(np.interp(max(precision[0], 0.5), precision, total.recall[some][first]))
