"""Classes and numbered objects as a person sees them: palettes, fills and outlines over a picture, tables."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgtool.errors import OutputError
from imgtool.imaging.strips import Layout

FIRST = (255, 176, 0)  # the colour of a single class: neither of H&E, nor of fluorescence, nor grey
HUE = 0.115  # its hue, from which the others are counted
FILL = 0.3  # share of the colour in a filled pixel
# Of pictures of what is right and wrong: found, rightly not, found but not there, missed.
HIT, GROUND, FALSE, MISSED = (20, 20, 20), (255, 255, 255), (213, 94, 0), (86, 180, 233)
# Of an object.
MEASURES = ("object", "class", "area", "x", "y", "left", "top", "width", "height", "probability")
GOLDEN = 0.618033988749895  # turns of the hue from one colour to the next: no two neighbours are alike


def palette(count: int) -> NDArray[np.uint8]:
    """Colours of `count` classes or objects, (count, 3): black, an amber, and hues far from each other."""
    colors = [(0, 0, 0), FIRST]
    for index in range(2, count):
        hue = (HUE + GOLDEN * (index - 1)) % 1
        red, green, blue = colorsys.hsv_to_rgb(
            hue, (0.95, 0.65, 0.8)[index % 3], (1.0, 0.95, 0.75)[index // 3 % 3]
        )
        colors.append((round(red * 255), round(green * 255), round(blue * 255)))
    return np.array(colors[: max(1, count)], np.uint8)


def mask_over(photo: NDArray[np.uint8], classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture with its classes laid over it in colours, but for class 0: a light fill, and a full outline.

    Args:
        photo: (H, W, 3).
        classes: (H, W).
    """
    colors = palette(256)
    drawn = photo.copy()
    inside = classes > 0
    mixed = (1 - FILL) * photo[inside].astype(np.float32) + FILL * colors[classes[inside]]
    drawn[inside] = np.rint(mixed)
    outline = inside & _has_other_neighbours(classes)
    drawn[outline] = colors[classes[outline]]
    return drawn


def _has_other_neighbours(classes: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether a pixel above, below or beside is of another class; there is none outside of a picture."""
    found = np.zeros(classes.shape, bool)
    down, across = classes[1:] != classes[:-1], classes[:, 1:] != classes[:, :-1]
    found[1:] |= down
    found[:-1] |= down
    found[:, 1:] |= across
    found[:, :-1] |= across
    return found


def contours_over(photo: NDArray[np.uint8], labels: NDArray[np.int32]) -> NDArray[np.uint8]:
    """A picture with the outline of each object over it, each in a colour of its own.

    Args:
        photo: (H, W, 3).
        labels: (H, W), 0 outside of objects.
    """
    from skimage.segmentation import find_boundaries

    drawn = photo.copy()
    rim = find_boundaries(labels, mode="inner")  # type: ignore[no-untyped-call]
    drawn[rim] = palette(256)[1 + (labels[rim] - 1) % 255]
    return drawn


def label_layout(shape: tuple[int, ...], count: int, format: str) -> Layout:
    """How objects by number are written: with a palette where 255 are enough, else in as many bits as they need.

    Raises:
        OutputError: there are too many for the format.
    """
    height, width = shape
    if count < 256 and format != "npy":
        return Layout(height, width, palette=palette(count + 1))
    if count < 65536:
        return Layout(height, width, dtype=np.uint16)
    if format == "png":
        raise OutputError(f"{count} objects are too many for PNG", hint="write a .tif or .npy")
    return Layout(height, width, dtype=np.uint32)


def measured(
    labels: NDArray[np.int32],
    front: NDArray[np.float32],
    *,
    classes: NDArray[np.uint8],
    names: Sequence[str],
) -> list[dict[str, Any]]:
    """Each object's `MEASURES`: number, class, area, centre, box (all in pixels) and mean probability.

    Args:
        labels: (H, W), objects 1 to N.
        front: (H, W), the probability of being no background.
        classes: (H, W), the class of each pixel; an object's is the highest in it.
        names: of the classes.
    """
    from scipy import ndimage

    count = int(labels.max())
    if not count:
        return []
    numbers = np.arange(1, count + 1)
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    centers = ndimage.center_of_mass(labels > 0, labels, numbers)
    means = ndimage.mean(front, labels, numbers)
    kinds = ndimage.maximum(classes, labels, numbers)
    rows = []
    for number, kind, area, center, box, mean in zip(
        numbers, kinds, areas, centers, ndimage.find_objects(labels), means, strict=True
    ):
        rows.append(
            {
                "object": int(number),
                "class": names[int(kind)],
                "area": int(area),
                "x": round(float(center[1]), 2),
                "y": round(float(center[0]), 2),
                "left": box[1].start,
                "top": box[0].start,
                "width": box[1].stop - box[1].start,
                "height": box[0].stop - box[0].start,
                "probability": round(float(mean), 4),
            }
        )
    return rows
