"""Pictures and labels in IDX files and numpy's arrays, of any shape and type that can be told from them."""

import gzip
import io
import math
import re
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from imgtool.data.picture_archives import Entry
from imgtool.errors import DataError
from imgtool.files import printable
from imgtool.imaging.picture import Picture, Samples

IDX_NAME = re.compile(r"[-.]idx[13]")  # as MNIST has it, or as some unpackers make it
IMAGES_IDX, LABELS_IDX = 0x0803, 0x0801  # unsigned bytes in three dimensions, in one
LABEL_NAMES = ("labels", "y", "y_train", "label")
IMAGE_NAMES = ("images", "x", "x_train", "arr_0", "data")
CHANNELS = (1, 2, 3, 4)  # grey, grey and alpha, RGB, RGB and alpha
LARGEST = 16 << 30  # bytes in memory

Array: TypeAlias = NDArray[Any]


def is_array_file(path: Path) -> bool:
    """Whether a file's name says that it holds arrays."""
    name = path.name.lower()
    return path.is_file() and (name.endswith((".npy", ".npz")) or IDX_NAME.search(name) is not None)


def array_pictures(path: Path, *, classes: bool) -> list[Entry]:
    """The pictures of an IDX file, `.npy` or `.npz`, in its order.

    Their shape is (N, H, W), (N, H, W, C) or, where the last axis cannot be channels, (N, C, H, W); C is 1 to 4, the
    second and fourth are alpha. Their type says the range: False to True, uint8 0 to 255, uint16 0 to 65535, other
    whole numbers 0 to 255, floats 0 to 1.

    Args:
        path: of the file.
        classes: whether labels are wanted; if not, they are not looked at.
    Raises:
        DataError: an array of another shape, type or range, or labels that are not one class for each picture.
            For a damaged file anything may be raised.
    """
    shown = printable(path)
    images, labels = (_numpy if ".np" in path.suffix.lower() else _idx)(path, classes)
    images = _channels_last(images, shown)
    _check_range(images, shown)
    groups = _classes_of(labels, len(images), shown) if classes else [None] * len(images)
    return [
        Entry(f"picture {index} of {shown}", (), group, partial(_picture, images, index))
        for index, group in enumerate(groups)
    ]


def _channels_last(images: Array, shown: str) -> Array:
    """(N, H, W, C)."""
    found = images.shape
    if images.ndim == 3:
        images = images[..., None]
    elif images.ndim == 4 and found[3] not in CHANNELS and found[1] in CHANNELS:
        images = np.moveaxis(images, 1, 3)
    if images.ndim != 4 or images.shape[3] not in CHANNELS or 0 in found:
        raise DataError(
            f"{shown} holds an array of {found}, expected (N, H, W), (N, H, W, C) or (N, C, H, W), C from 1 to 4"
        )
    return images


def _check_range(images: Array, shown: str) -> None:
    """Refuse numbers that are no levels of their type."""
    kind = images.dtype.kind
    if kind not in "buif":
        raise DataError(f"{shown} holds {images.dtype}, expected bool, whole numbers or floats")
    if images.dtype in (bool, np.uint8):
        return
    low, high = images.min(), images.max()
    if kind == "f":
        if not (_nearest_level(low) >= 0 and _nearest_level(high) <= 255):  # NaN too
            raise DataError(
                f"{shown} holds floats from {low:g} to {high:g}, expected 0 to 1", hint="0 to 255: save uint8"
            )
    elif kind == "u" and images.dtype.itemsize == 2:
        if high <= 255:  # all black, or bytes of the wrong type
            raise DataError(f"{shown} holds uint16 up to {high}, white is 65535", hint="save uint8")
    elif low < 0 or high > 255:
        raise DataError(f"{shown} holds {images.dtype} from {low} to {high}, expected 0 to 255")


def _nearest_level(values: Any) -> Any:
    """Floats from 0 to 1 as the nearest of 256 levels."""
    return np.rint(np.multiply(values, 255, dtype=np.float64))


def _picture(images: Array, index: int) -> Picture:
    """One of (N, H, W, C), with its alpha apart."""
    levels = _levels(images[index])
    alpha = levels[..., -1] if levels.shape[2] in (2, 4) else None
    return Picture.gray(levels[..., 0], alpha) if levels.shape[2] < 3 else Picture(levels[..., :3], alpha)


