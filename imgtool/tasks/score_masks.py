"""How well masks agree with the truth: borders between cells, classes of pixels, numbered objects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from imgtool.imaging.labels import FALSE, GROUND, HIT, MISSED
from imgtool.metrics.masks import (
    BORDER_THRESHOLDS,
    BorderScores,
    ClassScores,
    ObjectCounts,
    VScores,
    best_borders,
    border_table,
    class_scores,
    confusion,
    object_counts,
    object_pairs,
)
from imgtool.tasks.spread import Spread

HALF = BORDER_THRESHOLDS.index(0.5)
OVERLAPS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
# Pixels that are taken for another class; and what a found object has too much or too little.
CONFUSED, RAGGED = (204, 121, 167), (150, 150, 150)

Item = TypeVar("Item")
Counts = TypeVar("Counts")
Labels = NDArray[np.int64]
Classes = NDArray[Any]  # (H, W) of whole numbers
# An item as what was found and what is there, (H, W) each.
ReadBorders = Callable[[Item], tuple[NDArray[np.float32], NDArray[np.bool_]]]
ReadLabels = Callable[[Item], tuple[Labels, Labels]]
OnImage = Callable[[int], None]  # told how many pictures are done


@dataclass(frozen=True, eq=False)
class BorderCounts:
    """A picture of cells with borders between them, at each threshold of `BORDER_THRESHOLDS`.

    Attributes:
        table: V-Rand and V-Info.
        errors: shares of wrong pixels, (T,).
        half: of its two classes at 0.5.
    """

    table: Sequence[VScores]
    errors: NDArray[np.float64]
    half: ClassScores


@dataclass(frozen=True, eq=False)
class BorderSet:
    """Scores of a set of pictures of two values; all are means over the pictures.

    Attributes:
        best: V-Rand and V-Info, where the threshold is one for all.
        rand_split, rand_merge, info_split, info_merge: the parts of both at their thresholds.
        rands, infos: at each threshold of `BORDER_THRESHOLDS`.
        error: share of wrong pixels at 0.5.
        best_error, error_threshold: the least of them with one threshold.
        inverse_error: about the least if probabilities were those of the lower value.
        dice, iou: of the lower and the higher value, at 0.5.
        images: each picture's counts.
    """

    best: BorderScores
    rand_split: float
    rand_merge: float
    info_split: float
    info_merge: float
    rands: NDArray[np.float64]
    infos: NDArray[np.float64]
    error: float
    best_error: float
    error_threshold: float
    inverse_error: float
    dice: NDArray[np.float64]
    iou: NDArray[np.float64]
    images: Sequence[BorderCounts]

    @property
    def rand_at(self) -> int:
        """Where in `BORDER_THRESHOLDS` the best threshold for V-Rand is."""
        return BORDER_THRESHOLDS.index(self.best.threshold)

    @property
    def info_at(self) -> int:
        """Where in `BORDER_THRESHOLDS` the best threshold for V-Info is."""
        return BORDER_THRESHOLDS.index(self.best.info_threshold)


@dataclass(frozen=True, eq=False)
class ClassSet:
    """Scores of a set of pictures with several classes.

    Attributes:
        scores: over the pixels of all pictures.
        images: each picture's.
    """

    scores: ClassScores
    images: Sequence[ClassScores]


@dataclass(frozen=True, eq=False)
class ObjectImage:
    """A picture of objects: which were found, for each of `OVERLAPS`, and the Dice of what is no background."""

    counts: ObjectCounts
    dice: float


@dataclass(frozen=True, eq=False)
class ObjectSet:
    """Scores of a set of pictures of objects.

    Attributes:
        precisions: average precision at each of `OVERLAPS`, means over the pictures.
        precision, recall: the share of found objects that are right, and of true ones that were found, of all
            pictures at an IoU of 0.5; 1 where there are none.
        dice: of what is no background, the mean over the pictures.
        images: each picture's counts.
    """

    precisions: NDArray[np.float64]
    precision: float
    recall: float
    dice: float
    images: Sequence[ObjectImage]


def score_borders(
    items: Sequence[Item],
    read: ReadBorders[Item],
    *,
    spread: Spread = map,
    on_image: OnImage = lambda done: None,
) -> BorderSet:
    """Score probabilities of the higher of two values: cells, with borders between them.

    Args:
        items: pictures, of which `read` makes probabilities and whether a pixel is of the higher value.
        read: called where the work is done, so that no more is in memory than is worked on.
        spread: how the work is done, by default one picture after the other.
        on_image: told of each picture.
    """
    images = _each(partial(_borders, read), items, spread, on_image)
    best = best_borders([image.table for image in images], BORDER_THRESHOLDS)
    errors = np.mean([image.errors for image in images], axis=0)
    least = int(errors.argmin())

    def mean(name: str, at: int) -> float:
        return float(np.mean([getattr(image.table[at], name) for image in images]))

    rand_at, info_at = (BORDER_THRESHOLDS.index(each) for each in (best.threshold, best.info_threshold))
    return BorderSet(
        best=best,
        rand_split=mean("rand_split", rand_at),
        rand_merge=mean("rand_merge", rand_at),
        info_split=mean("info_split", info_at),
        info_merge=mean("info_merge", info_at),
        rands=np.array([mean("rand", at) for at in range(len(BORDER_THRESHOLDS))]),
        infos=np.array([mean("info", at) for at in range(len(BORDER_THRESHOLDS))]),
        error=float(errors[HALF]),
        best_error=float(errors[least]),
        error_threshold=BORDER_THRESHOLDS[least],
        inverse_error=1 - float(errors.max()),
        dice=np.mean([image.half.dice for image in images], axis=0),
        iou=np.mean([image.half.iou for image in images], axis=0),
        images=images,
    )


def score_classes(
    items: Sequence[Item],
    read: ReadLabels[Item],
    classes: int,
    *,
    spread: Spread = map,
    on_image: OnImage = lambda done: None,
) -> ClassSet:
    """Score classes of pixels, `classes` of them with numbers from 0 on; the rest as in `score_borders`."""
    counts = _each(partial(_confusion, read, classes), items, spread, on_image)
    return ClassSet(class_scores(np.sum(counts, axis=0)), [class_scores(each) for each in counts])


def score_objects(
    items: Sequence[Item],
    read: ReadLabels[Item],
    *,
    spread: Spread = map,
    on_image: OnImage = lambda done: None,
) -> ObjectSet:
    """Score objects by their numbers, where 0 is background; the rest as in `score_borders`."""
    images = _each(partial(_objects, read), items, spread, on_image)
    hits, found, truth = (
        sum(numbers)
        for numbers in zip(
            *((int(each.counts.hits[0]), each.counts.found, each.counts.truth) for each in images),
            strict=True,
        )
    )
    return ObjectSet(
        precisions=np.mean([image.counts.precisions for image in images], axis=0),
        precision=share(hits, found),
        recall=share(hits, truth),
        dice=float(np.mean([image.dice for image in images])),
        images=images,
    )


def share(part: int, whole: int) -> float:
    """Of objects; all of none is 1."""
    return part / whole if whole else 1.0


def _each(
    function: Callable[[Item], Counts], items: Sequence[Item], spread: Spread, on_image: OnImage
) -> list[Counts]:
    found = []
    for counts in spread(function, items):
        found.append(counts)
        on_image(len(found))
    return found


def _borders(read: ReadBorders[Item], item: Item) -> BorderCounts:
    from scipy import ndimage

    foreground, inside = read(item)
    objects, _ = ndimage.label(inside)
    errors = [float(((foreground >= threshold) != inside).mean()) for threshold in BORDER_THRESHOLDS]
    half = class_scores(confusion(foreground >= BORDER_THRESHOLDS[HALF], inside, 2))
    return BorderCounts(border_table(foreground, objects, BORDER_THRESHOLDS), np.array(errors), half)


def _confusion(read: ReadLabels[Item], classes: int, item: Item) -> NDArray[np.int64]:
    return confusion(*read(item), classes)


def _objects(read: ReadLabels[Item], item: Item) -> ObjectImage:
    found, truth = read(item)
    front = class_scores(confusion(found > 0, truth > 0, 2)).dice[1]
    return ObjectImage(object_counts(found, truth, OVERLAPS), 1.0 if np.isnan(front) else float(front))


def judged_classes(found: Classes, truth: Classes) -> NDArray[np.uint8]:
    """A picture of which pixels have the right class.

    Args:
        found, truth: (H, W) of whole numbers; 0 is the background.
    Returns:
        (H, W, 3): black and white where the class is right, white for the background; orange where something was
        found that is background, blue where something was missed, purple where one was taken for another.
    """
    right = found == truth
    picture = np.empty((*found.shape, 3), np.uint8)
    picture[...] = CONFUSED
    picture[right] = HIT
    picture[right & (truth == 0)] = GROUND
    picture[~right & (truth == 0)] = FALSE
    picture[~right & (found == 0)] = MISSED
    return picture


def judged_objects(found: Labels, truth: Labels) -> NDArray[np.uint8]:
    """A picture of which objects were found, by an IoU of more than 0.5.

    Args:
        found, truth: (H, W), the number of each pixel's object; 0 is the background.
    Returns:
        (H, W, 3): black where a true object was found, with thin white gaps where two touch, and grey where its
        found outline differs; orange for found objects that are not there, blue for missed ones, purple where both
        meet.
    """
    pairs = object_pairs(found, truth)
    sure = pairs.overlaps > OVERLAPS[0]
    hit, known = np.isin(found, pairs.found[sure]), np.isin(truth, pairs.truth[sure])
    false, missed = (found > 0) & ~hit, (truth > 0) & ~known
    picture = np.empty((*found.shape, 3), np.uint8)
    picture[...] = GROUND
    picture[hit | known] = RAGGED
    picture[hit & known] = HIT
    picture[_gaps(truth) & hit & known] = GROUND
    picture[false] = FALSE
    picture[missed] = MISSED
    picture[false & missed] = CONFUSED
    return picture


def _gaps(objects: Labels) -> NDArray[np.bool_]:
    """Pixels whose right or lower neighbour is of another object."""
    gaps = np.zeros(objects.shape, bool)
    for here, there in ((objects[:-1], objects[1:]), (objects[:, :-1], objects[:, 1:])):
        gaps[: here.shape[0], : here.shape[1]] |= (here != there) & (here > 0) & (there > 0)
    return gaps
