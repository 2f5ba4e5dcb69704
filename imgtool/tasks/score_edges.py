"""How well maps of edges agree with what people drew, by the boundary benchmark of Berkeley."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from imgtool.imaging.labels import FALSE, GROUND, HIT, MISSED
from imgtool.imaging.levels import levels
from imgtool.imaging.thin import skeleton, thin_edges
from imgtool.metrics.edges import (
    MAX_DISTANCE,
    EdgeCounts,
    EdgeScores,
    Mask,
    edge_counts,
    edge_thresholds,
    match_edges,
    summarise,
)
from imgtool.tasks.spread import Spread

BORDER_PX = 5  # that the benchmark fades

Probabilities = NDArray[np.float32]
Item = TypeVar("Item")
# An item as its map (H, W) in [0, 1] and its annotators' boundaries (A, H, W).
Read = Callable[[Item], tuple[Probabilities, Mask]]
# Told of each picture: how many are done, and its counts.
OnImage = Callable[[int, EdgeCounts], None]


def score_edges(
    items: Sequence[Item],
    read: Read[Item],
    *,
    thresholds: int = 99,
    thin: bool = True,
    spread: Spread = map,
    on_image: OnImage = lambda done, counts: None,
) -> EdgeScores:
    """ODS, OIS, AP and the curve of precision over recall of a set of pictures.

    Args:
        items: pictures, of which `read` makes maps and boundaries.
        read: called where the work is done, so that no more is in memory than is worked on.
        thresholds: how many; the benchmark has 99.
        thin: whether maps are thinned first, as those of networks must be.
        spread: how the work is done, by default one picture after the other.
        on_image: told of each picture in order.
    """
    cuts = edge_thresholds(thresholds)
    found = []
    for counts in spread(partial(_counts, read, cuts, thin), items):
        found.append(counts)
        on_image(len(found), counts)
    return summarise(found, cuts)


def thinned(probabilities: Probabilities) -> Probabilities:
    """Crests as the benchmark sees them: its maps are files of 8 bits, with a faded border.

    Args:
        probabilities: (H, W) in [0, 1].
    """
    return (levels(thin_edges(probabilities, border_px=BORDER_PX)) / np.float32(255)).astype(np.float32)


def _counts(read: Read[Item], cuts: NDArray[np.float64], thin: bool, item: Item) -> EdgeCounts:
    probabilities, annotators = read(item)
    edges = thinned(probabilities) if thin else probabilities
    return edge_counts(edges, annotators, cuts, skeleton=skeleton)


def judged(
    probabilities: Probabilities, annotators: Mask, threshold: float, *, thin: bool = True
) -> NDArray[np.uint8]:
    """A picture of what was found, what nobody drew, and what was missed.

    Args:
        probabilities: (H, W) in [0, 1].
        annotators: (A, H, W).
        threshold: from which on a pixel is an edge.
        thin: whether the map is thinned first.
    Returns:
        (H, W, 3): black where a predicted pixel has a partner, orange where it has none, blue where a drawn pixel
        has none, the stronger the more annotators drew it.
    """
    edges = thinned(probabilities) if thin else probabilities
    predicted = skeleton(edges >= threshold)
    pairs = np.broadcast_to(predicted, annotators.shape)
    hit, found = match_edges(pairs, annotators, MAX_DISTANCE * float(np.hypot(*predicted.shape)))
    missed = (annotators & ~found).mean(axis=0)[..., None]
    picture: NDArray[np.uint8] = np.rint(missed * MISSED + (1 - missed) * GROUND).astype(np.uint8)
    picture[predicted] = FALSE
    picture[hit.any(axis=0)] = HIT
    return picture
