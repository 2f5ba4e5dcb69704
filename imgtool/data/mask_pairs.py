"""Images with masks: two folders paired by name, checked before the first step and read one at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgtool.data.named_files import only_by_name, require_partners, require_same_size
from imgtool.errors import BadImage, DataError
from imgtool.files import printable
from imgtool.imaging.io import MAX_PIXELS
from imgtool.imaging.raster_files import open_raster
from imgtool.imaging.suffixes import RASTERS

LOSSY = (".jpg", ".jpeg", ".webp")
MASK_ENDINGS = ("", "_mask", "_label", "_labels")  # after the image's name
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
    photos, truths = only_by_name(images, RASTERS, "images"), only_by_name(masks, RASTERS, "masks")
    if images.samefile(masks):
        raise DataError(f"{printable(images)} is given for images and for masks, expected a folder of each")
    # The last entry counts: the mask that is called as its image goes before others.
    partners = {
        name: name + ending for name in photos for ending in reversed(MASK_ENDINGS) if name + ending in truths
    }
    require_partners(photos, partners.keys(), "mask")
    require_partners(truths, partners.values(), "image")
    pairs = [MaskPair(photos[name], truths[partners[name]]) for name in sorted(photos)]
    for pair in pairs:
        if pair.image.exists() and pair.mask.exists() and pair.image.samefile(pair.mask):
            raise DataError(f"{printable(pair.image)} and its mask {printable(pair.mask)} are one file")
    return pairs


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
        require_same_size(pair.image, pixels.shape[:2], pair.mask, values.shape, what="mask")
        found[pair] = PairContents(pixels.shape[2], *np.unique(values, return_counts=True))
    return found
