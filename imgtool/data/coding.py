"""What the values of masks mean: a class each, or an object each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imgtool.data.mask_pairs import COLOR, LOSSY, MaskPair, numbered, read_samples, values_of
from imgtool.errors import DataError
from imgtool.files import printable

MAX_CLASSES = 32
LOOKED_AT = 3  # masks, to tell numbers of objects from greys
FEW_LOOKED_AT = 12  # masks, to tell numbers of few objects from classes
LEAST_OBJECTS = 3  # in some picture, for numbers to be taken for those of objects
WHOLE = 0.8  # share of the values in a picture that are one region each, if they number objects
NAMED = 8  # classes that are named in a line
OBJECTS_HINT = "save masks without smoothing or JPEG, or --objects if each value is one object"
# What a network learns of objects that have a number each: the rim keeps those that touch apart.
OBJECT_CLASSES = ("background", "core", "rim")
RIM_PX = 2


@dataclass(frozen=True)
class Coding:
    """What the values of masks mean.

    Attributes:
        values: of the classes, in their order; empty where each value is an object of its own.
        colored: whether values are colours.
        guessed: whether nobody said so, and they could well mean the other.
    """

    values: tuple[int, ...]
    colored: bool = False
    guessed: bool = field(default=False, compare=False)

    @property
    def of_objects(self) -> bool:
        """Whether masks number objects."""
        return not self.values

    @property
    def names(self) -> tuple[str, ...]:
        """The classes that a network learns, in their order: values as masks have them, or `OBJECT_CLASSES`."""
        if self.of_objects:
            return OBJECT_CLASSES
        return tuple(shown(value, colored=self.colored) for value in self.values)

    def __str__(self) -> str:
        """In words, with the option that changes it."""
        if self.of_objects:
            return "numbers of objects" + " (--classes if each is a class)" * self.guessed
        names, more = self.names[:NAMED], len(self.names) - NAMED
        text = f"classes {', '.join(names)}{f' and {more} more' if more > 0 else ''}"
        return text + " (--objects if each value is one object)" * self.guessed

    def classes(self, values: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The class of each pixel, (H, W)."""
        if self.of_objects:
            return _of_objects(values)
        found: NDArray[np.uint8] = np.searchsorted(self.values, values).astype(np.uint8)
        return found

    def objects(self, values: NDArray[np.int64]) -> NDArray[np.int32]:
        """What the gaps between are kept open: numbered objects, or connected regions of all but the first class."""
        if self.of_objects:
            return numbered(np.maximum(values, 0)).astype(np.int32)
        from scipy import ndimage

        objects = np.zeros(values.shape, np.int32)
        for value in self.values[1:]:
            regions, _ = ndimage.label(values == value)
            objects[regions > 0] = regions[regions > 0] + objects.max()
        return objects


def shown(value: int, *, colored: bool) -> str:
    """A value as it is told: among colours, grey is one as well."""
    if not colored:
        return str(value)
    return f"#{value - COLOR if value >= COLOR else (value & 0xFF) * 0x010101:06x}"


