"""Images with masks: two folders paired by name, checked before the first step and read one at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgtool.errors import BadImage, DataError
from imgtool.files import printable
from imgtool.imaging.io import MAX_PIXELS
from imgtool.imaging.raster_files import ARRAYS, TIFFS, open_raster

LOSSY = (".jpg", ".jpeg", ".webp")
SUFFIXES = (".png", ".bmp", ".ppm", *LOSSY, *TIFFS, *ARRAYS)
MASK_ENDINGS = ("", "_mask", "_label", "_labels")  # after the image's name
MAX_CLASSES = 32
LOOKED_AT = 3  # masks, to tell numbers of objects from greys
OBJECTS_HINT = "save masks without smoothing or JPEG, or --objects if each value is one object"
# What a network learns of objects that have a number each: the rim keeps those that touch apart.
OBJECT_CLASSES = ("background", "core", "rim")
RIM_PX = 2
COLOR = 1 << 32  # plus 0xRRGGBB: the value of a pixel that is no grey, apart from all numbers of objects


@dataclass(frozen=True)
class MaskPair:
    """An image and its mask, as files."""

    image: Path
    mask: Path

    @property
    def name(self) -> str:
        """The image's name without its suffix."""
        return self.image.stem

    def pixels(self) -> NDArray[Any]:
        """Samples (H, W, C) as the file has them.

        Raises:
            DataError: the file cannot be read.
        """
        return read_samples(self.image)

    def values(self) -> NDArray[np.int64]:
        """What the mask says at each pixel, (H, W): its number or grey, or a colour as `COLOR` + 0xRRGGBB.

        White is the same in a mask that has colours besides and in one that has none.

        Raises:
            DataError: the file cannot be read.
        """
        return values_of(read_samples(self.mask), self.mask)


def read_samples(path: Path) -> NDArray[Any]:
    """Samples (H, W, C) as a file has them.

    Raises:
        DataError: the file cannot be read, or holds NaN or infinity.
    """
    try:
        with open_raster(path, max_pixels=MAX_PIXELS) as raster:
            samples = raster.whole()
    except BadImage as error:
        raise DataError(error.message, hint=error.hint) from error
    if samples.dtype.kind == "f" and not np.isfinite(samples).all():
        raise DataError(f"{printable(path)} holds NaN or infinity")
    return samples


def values_of(samples: NDArray[Any], path: Path) -> NDArray[np.int64]:
    """What samples (H, W, C) say at each pixel, (H, W): a number or grey, or a colour as `COLOR` + 0xRRGGBB.

    White is the same in a mask that has colours besides and in one that has none.

    Args:
        samples: of a mask.
        path: where they come from.
    Raises:
        DataError: they are fractions.
    """
    if has_fractions(samples):
        raise DataError(f"{printable(path)} holds fractions, expected whole numbers or colours")
    values = samples.astype(np.int64)
    if values.shape[2] < 3:
        return values[..., 0]
    gray = (values[..., :1] == values).all(axis=2)
    if samples.dtype == np.uint16 and not gray.all():
        values //= 257
    packed = COLOR + (values[..., 0] << 16 | values[..., 1] << 8 | values[..., 2])
    return np.where(gray, values[..., 0], packed)


def has_fractions(samples: NDArray[Any]) -> bool:
    """Whether samples are no whole numbers, such as probabilities."""
    return samples.dtype.kind == "f" and not np.array_equal(samples, np.rint(samples))


def numbered(objects: NDArray[Any]) -> NDArray[np.int64]:
    """The same objects with small numbers."""
    numbers, compact = np.unique(objects, return_inverse=True)
    compact = compact.reshape(objects.shape) + int(numbers[0] > 0)
    return np.asarray(compact, np.int64)


