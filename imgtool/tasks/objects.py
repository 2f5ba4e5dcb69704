"""Objects, each with a number, in the class probabilities of a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgtool.tasks.segment import Probabilities, classes_of, foreground

# Of objects that touch: how much likelier core than rim a pixel of a core is, and how many there are at least. Chosen
# on the 60 pictures that `nuclei` was not trained on, where it is worth .02 of AP.
CORE_MARGIN, CORE_AREA = 0.2, 10


def instances_of(
    found: Probabilities, threshold: float, *, objects: bool, min_area: int
) -> NDArray[np.int32]:
    """The objects of a picture by number, (H, W), 0 outside of them.

    Cores are the seeds of a watershed of what is no background. A model of objects knows their cores; of classes,
    each for itself, cores are where the probability is above the middle between the threshold and 1, so that what
    is joined by a weak bridge alone comes apart.

    Args:
        found: (classes, H, W).
        threshold: of the probability of being no background.
        objects: whether the second class is the inside of objects, and the third their rim.
        min_area: pixels; smaller ones are left out.
    """
    if objects:
        front = foreground(found)
        labels = _grown(found[1], found[1] > found[2] + CORE_MARGIN, front >= threshold)
        labels = _sure(labels, front, (1 + threshold) / 2)
    else:
        classes = classes_of(found, threshold)
        labels = np.zeros(classes.shape, np.int32)
        for number in range(1, len(found)):
            mask = classes == number
            own = _grown(found[number], found[number] >= (1 + threshold) / 2, mask)
            labels[mask] = own[mask] + labels.max()
    return _renumbered(_filled(labels), min_area)


def _grown(height: Probabilities, core: NDArray[np.bool_], mask: NDArray[np.bool_]) -> NDArray[Any]:
    """The regions of a mask that grow from cores down a probability, by number."""
    from scipy import ndimage
    from skimage.segmentation import watershed

    seeds, _ = ndimage.label(mask & core)
    small = np.bincount(seeds.ravel()) < CORE_AREA
    small[0] = False
    seeds[small[seeds]] = 0
    regions, count = ndimage.label(mask)
    if count:  # a region without a core stands for itself
        alone = 1 + np.flatnonzero(ndimage.maximum(seeds, regions, np.arange(1, count + 1)) == 0)
        extra = np.isin(regions, alone)
        seeds[extra] = regions[extra] + seeds.max()
    labels: NDArray[Any] = watershed(-height, seeds, mask=mask)  # type: ignore[no-untyped-call]
    return labels


def _sure(labels: NDArray[Any], front: Probabilities, least: float) -> NDArray[Any]:
    """The regions with at least a mean probability."""
    numbers = labels.ravel()
    counts = np.bincount(numbers)
    means = np.bincount(numbers, front.ravel()) / np.maximum(counts, 1)
    return np.where(means[labels] >= least, labels, 0)


def _filled(labels: NDArray[Any]) -> NDArray[Any]:
    """Objects without the holes that lie inside of one alone."""
    from scipy import ndimage

    holes, count = ndimage.label(labels == 0)
    numbers = np.arange(1, count + 1)
    most = np.iinfo(labels.dtype).max
    around = ndimage.maximum_filter(labels, 3), ndimage.minimum_filter(np.where(labels == 0, most, labels), 3)
    highest, lowest = ndimage.maximum(around[0], holes, numbers), ndimage.minimum(around[1], holes, numbers)
    inner = np.append(False, highest == lowest)
    for side in (holes[0], holes[-1], holes[:, 0], holes[:, -1]):
        inner[side] = False
    filler = np.zeros(count + 1, labels.dtype)
    filler[inner] = np.append(0, highest)[inner]
    filled: NDArray[Any] = labels + filler[holes]
    return filled


def _renumbered(labels: NDArray[Any], min_area: int) -> NDArray[np.int32]:
    """Objects of some size, numbered 1, 2, ... in the order that they had."""
    areas = np.bincount(labels.ravel())
    keep = areas >= max(1, min_area)
    keep[0] = False
    numbers = np.zeros(len(areas), np.int32)
    numbers[keep] = np.arange(1, keep.sum() + 1)
    renumbered: NDArray[np.int32] = numbers[labels]
    return renumbered