def _levels(samples: Array) -> Samples:
    """Numbers as levels of 8 bits, or of 16 where they have them."""
    if samples.dtype == bool:
        return samples.astype(np.uint8) * np.uint8(255)
    if samples.dtype.kind == "f":
        levels: Samples = _nearest_level(samples).astype(np.uint8)
        return levels
    deep = samples.dtype.kind == "u" and samples.dtype.itemsize == 2
    return samples.astype(np.uint16 if deep else np.uint8)  # another byte order becomes our own


def _classes_of(labels: Array | None, count: int, shown: str) -> list[int] | list[str]:
    """The class of each picture, from labels (N,), (N, 1) or one-hot (N, K)."""
    if labels is None:
        raise DataError(f"{shown} has no labels", hint="leave --classes away")
    found, kind = labels.shape, labels.dtype.kind
    if labels.ndim == 2 and found[1] == 1:
        labels = labels[:, 0]
    elif labels.ndim == 2 and kind in "buif" and _is_one_hot(labels):
        labels = labels.argmax(axis=1)
    whole = kind in "bui" or (kind == "f" and bool((np.isfinite(labels) & (labels == np.rint(labels))).all()))
    if labels.ndim != 1 or not (whole or kind in "SU"):
        raise DataError(
            f"{shown} has labels {found} of type {labels.dtype}, expected whole numbers or names as (N,) or (N, 1), "
            "or one-hot (N, K)"
        )
    if len(labels) != count:
        raise DataError(f"{shown} has {len(labels)} labels for {count} pictures")
    if whole:
        return [int(label) for label in labels.tolist()]
    return [str(name) for name in (np.char.decode(labels, "utf-8", "replace") if kind == "S" else labels)]


def _is_one_hot(labels: Array) -> bool:
    return bool(((labels == 0) | (labels == 1)).all() and (np.count_nonzero(labels, axis=1) == 1).all())


def _numpy(path: Path, classes: bool) -> tuple[Array, Array | None]:
    loaded = np.load(path, mmap_mode="r", allow_pickle=False)  # checked against the file's length
    if isinstance(loaded, np.ndarray):
        return np.asarray(loaded), None
    with loaded:
        names = [name for name in loaded.files if name not in LABEL_NAMES]
        image = next((name for name in IMAGE_NAMES if name in names), names[0] if names else None)
        if image is None:
            raise DataError(f"{printable(path)} holds no arrays of pictures")
        label = next((name for name in LABEL_NAMES if name in loaded.files), None) if classes else None
        return _member(loaded, image), _member(loaded, label) if label else None


def _member(archive: Any, name: str) -> Array:
    """One array of an `.npz`, unless it would take more memory than there can be."""
    (size, *_) = [each.file_size for each in archive.zip.infolist() if each.filename in (name, f"{name}.npy")]
    if size > LARGEST:
        raise ValueError(f"{name} takes {size / (1 << 30):.0f} GB, more than {LARGEST >> 30}")
    array = archive[name]
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{printable(name)} in it is no array")
    return array


def _idx(path: Path, classes: bool) -> tuple[Array, Array | None]:
    """An IDX file of pictures, and the labels that lie beside it."""
    images = _read_idx(path, IMAGES_IDX)
    beside = path.with_name(re.sub(r"images([-.])idx3", r"labels\1idx1", path.name))
    return images, _read_idx(beside, LABELS_IDX) if classes and beside != path and beside.is_file() else None


def _read_idx(path: Path, kind: int) -> Array:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if zipped else path.open("rb") as opened:
        return _parsed_idx(opened, kind)


def _parsed_idx(file: gzip.GzipFile | io.BufferedReader, kind: int) -> Array:
    header = file.read(4)
    if int.from_bytes(header, "big") != kind:
        raise ValueError(f"it begins with {header.hex() or 'nothing'}, expected {kind:08x}")
    shape = [int.from_bytes(file.read(4), "big") for _ in range(kind & 0xFF)]
    count = math.prod(shape)
    data = file.read(min(count, LARGEST))
    if len(data) != count:
        raise ValueError(f"it has {len(data)} bytes for {'x'.join(map(str, shape))}")
    return np.frombuffer(data, np.uint8).reshape(shape)
