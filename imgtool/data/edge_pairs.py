"""Photos with the edges that people drew in them, checked before the first step and read one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imgtool.data.boundaries import find_truth, read_consensus
from imgtool.data.kept import Kept
from imgtool.data.named_files import only_by_name, require_partners, require_same_size
from imgtool.errors import BadImage, DataError
from imgtool.imaging.io import read_picture
from imgtool.imaging.picture import to_8_bits
from imgtool.imaging.suffixes import READABLE

IMAGES, TRUTH = "images", "groundTruth"
KEPT_BYTES = 1 << 30  # of pairs that stay in memory; all of BSDS500 takes 0.3 GB


@dataclass(frozen=True)
class EdgePair:
    """A photo and its ground truth, as files."""

    photo: Path
    truth: Path

    @property
    def name(self) -> str:
        """The photo's name without its suffix."""
        return self.photo.stem

    def read(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Pixels (H, W, 3) in [0, 255], and the consensus (H, W), where 255 means all annotators.

        Raises:
            DataError: one of them cannot be read, or their sizes differ.
        """
        return _kept.get(self, lambda: _read(self))


_kept: Kept[EdgePair, tuple[NDArray[np.uint8], NDArray[np.uint8]]] = Kept(
    KEPT_BYTES, lambda pair: pair[0].nbytes + pair[1].nbytes
)


def _read(pair: EdgePair) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    try:
        pixels = to_8_bits(read_picture(pair.photo).pixels)
    except BadImage as error:
        raise DataError(error.message, hint=error.hint) from error
    consensus = read_consensus(pair.truth)
    require_same_size(pair.photo, pixels.shape[:2], pair.truth, consensus.shape)
    return pixels, np.rint(consensus * 255).astype(np.uint8)


def find_edge_pairs(folder: Path, part: str) -> list[EdgePair]:
    """The pairs of one part ("train", "val", ...) of a data set in the layout of BSDS500.

    `folder/images/part/NAME.jpg` goes with `folder/groundTruth/part/NAME.mat` or `.png`. Each pair is read once, so
    that what is wrong is named now and not after an hour.

    Raises:
        DataError: a folder that is not there, a file without its partner, a pair that cannot be read.
    """
    photos = only_by_name(folder / IMAGES / part, READABLE, "photos")
    truth = find_truth(folder / TRUTH / part)
    require_partners(photos, truth, "ground truth")
    require_partners(truth, photos, "photo")
    pairs = [EdgePair(photos[name], truth[name]) for name in sorted(photos)]
    for pair in pairs:
        pair.read()
    return pairs
