"""Where people drew edges: ground truth of BSDS500 (`.mat`) and of ordinary pictures, one map an annotator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgtool.data.named_files import listed
from imgtool.errors import BadImage, DataError
from imgtool.files import printable, system_reason
from imgtool.imaging.io import read_picture
from imgtool.imaging.picture import to_8_bits
from imgtool.imaging.suffixes import READABLE

SUFFIXES = ("mat", *READABLE)
MAX_MAT_BYTES = 64 << 20  # a file of BSDS500 has less than one megabyte


def find_truth(folder: Path) -> dict[str, Path]:
    """The ground truth of a folder by stem; a `.mat` goes before a picture of the same name.

    Raises:
        DataError: the folder cannot be read, or holds none.
    """
    files = listed(folder, SUFFIXES, "ground truth")
    found = {file.stem: file for file in sorted(files, key=lambda file: file.suffix.lower() == ".mat")}
    if not found:
        raise DataError(f"{printable(folder)} holds no ground truth, expected .mat or .png files")
    return found


def read_boundaries(path: Path) -> NDArray[np.bool_]:
    """The boundaries that each annotator drew, (A, H, W); a picture counts as one, light where an edge is.

    Raises:
        DataError: the file cannot be read, or is no ground truth.
    """
    if path.suffix.lower() == ".mat":
        return np.stack([each > 0 for each in _annotations(path)])
    return (_gray(path) >= 128)[None]


def read_consensus(path: Path) -> NDArray[np.float32]:
    """The share of annotators who drew an edge at each pixel, (H, W) in [0, 1]; a picture's greys are that share.

    Raises:
        DataError: the file cannot be read, or is no ground truth.
    """
    if path.suffix.lower() == ".mat":
        share: NDArray[np.float32] = read_boundaries(path).mean(axis=0, dtype=np.float32)
        return share
    return _gray(path).astype(np.float32) / np.float32(255)


def _gray(path: Path) -> NDArray[np.uint8]:
    try:
        levels: NDArray[np.uint8] = to_8_bits(read_picture(path).pixels).max(axis=2)
    except BadImage as error:
        raise DataError(f"{printable(path)}: {error.reason}, expected a map of boundaries") from error
    return levels


def _annotations(path: Path) -> list[NDArray[Any]]:
    """`groundTruth{k}.Boundaries` of a MATLAB 5 file."""
    from scipy.io import loadmat

    try:
        if path.stat().st_size > MAX_MAT_BYTES:
            raise ValueError(f"larger than {MAX_MAT_BYTES >> 20} MB")
        cells = loadmat(path, variable_names=["groundTruth"])["groundTruth"].ravel()
        maps = [np.asarray(cell["Boundaries"][0, 0]) for cell in cells]
    except OSError as error:
        raise DataError(f"{printable(path)}: {system_reason(error)}") from error
    except Exception as error:  # loadmat raises whatever the bytes lead it to
        reason = printable(str(error) or type(error).__name__)[:100]
        expected = "expected a MATLAB file with groundTruth{k}.Boundaries"
        raise DataError(f"{printable(path)}: damaged or no ground truth ({reason}), {expected}") from error
    shapes = {each.shape for each in maps}
    if len(shapes) != 1 or any(len(shape) != 2 or 0 in shape for shape in shapes):
        raise DataError(
            f"{printable(path)}: its annotators' maps have sizes {sorted(shapes)}, expected one size"
        )
    return maps
