"""Sets of pictures in memory, all of one size: folders, zips and tars of pictures, IDX files, arrays."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imgtool.errors import BadImage, DataError
from imgtool.files import printable
from imgtool.imaging.io import read_picture
from imgtool.imaging.picture import Picture, on_white

Pixels = NDArray[np.uint8]
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm", ".avif")
IMAGES_IDX, LABELS_IDX = 0x0803, 0x0801  # unsigned bytes in three dimensions, in one
LABEL_NAMES = ("labels", "y", "y_train", "label")
IMAGE_NAMES = ("images", "x", "x_train", "arr_0", "data")
LARGEST = 16 << 30  # bytes in memory
KINDS = "a folder, zip or tar of pictures, IDX, .npy or .npz"

# Told the pictures read and how many there are.
OnPicture = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class PictureSet:
    """Pictures that a network is trained on.

    Attributes:
        pixels: (N, S, S, C) uint8; C is 1 where every picture was grey, else 3.
        labels: (N,) class of each, from 0 on; all 0 where there are no classes.
        classes: their names; () where there are none.
        left_out: what could not be read, each with its reason.
    """

    pixels: Pixels
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class _Entry:
    """A picture to be read: its name, its folder's name, and how."""

    name: str
    folder: str
    read: Callable[[], Picture]


def read_picture_set(
    path: Path,
    *,
    size: int,
    fit: str = "crop",
    classes: bool = False,
    on_picture: OnPicture = lambda done, count: None,
) -> PictureSet:
    """All pictures of a set, made equally large.

    Transparent pixels are laid on white. "crop" takes the middle square and scales it; "pad" keeps the whole picture,
    makes it smaller if need be but never larger, and puts black around it. Pictures that cannot be read are left out
    and named.

    Args:
        path: a folder (searched to any depth), a .zip or .tar of pictures, an IDX file (perhaps .gz), .npy or .npz.
        size: side of a picture in pixels.
        fit: "crop" or "pad".
        classes: whether the names of the pictures' folders, or a data set's labels, are classes.
        on_picture: told how far it has come.
    Raises:
        DataError: there are no pictures, or no classes where they are wanted.
    """
    name = path.name.lower()
    if not path.exists():
        raise DataError(f"{printable(path)}: no such file or folder")
    if path.is_file() and (name.endswith((".npy", ".npz")) or "-idx" in name):
        return _of_arrays(path, size, fit, classes, on_picture)
    entries = _entries(path)
    if not entries:
        raise DataError(
            f"{printable(path)} holds no pictures", hint="a folder, zip or tar of pictures, IDX, .npy or .npz"
        )
    if len(entries) * size * size * 3 > LARGEST:
        raise DataError(
            f"{len(entries)} pictures of {size} pixels take more than {LARGEST >> 30} GB",
            hint="a smaller --size",
        )
    names = tuple(sorted({entry.folder for entry in entries})) if classes else ()
    if classes and len(names) < 2:
        raise DataError(f"{printable(path)} has no sub-folders to be classes", hint="leave --classes away")
    pixels, labels, left_out = [], [], []
    for index, entry in enumerate(entries):
        on_picture(index, len(entries))
        try:
            pixels.append(_square(entry.read(), size, fit))
        except BadImage as error:
            left_out.append(f"{printable(entry.name)}: {error.reason}")
            continue
        labels.append(names.index(entry.folder) if classes else 0)
    if not pixels:
        raise DataError(f"{printable(path)}: no picture could be read, the first: {left_out[0]}")
    return PictureSet(_stacked(pixels), np.array(labels, np.int64), names, tuple(left_out))


