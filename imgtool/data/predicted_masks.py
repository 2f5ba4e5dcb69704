"""Masks that were made, beside their ground truth: which file goes with which, and what the values mean."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from imgtool.data.coding import Coding, lossy_fault, shown
from imgtool.data.mask_pairs import COLOR, MASK_ENDINGS, has_fractions, numbered, read_samples, values_of
from imgtool.files import printable
from imgtool.imaging.labels import palette
from imgtool.options.segment import SEGMENT_KINDS

HALF = 0.5  # from which on a probability speaks for an object
MASKS = ({0, 1}, {0, 255}, {0, 65535})  # values of a mask without classes
SHEET = "-sheet"

# How ground truth is scored: by V-Rand and pixels, by classes, by objects.
Subject: TypeAlias = Literal["borders", "classes", "objects"]
# What `segment` may have made for a subject, the best first; "" is a file that has the picture's name alone.
USEFUL: Mapping[Subject, tuple[str, ...]] = {
    "borders": ("", "probability", "mask"),
    "classes": ("", "mask"),
    "objects": ("", "instances", "mask", "probability"),
}
# What values of a prediction are: the truth's own, numbers of its classes, colours that `segment` gives to these,
# yes and no, a probability, or a number for each object.
Sense: TypeAlias = Literal["same", "numbers", "palette", "mask", "probability", "labels"]


def match_names(
    predicted: Iterable[str], truth: Collection[str]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Which predictions belong to which ground truth, by their stems.

    Args:
        predicted: `NAME`, or what `segment` calls its files: `NAME-probability`, `NAME-segment-mask`.
        truth: `NAME`, or `NAME_mask`.
    Returns:
        For each ground truth that has predictions, these by kind ("" for one that tells none); and the predictions
        that have no ground truth.
    """
    found: dict[str, dict[str, str]] = {}
    alone = []
    for stem in predicted:
        for name, kind in _readings(stem):
            partner = next((name + ending for ending in MASK_ENDINGS if name + ending in truth), None)
            if partner is not None:
                found.setdefault(partner, {}).setdefault(kind, stem)
                break
        else:
            alone.append(stem)
    return found, alone


def kind_of(stem: str) -> str:
    """Which of the kinds of `segment` a file's name tells; "" for none."""
    return next((kind for kind in SEGMENT_KINDS if stem.endswith(f"-{kind}")), "")


def _readings(stem: str) -> list[tuple[str, str]]:
    """A prediction's possible names and kinds, the plainest first."""
    readings = [(stem, "")]
    if stem.endswith(SHEET):  # lies beside a result, and has its name
        return readings + [(name, "sheet") for name, _ in _readings(stem.removesuffix(SHEET))]
    kind = kind_of(stem)
    base = stem.removesuffix(f"-{kind}")
    if kind:
        readings.append((base, kind))
    return [*readings, (base.removesuffix("-segment"), kind)]


@dataclass(frozen=True, eq=False)
class Contents:
    """What a mask holds.

    Attributes:
        path: of the file.
        size: (H, W).
        dtype: of its samples.
        values: distinct ones, rising; None for fractions.
        low, high: the range of its samples.
        gray: whether it is in no colours.
    """

    path: Path
    size: tuple[int, int]
    dtype: np.dtype[Any]
    values: NDArray[np.int64] | None
    low: float
    high: float
    gray: bool


def contents_of(path: Path) -> Contents:
    """Look at a mask or a probability.

    Raises:
        DataError: the file cannot be read.
    """
    samples = read_samples(path)
    values = None if has_fractions(samples) else np.unique(values_of(samples, path))
    height, width = samples.shape[:2]
    return Contents(
        path=path,
        size=(height, width),
        dtype=samples.dtype,
        values=values,
        low=float(samples.min()),
        high=float(samples.max()),
        gray=bool((samples[..., :1] == samples).all()),
    )


def subject_of(coding: Coding) -> Subject:
    """How ground truth is scored."""
    if coding.of_objects:
        return "objects"
    return "borders" if len(coding.values) == 2 else "classes"


def _known(contents: Sequence[Contents]) -> set[int] | None:
    """All values; None if any file holds fractions."""
    found: set[int] = set()
    for each in contents:
        if each.values is None:
            return None
        found.update(each.values.tolist())
    return found


