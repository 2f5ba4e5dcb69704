"""Pairs of images and masks as a U-Net is trained on them, and judged by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgtool.data.coding import Coding
from imgtool.data.kept import Kept
from imgtool.data.mask_pairs import MaskPair, PairContents
from imgtool.imaging.raster import raster_of
from imgtool.losses.masks import border_weights
from imgtool.options.segment import TrainSegmentOptions
from imgtool.tasks.segment import Scale, scale_of

KEPT_BYTES = 2 << 30  # of pairs that stay in memory with their weight maps


@dataclass(frozen=True, eq=False)
class Example:
    """A pair as it is trained on.

    Attributes:
        pixels: (H, W, C) as the file has them.
        scale: by which they are reduced.
        classes: (H, W) uint8.
        borders: (H, W) float16, the weights that keep gaps open.
        objects: (H, W) int32, what these are between.
    """

    pixels: NDArray[Any]
    scale: Scale
    classes: NDArray[np.uint8]
    borders: NDArray[np.float16]
    objects: NDArray[np.int32]

    @property
    def nbytes(self) -> int:
        """What it takes in memory."""
        return sum(each.nbytes for each in (self.pixels, self.classes, self.borders, self.objects))


class Examples:
    """Pairs, made ready when they are first asked for.

    Args:
        pairs: of images and masks.
        coding: of the masks.
        options: see `TrainSegmentOptions`.
        channels: of the network; images are seen with so many.
        contents: what `check_pairs` found in these pairs, so that their masks need not be read to be counted.
        beside: others of the same kind, to share the memory with.
    """

    def __init__(
        self,
        pairs: Sequence[MaskPair],
        coding: Coding,
        options: TrainSegmentOptions,
        *,
        channels: int,
        contents: Mapping[MaskPair, PairContents] | None = None,
        beside: Examples | None = None,
    ) -> None:
        self.contents = contents or {}
        self.pairs, self.coding, self.options, self.channels = pairs, coding, options, channels
        self.kept: Kept[MaskPair, Example] = (
            beside.kept if beside else Kept(KEPT_BYTES, lambda made: made.nbytes)
        )

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Example:
        pair = self.pairs[index]
        return self.kept.get(pair, lambda: self._make(pair))

    def _make(self, pair: MaskPair) -> Example:
        options = self.options
        raster = raster_of(pair.pixels()).with_channels(self.channels)
        pixels, values = raster.whole(), pair.values()
        objects = self.coding.objects(values)
        borders = border_weights(objects, height=options.border_weight, sigma=options.border_sigma)
        return Example(
            pixels,
            scale_of(raster),
            self.coding.classes(values),
            borders.astype(np.float16),
            objects,
        )

    def class_weights(self) -> NDArray[np.float32]:
        """w_c: what a pixel of each class weighs, of mean 1 over all pixels."""
        counts = np.zeros(len(self.coding.names))
        for pair in self.pairs:
            counts += self._counts(pair)
        shares = np.maximum(counts / counts.sum(), 1e-4)
        weights = shares**-self.options.balance
        scaled: NDArray[np.float32] = (weights / (weights * shares).sum()).astype(np.float32)
        return scaled

    def _counts(self, pair: MaskPair) -> NDArray[Any]:
        """Pixels of each class. Those of cores and rims are in no table of values."""
        known = self.contents.get(pair)
        if known is None or self.coding.of_objects:
            classes, weights = self.coding.classes(pair.values()).ravel(), None
        else:
            classes, weights = self.coding.classes(known.values), known.counts
        return np.bincount(classes, weights, minlength=len(self.coding.names))