def _entries(path: Path) -> list[_Entry]:
    if path.is_dir():
        found = sorted(each for each in path.rglob("*") if each.suffix.lower() in SUFFIXES and each.is_file())
        return [_Entry(str(each), each.parent.name, _file_reader(each)) for each in found]
    try:
        if zipfile.is_zipfile(path):
            return list(_in_zip(path))
        if tarfile.is_tarfile(path):
            return list(_in_tar(path))
    except (OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise DataError(f"{printable(path)} cannot be read: {error}") from error
    raise DataError(
        f"{printable(path)} is no set of pictures", hint="a folder, zip or tar of pictures, IDX, .npy or .npz"
    )


def _file_reader(path: Path) -> Callable[[], Picture]:
    return lambda: read_picture(path)


def _in_zip(path: Path) -> Iterator[_Entry]:
    archive = zipfile.ZipFile(path)
    for info in sorted(archive.infolist(), key=lambda info: info.filename):
        place = PurePosixPath(info.filename)
        if place.suffix.lower() in SUFFIXES and not info.is_dir():
            read = partial(archive.read, info)
            yield _Entry(info.filename, place.parent.name, _member_reader(read, info.filename))


def _in_tar(path: Path) -> Iterator[_Entry]:
    archive = tarfile.open(path)  # noqa: SIM115
    for info in sorted(archive.getmembers(), key=lambda info: info.name):
        place = PurePosixPath(info.name)
        if place.suffix.lower() in SUFFIXES and info.isfile():
            read = _tar_member(archive, info)
            yield _Entry(info.name, place.parent.name, _member_reader(read, info.name))


def _tar_member(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        file = archive.extractfile(info)
        return file.read() if file else b""

    return read


def _member_reader(read: Callable[[], bytes], name: str) -> Callable[[], Picture]:
    def picture() -> Picture:
        try:
            data = read()
        except (OSError, zipfile.BadZipFile, tarfile.TarError, RuntimeError, EOFError) as error:
            raise BadImage(name, str(error).splitlines()[0] or "damaged") from error
        return read_picture(io.BytesIO(data), name=name)

    return picture


def _square(picture: Picture, size: int, fit: str) -> Pixels:
    """(S, S, 1) for grey, else (S, S, 3)."""
    pixels = on_white(picture)
    gray = picture.is_gray or bool((pixels[..., :1] == pixels).all())
    return fitted(pixels[..., :1] if gray else pixels, size, fit)


def fitted(pixels: Pixels, size: int, fit: str) -> Pixels:
    """A picture made square: (H, W, C) to (S, S, C); see `read_picture_set`."""
    height, width = pixels.shape[:2]
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    if fit == "crop":
        side = min(height, width)
        left, top = (width - side) // 2, (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
        if side != size:
            image = image.resize((size, size), Image.Resampling.LANCZOS)
    else:
        scale = min(1.0, size / max(height, width))
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = image if scale == 1 else image.resize(small, Image.Resampling.LANCZOS)
        square = Image.new(image.mode, (size, size))
        square.paste(image, ((size - small[0]) // 2, (size - small[1]) // 2))
        image = square
    return np.asarray(image, np.uint8).reshape(size, size, -1)


def _stacked(pixels: Sequence[Pixels]) -> Pixels:
    """All in as many channels as the richest of them has."""
    channels = max(each.shape[2] for each in pixels)
    return np.stack([np.broadcast_to(each, (*each.shape[:2], channels)) for each in pixels])


def _of_arrays(path: Path, size: int, fit: str, classes: bool, on_picture: OnPicture) -> PictureSet:
    shown = printable(path)
    try:
        images, labels = _idx(path) if ".np" not in path.suffix else _numpy(path)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{shown} cannot be read: {error}") from error
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or not len(images):
        raise DataError(
            f"{shown} holds an array of {images.shape}, expected (N, H, W), (N, H, W, 1) or (N, H, W, 3)"
        )
    if images.dtype != np.uint8:
        images = _levels(images, shown)
    if classes and labels is None:
        raise DataError(f"{shown} has no labels", hint="leave --classes away")
    squares = []
    for index, each in enumerate(images):
        on_picture(index, len(images))
        squares.append(fitted(np.ascontiguousarray(each), size, fit))
    known, numbers = (
        np.unique(np.asarray(labels), return_inverse=True)
        if classes and labels is not None
        else (np.zeros(0), np.zeros(len(images)))
    )
    if len(numbers) != len(images):
        raise DataError(f"{shown} has {len(numbers)} labels for {len(images)} pictures")
    return PictureSet(np.stack(squares), numbers.astype(np.int64), tuple(map(str, known.tolist())), ())


def _levels(images: NDArray[Any], shown: str) -> Pixels:
    """Numbers of another type as bytes: floats from 0 to 1, or whole numbers up to 255."""
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 255):  # NaN too
        raise DataError(f"{shown} holds numbers from {low:g} to {high:g}, expected 0 to 1 or 0 to 255")
    levels: Pixels = np.rint(images * (255 if high <= 1 else 1)).astype(np.uint8)
    return levels


def _numpy(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded, None
    with loaded:
        names = list(loaded.files)
        image = next((name for name in IMAGE_NAMES if name in names), names[0])
        label = next((name for name in LABEL_NAMES if name in names), None)
        return loaded[image], loaded[label] if label else None


def _idx(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """An IDX file of pictures, and the labels that lie beside it."""
    images = _read_idx(path, IMAGES_IDX)
    beside = path.with_name(path.name.replace("images-idx3", "labels-idx1"))
    labels = _read_idx(beside, LABELS_IDX) if beside != path and beside.is_file() else None
    return images, labels


def _read_idx(path: Path, kind: int) -> Pixels:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if zipped else path.open("rb") as opened:
        return _parsed_idx(opened, kind)  # type: ignore[arg-type]


def _parsed_idx(file: BinaryIO, kind: int) -> Pixels:
    header = file.read(4)
    if int.from_bytes(header, "big") != kind:
        raise ValueError(f"it begins with {header.hex() or 'nothing'}, expected {kind:08x}")
    shape = [int.from_bytes(file.read(4), "big") for _ in range(kind & 0xFF)]
    count = int(np.prod(shape, dtype=np.int64))
    data = file.read(min(count, LARGEST))
    if len(data) != count:
        raise ValueError(f"it has {len(data)} bytes for {'x'.join(map(str, shape))}")
    return np.frombuffer(data, np.uint8).reshape(shape)