@dataclass(frozen=True)
class Meaning:
    """What the values of predictions and of their ground truth mean.

    Attributes:
        coding: of the ground truth.
        sense: of the predictions.
        regions: whether the ground truth is a mask whose regions are the objects.
        invert: whether a probability is that of the lower of two values.
    """

    coding: Coding
    sense: Sense
    regions: bool = False
    invert: bool = False

    def borders(self, predicted: Path, truth: Path) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The probability (H, W) that a pixel is of the higher value, and whether it is."""
        samples = read_samples(predicted)
        if self.sense == "probability":
            share = _share(samples)
        else:
            values = values_of(samples, predicted)
            share = (values == self.coding.values[1] if self.sense == "same" else values > 0).astype(
                np.float32
            )
        return 1 - share if self.invert else share, self._truth(truth) == self.coding.values[1]

    def classes(self, predicted: Path, truth: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The number of each pixel's class as it was found and as it is, (H, W) each."""
        values = values_of(read_samples(predicted), predicted)
        if self.sense == "same":
            values = np.searchsorted(self.coding.values, values)
        elif self.sense == "palette":
            order = _palette_values(len(self.coding.values))
            values = np.argsort(order)[np.searchsorted(np.sort(order), values)]
        return values, np.searchsorted(self.coding.values, self._truth(truth))

    def objects(self, predicted: Path, truth: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The number of each pixel's object as it was found and as it is, 0 for none, (H, W) each."""
        samples = read_samples(predicted)
        if self.sense == "probability":
            found = _regions(_share(samples) >= HALF)
        elif self.sense == "mask":
            found = _regions(values_of(samples, predicted) > 0)
        else:
            found = _objects(values_of(samples, predicted))
        values = self._truth(truth)
        return found, _regions(values > 0) if self.regions else _objects(values)

    def _truth(self, path: Path) -> NDArray[np.int64]:
        return values_of(read_samples(path), path)


def _share(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Greys as (H, W) in [0, 1]."""
    first = samples[..., 0]
    if first.dtype.kind == "u":
        return (first / np.float32(np.iinfo(first.dtype).max)).astype(np.float32)
    return first.astype(np.float32)


def _regions(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    from scipy import ndimage

    regions, _ = ndimage.label(mask)
    return np.asarray(regions, np.int64)


def _objects(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return numbered(np.maximum(values, 0))


def _palette_values(count: int) -> NDArray[np.int64]:
    """Colours of `segment` as a mask has them, by the number of their class."""
    values: NDArray[np.int64] = values_of(palette(count)[None], Path("palette"))[0]
    return values


def sense_of(
    contents: Sequence[Contents], coding: Coding, *, probabilities: bool = False
) -> tuple[Sense, list[str]]:
    """What the values of predictions mean, which is one for all of them; and what is wrong with files.

    Args:
        contents: of all predictions.
        coding: of their ground truth.
        probabilities: whether their names say that they are such.
    """
    match subject_of(coding):
        case "borders":
            return _sense_of_borders(contents, coding, probabilities)
        case "classes":
            return _sense_of_classes(contents, coding)
        case "objects":
            return _sense_of_objects(contents, probabilities)


def _sense_of_borders(
    contents: Sequence[Contents], coding: Coding, probabilities: bool
) -> tuple[Sense, list[str]]:
    known = None if probabilities else _known(contents)
    if known is not None and known <= set(coding.values):
        return "same", []
    if known is not None and any(known <= mask for mask in MASKS):
        return "mask", []
    return "probability", _no_probabilities(contents)


def _sense_of_classes(contents: Sequence[Contents], coding: Coding) -> tuple[Sense, list[str]]:
    count = len(coding.values)
    known: Mapping[Sense, set[int]] = {
        "same": set(coding.values),
        "numbers": set(range(count)),
        "palette": set(_palette_values(count).tolist()),
    }
    found = _known(contents)
    for sense, values in known.items():
        if found is not None and found <= values:
            return sense, []
    faults = []
    for each in contents:
        if each.values is None:
            faults.append(f"{printable(each.path)} holds fractions, its ground truth {count} classes")
        elif fault := lossy_fault(each.path, each.values):
            faults.append(fault)
        elif len(foreign := np.setdiff1d(each.values, coding.values)):
            value = shown(int(foreign[0]), colored=bool(foreign[0] >= COLOR))
            faults.append(f"{printable(each.path)} has the value {value}, which no ground truth has")
    return "same", faults


def _sense_of_objects(contents: Sequence[Contents], probabilities: bool) -> tuple[Sense, list[str]]:
    known = None if probabilities else _known(contents)
    if known is None:
        return "probability", _no_probabilities(contents)
    if len(known - {0}) < 2:
        return "mask", []
    return "labels", [
        fault
        for each in contents
        if each.values is not None and (fault := lossy_fault(each.path, each.values))
    ]


def _no_probabilities(contents: Sequence[Contents]) -> list[str]:
    """Files that hold no probability."""
    faults = []
    for each in contents:
        name = printable(each.path)
        if not each.gray:
            faults.append(f"{name} is in colours, expected a probability in greys")
        elif each.dtype.kind == "f" and not 0 <= each.low <= each.high <= 1:
            faults.append(f"{name} holds {each.low:g} to {each.high:g}, expected a probability from 0 to 1")
        elif each.dtype.kind != "f" and each.dtype not in (np.bool_, np.uint8, np.uint16):
            faults.append(
                f"{name} holds {each.dtype}, expected a probability of 8 or 16 bits, or from 0 to 1"
            )
    return faults


def coding_faults(contents: Sequence[Contents], subject: Subject) -> list[str]:
    """Ground truth to which nothing can be compared.

    Args:
        contents: of the ground truth.
        subject: how it is scored; a picture of two values needs both of them.
    """
    if not contents or any(each.values is None for each in contents):
        return [f"{printable(each.path)} holds fractions" for each in contents if each.values is None]
    values = _known(contents) or set()
    if len(values) > 1 and subject != "borders":
        return []
    return [
        f"{printable(each.path)} holds the value {each.values[0]} alone, expected two or more, such as 0 and 255"
        for each in contents
        if each.values is not None and len(each.values) == 1
    ]
