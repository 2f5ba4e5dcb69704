"""How well masks agree with the truth: V-Rand, V-Info, pixel error, Dice, IoU, and objects found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BORDER_THRESHOLDS = tuple(round(value / 100, 2) for value in (1, 2, 3, 4, *range(5, 100, 5), 96, 97, 98, 99))


@dataclass(frozen=True)
class VScores:
    """Agreement of two segmentations, in [0, 1]; 1 is perfect.

    Attributes:
        rand: foreground-restricted Rand F-score, of these two parts:
        rand_split: falls where objects of the truth are split.
        rand_merge: falls where they are merged.
        info: foreground-restricted information F-score, of these two parts:
        info_split, info_merge: the same.
    """

    rand: float
    rand_split: float
    rand_merge: float
    info: float
    info_split: float
    info_merge: float


def v_scores(found: NDArray[Any], truth: NDArray[Any]) -> VScores:
    """V-Rand and V-Info of one segmentation.

    With p_ij the share of pixels in segment i of `found` and j of `truth`, counted where the truth is not 0:
    V-Rand = 2 sum p_ij^2 / (sum s_i^2 + sum t_j^2), V-Info = 2 I(S; T) / (H(S) + H(T)); their parts are
    sum p_ij^2 / sum t_j^2 and I(S; T) / H(S) of splits, sum p_ij^2 / sum s_i^2 and I(S; T) / H(T) of mergers.

    Args:
        found: (H, W) of whole numbers, a segment each.
        truth: (H, W) of whole numbers; 0 is not counted.
    Raises:
        ValueError: the truth is 0 everywhere.
    Reference:
        Arganda-Carreras et al. 2015, "Crowdsourcing the creation of image segmentation algorithms for connectomics".
    """
    counted = truth > 0
    if not counted.any():
        raise ValueError("nothing in the truth is counted")
    segments, objects = found[counted].astype(np.int64), truth[counted].astype(np.int64)
    _, joint = np.unique(segments * (objects.max() + 1) + objects, return_counts=True)
    shares = [counts / len(segments) for counts in (joint, np.bincount(segments), np.bincount(objects))]
    both, one, other = (share[share > 0] for share in shares)
    together, squares = (np.square(both).sum(), [np.square(share).sum() for share in (one, other)])
    rand = 2 * together / sum(squares)
    joined, *entropies = (float(-(share * np.log2(share)).sum()) for share in (both, one, other))
    sides = sum(entropies)
    shared = max(0.0, sides - joined)
    info = 2 * shared / sides if sides > 0 else 1.0
    info_split, info_merge = (shared / entropy if entropy > 0 else 1.0 for entropy in entropies)
    return VScores(
        rand=float(rand),
        rand_split=float(together / squares[1]),
        rand_merge=float(together / squares[0]),
        info=info,
        info_split=info_split,
        info_merge=info_merge,
    )


def cells(foreground: NDArray[np.floating[Any]], threshold: float) -> NDArray[np.int32]:
    """The regions that a probability of cell makes, grown to each other until no border is left between them.

    As the challenge does: connected (by four) where the probability is above the threshold, then a watershed.

    Args:
        foreground: (H, W) in [0, 1], the probability that a pixel is of a cell.
        threshold: above which it is one.
    Returns:
        (H, W): the number of each pixel's region, from 1 on; 0 where there is none at all.
    """
    from scipy import ndimage
    from skimage.segmentation import watershed

    regions, count = ndimage.label(foreground > threshold)
    if not count:
        return np.zeros(foreground.shape, np.int32)
    hills = (np.float32(255) * (1 - foreground)).astype(np.uint8)
    grown: NDArray[np.int32] = watershed(hills, regions)  # type: ignore[no-untyped-call]
    return grown


def border_table(
    foreground: NDArray[np.floating[Any]], truth: NDArray[Any], thresholds: Sequence[float]
) -> list[VScores]:
    """V-Rand and V-Info of one picture at each threshold.

    Args:
        foreground: (H, W) in [0, 1], the probability that a pixel is of a cell.
        truth: (H, W), cells by number, 0 on the borders between them.
        thresholds: to try.
    """
    scores: list[VScores] = []
    before = -1
    for threshold in thresholds:
        # What lies above one threshold lies above a lower one too: as many pixels are the same pixels.
        inside = int(np.count_nonzero(foreground > threshold))
        if inside != before:
            scores.append(v_scores(cells(foreground, threshold), truth))
        else:
            scores.append(scores[-1])
        before = inside
    return scores


@dataclass(frozen=True)
class BorderScores:
    """Scores over a set of pictures; the threshold is one for all of them, the best for each measure."""

    rand: float
    info: float
    threshold: float
    info_threshold: float
    rand_at_half: float
    info_at_half: float


def best_borders(tables: Sequence[Sequence[VScores]], thresholds: Sequence[float]) -> BorderScores:
    """V-Rand and V-Info of a set of pictures.

    Args:
        tables: of each picture, its `border_table`.
        thresholds: those of the tables, among them 0.5.
    Returns:
        The means over the pictures, at the threshold with the best V-Rand for `rand`, with the best V-Info for
        `info`; `threshold` is the former.
    """
    rand, info = (
        np.mean([[getattr(score, name) for score in row] for row in tables], axis=0)
        for name in ("rand", "info")
    )
    half = thresholds.index(0.5)
    best, best_info = int(rand.argmax()), int(info.argmax())
    return BorderScores(
        rand=float(rand[best]),
        info=float(info[best_info]),
        threshold=thresholds[best],
        info_threshold=thresholds[best_info],
        rand_at_half=float(rand[half]),
        info_at_half=float(info[half]),
    )


def dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """2 |A and B| / (|A| + |B|), in [0, 1]; 1 if both are empty."""
    total = int(found.sum()) + int(truth.sum())
    return 2 * int((found & truth).sum()) / total if total else 1.0


def confusion(found: NDArray[Any], truth: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """How many pixels of each class were taken for which, (classes, classes): rows are the truth's.

    Args:
        found, truth: (H, W) of whole numbers from 0 to below `classes`.
        classes: how many.
    """
    pairs = truth.astype(np.int64).ravel() * classes + found.ravel()
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


@dataclass(frozen=True, eq=False)
class ClassScores:
    """How well classes were told apart.

    Attributes:
        error: share of pixels with the wrong class.
        dice, iou: (classes,), in [0, 1]; NaN where a class neither is nor was found.
    """

    error: float
    dice: NDArray[np.float64]
    iou: NDArray[np.float64]

    @property
    def mean_dice(self) -> float:
        """Over the classes that are there or were found."""
        return float(np.nanmean(self.dice))

    @property
    def mean_iou(self) -> float:
        """Over the classes that are there or were found."""
        return float(np.nanmean(self.iou))


def class_scores(counts: NDArray[np.int64]) -> ClassScores:
    """Pixel error, Dice and IoU of each class, from a `confusion` or the sum of several."""
    right = np.diag(counts).astype(np.float64)
    sizes = counts.sum(axis=0) + counts.sum(axis=1)
    known = np.where(sizes > 0, sizes, np.nan)
    return ClassScores(1 - float(right.sum() / counts.sum()), 2 * right / known, right / (known - right))


@dataclass(frozen=True, eq=False)
class ObjectCounts:
    """Objects of a picture.

    Attributes:
        hits: how many were found, (K,), for each overlap that is asked for.
        found, truth: how many there are.
    """

    hits: NDArray[np.int64]
    found: int
    truth: int

    @property
    def precisions(self) -> NDArray[np.float64]:
        """TP / (TP + FP + FN) for each overlap, (K,); 1 if there are none and none was found."""
        either = self.found + self.truth - self.hits
        return np.where(either > 0, self.hits / np.maximum(1, either), 1.0)


def object_counts(found: NDArray[Any], truth: NDArray[Any], overlaps: Sequence[float]) -> ObjectCounts:
    """Which objects are found: those whose IoU with one of `found` is above an overlap, as `object_pairs` says."""
    pairs = object_pairs(found, truth)
    hits = [int((pairs.overlaps > overlap).sum()) for overlap in overlaps]
    counts = [int((np.unique(side) > 0).sum()) for side in (found, truth)]
    return ObjectCounts(np.array(hits, np.int64), *counts)


@dataclass(frozen=True, eq=False)
class ObjectPairs:
    """Objects that share pixels: their numbers in `found` and `truth`, and their IoU, (N,) each."""

    found: NDArray[np.int64]
    truth: NDArray[np.int64]
    overlaps: NDArray[np.float64]


def object_pairs(found: NDArray[Any], truth: NDArray[Any]) -> ObjectPairs:
    """Each object with those it shares pixels with; from an IoU of one half on, no two can share one.

    Args:
        found, truth: (H, W) of whole numbers: 0 is background, each other value one object.
    """
    width = int(truth.max()) + 1
    pairs, both = np.unique(found.astype(np.int64) * width + truth, return_counts=True)
    first, second = pairs // width, pairs % width
    areas = [np.bincount(side, both).astype(np.int64) for side in (first, second)]
    objects = (first > 0) & (second > 0)
    union = areas[0][first] + areas[1][second] - both
    return ObjectPairs(first[objects], second[objects], (both / union)[objects])


def average_precision(found: NDArray[Any], truth: NDArray[Any], *, overlap: float = 0.5) -> float:
    """Objects found: TP / (TP + FP + FN), in [0, 1]; 1 if there are none and none was found.

    An object is found if its IoU with one of `found` is above `overlap`.

    Args:
        found, truth: (H, W) of whole numbers: 0 is background, each other value one object.
        overlap: from 0.5 to below 1.
    Reference:
        Caicedo et al. 2019, "Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl".
    """
    if not 0.5 <= overlap < 1:
        raise ValueError(f"overlap must be from 0.5 to below 1, got {overlap}")
    return float(object_counts(found, truth, [overlap]).precisions[0])
