"""How well masks agree with the truth: V-Rand, V-Info, pixel error, Dice, IoU, and objects found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

THRESHOLDS = tuple(round(value / 100, 2) for value in (1, 2, 3, 4, *range(5, 100, 5), 96, 97, 98, 99))


@dataclass(frozen=True)
class VScores:
    """Agreement of two segmentations, in [0, 1]; 1 is perfect.

    Attributes:
        rand: foreground-restricted Rand F-score.
        info: foreground-restricted information F-score.
    """

    rand: float
    info: float


def v_scores(found: NDArray[Any], truth: NDArray[Any]) -> VScores:
    """V-Rand and V-Info of one segmentation.

    With p_ij the share of pixels in segment i of `found` and j of `truth`, counted where the truth is not 0:
    V-Rand = 2 sum p_ij^2 / (sum s_i^2 + sum t_j^2), V-Info = 2 I(S; T) / (H(S) + H(T)).

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
    rand = 2 * np.square(both).sum() / (np.square(one).sum() + np.square(other).sum())
    entropies = [float(-(share * np.log2(share)).sum()) for share in (both, one, other)]
    sides = entropies[1] + entropies[2]
    info = 2 * (sides - entropies[0]) / sides if sides > 0 else 1.0
    return VScores(float(rand), float(info))


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


@dataclass(frozen=True)
class BorderScores:
    """Scores over a set of pictures; the threshold is one for all of them, the best for each measure."""

    rand: float
    info: float
    threshold: float
    rand_at_half: float
    info_at_half: float


def border_scores(
    foregrounds: Sequence[NDArray[np.floating[Any]]],
    truths: Sequence[NDArray[Any]],
    thresholds: Sequence[float] = THRESHOLDS,
) -> BorderScores:
    """V-Rand and V-Info of probabilities that a pixel is of a cell.

    Args:
        foregrounds: (H, W) each.
        truths: (H, W) each: cells by number, 0 on the borders between them.
        thresholds: to try.
    Returns:
        The means over the pictures, at the threshold with the best V-Rand for `rand`, with the best V-Info for
        `info`; `threshold` is the former.
    """
    tried = sorted({*thresholds, 0.5})
    table = [
        [v_scores(cells(each, threshold), truth) for threshold in tried]
        for each, truth in zip(foregrounds, truths, strict=True)
    ]
    rand, info = (
        np.mean([[getattr(score, name) for score in row] for row in table], axis=0)
        for name in ("rand", "info")
    )
    half = tried.index(0.5)
    best = int(rand.argmax())
    return BorderScores(
        float(rand[best]), float(info.max()), tried[best], float(rand[half]), float(info[half])
    )


def dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """2 |A and B| / (|A| + |B|), in [0, 1]; 1 if both are empty."""
    total = int(found.sum()) + int(truth.sum())
    return 2 * int((found & truth).sum()) / total if total else 1.0


def iou(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """|A and B| / |A or B|, in [0, 1]; 1 if both are empty."""
    union = int((found | truth).sum())
    return int((found & truth).sum()) / union if union else 1.0


def average_precision(found: NDArray[Any], truth: NDArray[Any], *, overlap: float = 0.5) -> float:
    """Objects found: TP / (TP + FP + FN), in [0, 1]; 1 if there are none and none was found.

    An object is found if its IoU with one of `found` is above `overlap`; from one half on, no two can share one.

    Args:
        found, truth: (H, W) of whole numbers: 0 is background, each other value one object.
        overlap: from 0.5 to below 1.
    Reference:
        Caicedo et al. 2019, "Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl".
    """
    if not 0.5 <= overlap < 1:
        raise ValueError(f"overlap must be from 0.5 to below 1, got {overlap}")
    width = int(truth.max()) + 1
    pairs, both = np.unique(found.astype(np.int64) * width + truth, return_counts=True)
    first, second = pairs // width, pairs % width
    areas = [np.bincount(side, both).astype(np.int64) for side in (first, second)]
    objects = (first > 0) & (second > 0)
    union = areas[0][first] + areas[1][second] - both
    hits = int((objects & (both > overlap * union)).sum())
    counts = [int((area[1:] > 0).sum()) for area in areas]
    missed = sum(counts) - 2 * hits
    return hits / (hits + missed) if hits + missed else 1.0