def find_mask_pairs(images: Path, masks: Path) -> list[MaskPair]:
    """The pairs of two folders in the order of their names.

    `images/NAME.png` goes with `masks/NAME.tif` or `masks/NAME_mask.png`.

    Raises:
        DataError: a folder that is not there, a file without its partner, or that is its own partner.
    """
    photos, truths = _files(images, "images"), _files(masks, "masks")
    if images.samefile(masks):
        raise DataError(f"{printable(images)} is given for images and for masks, expected a folder of each")
    pairs, used = [], set()
    for name, path in sorted(photos.items()):
        ending = next((ending for ending in MASK_ENDINGS if name + ending in truths), None)
        if ending is None:
            missing = [name for name in photos if not any(name + end in truths for end in MASK_ENDINGS)]
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise DataError(f"{printable(path)} has no mask of the same name in {printable(masks)}{more}")
        used.add(name + ending)
        pairs.append(MaskPair(path, truths[name + ending]))
    alone = sorted(truths.keys() - used)
    if alone:
        more = f" (and {len(alone) - 1} more)" if len(alone) > 1 else ""
        raise DataError(f"{printable(truths[alone[0]])} has no image of the same name{more}")
    for pair in pairs:
        if pair.image.exists() and pair.mask.exists() and pair.image.samefile(pair.mask):
            raise DataError(f"{printable(pair.image)} and its mask {printable(pair.mask)} are one file")
    return pairs


def _files(folder: Path, what: str) -> dict[str, Path]:
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"{printable(folder)}: {reason}, expected a folder of {what}") from error
    found: dict[str, Path] = {}
    for path in paths:
        if path.name.startswith(".") or path.suffix.lower() not in SUFFIXES:
            continue
        if path.stem in found:
            raise DataError(
                f"{printable(path)} and {printable(found[path.stem])} have one name for two {what}"
            )
        found[path.stem] = path
    if not found:
        raise DataError(f"{printable(folder)} holds no {what}")
    return found


@dataclass(frozen=True)
class Coding:
    """What the values of masks mean.

    Attributes:
        values: of the classes, in their order; empty where each value is an object of its own.
        colored: whether values are colours.
    """

    values: tuple[int, ...]
    colored: bool = False

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


@dataclass(frozen=True, eq=False)
class PairContents:
    """What a pair holds.

    Attributes:
        channels: of its image.
        values: distinct ones of its mask, rising.
        counts: pixels of each.
    """

    channels: int
    values: NDArray[np.int64]
    counts: NDArray[np.int64]


def check_pairs(pairs: Iterable[MaskPair]) -> Mapping[MaskPair, PairContents]:
    """What each pair holds; each file is read once, so that what is wrong is named now.

    Raises:
        DataError: a pair that cannot be read, or whose sizes differ.
    """
    found: dict[MaskPair, PairContents] = {}
    for pair in pairs:
        pixels, values = pair.pixels(), pair.values()
        if pixels.shape[:2] != values.shape:
            sizes = [f"{shape[1]}x{shape[0]}" for shape in (pixels.shape, values.shape)]
            raise DataError(
                f"{printable(pair.image)} is {sizes[0]}, its mask {printable(pair.mask)} is {sizes[1]}"
            )
        found[pair] = PairContents(pixels.shape[2], *np.unique(values, return_counts=True))
    return found


def coding_of(
    values: Mapping[MaskPair, NDArray[np.int64]], train: Sequence[MaskPair], *, objects: bool | None
) -> Coding:
    """What the masks' values mean.

    Args:
        values: distinct ones of each pair's mask, rising.
        train: the pairs to train on; the others must not hold a class that these lack.
        objects: whether each value is an object of its own; None to guess by how many there are.
    Raises:
        DataError: one value only, too many for classes, or a class that is only held out.
    """
    known = np.unique(np.concatenate([values[pair] for pair in train]))
    colored = bool(known[-1] >= COLOR)
    if len(known) == 1:
        raise DataError(
            f"all {len(train)} masks hold the value {known[0]} alone; expected two or more, such as 0 and 255"
        )
    if objects:
        return Coding(())
    if objects is None:
        _require_exact(values, known)
    if objects is None and len(known) > MAX_CLASSES and not colored:
        _require_objects(values, train)
        return Coding(())
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
                f"{printable(pair.mask)} is held out and has the value {told}, which no mask to train on has"
            )
    return Coding(tuple(int(value) for value in known), colored)


def _require_exact(values: Mapping[MaskPair, NDArray[np.int64]], known: NDArray[np.int64]) -> None:
    """Lossy compression makes values of its own, and two are the least that masks need.

    Raises:
        DataError: names a mask that may hold such.
    """
    for pair, held in values.items():
        if pair.mask.suffix.lower() in LOSSY and len(held) > 2:
            more = "" if len(known) > MAX_CLASSES else ", --classes if it is a class"
            raise DataError(
                f"{printable(pair.mask)} holds {len(held)} values, and its compression may have made them",
                hint=OBJECTS_HINT + more,
            )


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