def _of_objects(values: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Background, core and rim of numbered objects."""
    from scipy import ndimage
    from skimage.segmentation import find_boundaries

    inside = values > 0
    labels = np.where(inside, values, 0)
    deep = inside & ~find_boundaries(labels, mode="inner")  # type: ignore[no-untyped-call]
    distance = ndimage.distance_transform_edt(deep)
    core = distance >= RIM_PX
    # An object too thin for such a rim keeps what core it can, or nothing would stand for it.
    numbers = np.unique(labels[inside])
    for wider in (deep, inside):
        if len(numbers):
            numbers = numbers[ndimage.maximum(core, labels, numbers) == 0]
        core |= np.isin(labels, numbers) & wider
    return np.where(inside, np.where(core, 1, 2), 0).astype(np.uint8)


def coding_of(
    values: Mapping[MaskPair, NDArray[np.int64]], train: Sequence[MaskPair], *, objects: bool | None
) -> Coding:
    """What the masks' values mean.

    Args:
        values: distinct ones of each pair's mask, rising.
        train: the pairs to train on; the others must not hold a class that these lack.
        objects: whether each value is an object of its own; None to guess by how many there are, and by how
            they lie.
    Raises:
        DataError: one value only, too many for classes, or a class that is only held out.
    """
    known = np.unique(np.concatenate([values[pair] for pair in train]))
    colored = bool(known[-1] >= COLOR)
    if len(known) == 1:
        raise DataError(
            f"all {len(train)} masks hold the value {known[0]} alone; expected two or more, such as 0 and 255"
        )
    guessed = objects is None and 2 < len(known) <= MAX_CLASSES
    if objects is None:
        _require_exact(values, known)
        if not colored and len(known) > MAX_CLASSES:
            _require_objects(values, train)
            objects = True
        else:
            objects = guessed and known[0] == 0 and not colored and _number_objects(values, train)
    if objects:
        return Coding((), guessed=guessed)
    _require_classes(values, train, known)
    return Coding(tuple(int(value) for value in known), colored, guessed)


def _require_classes(
    values: Mapping[MaskPair, NDArray[np.int64]], train: Sequence[MaskPair], known: NDArray[np.int64]
) -> None:
    """Classes are few, and each is in some mask to train on.

    Raises:
        DataError: names a mask.
    """
    if len(known) > MAX_CLASSES:
        first = max(train, key=lambda pair: len(values[pair]))
        raise DataError(
            f"masks hold {len(known)} values, {printable(first.mask)} {len(values[first])} of them; "
            f"classes are at most {MAX_CLASSES}",
            hint=OBJECTS_HINT,
        )
    for pair, held in values.items():
        new = np.setdiff1d(held, known)
        if len(new):
            told = shown(int(new[0]), colored=bool(new[0] >= COLOR))
            raise DataError(
                f"{printable(pair.mask)} is held out and has the value {told}, which no mask to train on has",
                hint="another --val or --fold, or --objects if each value is one object",
            )


def _number_objects(values: Mapping[MaskPair, NDArray[np.int64]], train: Sequence[MaskPair]) -> bool:
    """Whether few values number objects rather than classes.

    Objects are whole regions, and begin at 1 in each picture, which has as many as it happens to have. Classes may be
    whole regions too, as chambers of a heart are, but come and go alone. Pictures of
    16 bits, which few values do not need, are written for objects.
    """
    filled = [pair for pair in train if len(values[pair]) > 1]
    looked_at = [
        filled[at] for at in sorted({*np.linspace(0, len(filled) - 1, FEW_LOOKED_AT).round().astype(int)})
    ]
    count, whole, deep = 0, 0, True
    for pair in looked_at:
        samples = read_samples(pair.mask)
        count += len(values[pair]) - 1
        whole += _whole_objects(values_of(samples, pair.mask))
        deep &= (
            samples.dtype.kind in "ui" and samples.dtype.itemsize > 1 and pair.mask.suffix.lower() != ".npy"
        )
    return whole >= WHOLE * count and (deep or _are_counted([values[pair] for pair in filled]))


def _are_counted(values: Sequence[NDArray[np.int64]]) -> bool:
    """Whether each picture has the values from 0 on without gaps, and not each the same."""
    most = [int(held[-1]) for held in values]
    gapless = all(len(held) == last + 1 for held, last in zip(values, most, strict=True))
    return gapless and max(most) >= LEAST_OBJECTS and (len(most) == 1 or len(set(most)) > 1)


def _require_exact(values: Mapping[MaskPair, NDArray[np.int64]], known: NDArray[np.int64]) -> None:
    """Lossy compression makes values of its own, and two are the least that masks need.

    Raises:
        DataError: names a mask that may hold such.
    """
    for pair, held in values.items():
        if fault := lossy_fault(pair.mask, held):
            more = "" if len(known) > MAX_CLASSES else ", --classes if it is a class"
            raise DataError(fault, hint=OBJECTS_HINT + more)


def lossy_fault(path: Path, held: NDArray[np.int64]) -> str:
    """What is wrong with a mask in a lossy format, by its distinct values; "" for nothing."""
    if path.suffix.lower() not in LOSSY or len(held) <= 2:
        return ""
    return f"{printable(path)} holds {len(held)} values, and its compression may have made them"


def _require_objects(values: Mapping[MaskPair, NDArray[np.int64]], train: Sequence[MaskPair]) -> None:
    """Many values may be numbers of objects, or greys: those of smooth edges lie in lines and crumbs.

    Raises:
        DataError: names a mask whose values are mostly fragments.
    """
    looked_at = sorted(train, key=lambda pair: -len(values[pair]))[:LOOKED_AT]
    count = sum(int(np.count_nonzero(values[pair] > 0)) for pair in looked_at)
    fragments = count - sum(_whole_objects(pair.values()) for pair in looked_at)
    if 2 * fragments > count:
        first = looked_at[0]
        raise DataError(
            "masks hold too many values for classes, and most are no objects but fragments: "
            f"{printable(first.mask)} holds {len(values[first])}",
            hint=OBJECTS_HINT,
        )


def _whole_objects(values: NDArray[np.int64]) -> int:
    """How many values above 0 are one connected region each, with a square of 3x3 pixels in it."""
    from scipy import ndimage

    labels = numbered(np.maximum(values, 0))
    whole = 0
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels[place] == number
        if (
            ndimage.label(inside, np.ones((3, 3)))[1] == 1
            and ndimage.binary_erosion(inside, np.ones((3, 3))).any()
        ):
            whole += 1
    return whole
