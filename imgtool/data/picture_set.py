"""Sets of pictures in memory, all of one size: folders, zips and tars of pictures, IDX files, arrays."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imgtool.data.picture_archives import Entry, filed_pictures
from imgtool.data.picture_arrays import LARGEST, array_pictures, is_array_file
from imgtool.errors import BadImage, DataError, ImgtoolError
from imgtool.files import printable
from imgtool.imaging.picture import Picture, on_white

Pixels = NDArray[np.uint8]
KINDS = "a folder, zip or tar of pictures, IDX, .npy or .npz"
NO_CLASS = "it lies in no class's folder"

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


def read_picture_set(
    path: Path,
    *,
    size: int,
    fit: str = "crop",
    classes: bool = False,
    on_picture: OnPicture = lambda done, count: None,
) -> PictureSet:
    """All pictures of a set, made equally large, sorted by their names.

    Transparent pixels are laid on white. "crop" takes the middle square and scales it; "pad" keeps the whole picture,
    makes it smaller if need be but never larger, and puts black around it. Pictures that cannot be read are left out
    and named.

    Args:
        path: a folder (searched to any depth), a .zip or .tar of pictures, an IDX file (perhaps .gz), .npy or .npz.
        size: side of a picture in pixels.
        fit: "crop" or "pad".
        classes: whether first sub-folders, or a data set's labels, are classes; those without pictures are not.
        on_picture: told how far it has come.
    Raises:
        DataError: it cannot be read, there are no pictures, or less than two classes where they are wanted.
    """
    with ExitStack() as opened:
        entries = _entries(path, classes, opened)
        _check_memory(len(entries), size)
        if classes:
            _class_names(path, entries)  # refuses what has none before all is read
        squares, left_out = _read(entries, size, fit, classes, on_picture)
    if not squares:
        raise DataError(f"{printable(path)}: no picture could be read, the first: {left_out[0]}")
    kept = sorted(squares, key=lambda entry: entry.place)
    names = _class_names(path, kept) if classes else []
    numbers = {name: number for number, name in enumerate(names)}
    labels = np.array([numbers.get(entry.group, 0) for entry in kept], np.int64)
    pixels = _stacked([squares[entry] for entry in kept])
    return PictureSet(pixels, labels, tuple(map(str, names)), tuple(left_out))


def _entries(path: Path, classes: bool, opened: ExitStack) -> list[Entry]:
    """What there is to be read."""
    shown = printable(path)
    if not path.exists():
        raise DataError(f"{shown}: no such file or folder")
    with _said(lambda reason: DataError(f"{shown} cannot be read: {reason}")):
        if is_array_file(path):
            return array_pictures(path, classes=classes)
        found = filed_pictures(path, opened)
    if not found:
        raise DataError(f"{shown} {'is no set of' if found is None else 'holds no'} pictures", hint=KINDS)
    return found


@contextmanager
def _said(refusal: Callable[[str], ImgtoolError]) -> Iterator[None]:
    """Say in one line what the reader of a format raises for bytes that it does not like, which may be anything."""
    try:
        yield
    except ImgtoolError:
        raise
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise refusal(printable((reason.splitlines() or ["it is damaged"])[0])) from error


def _check_memory(count: int, size: int) -> None:
    if count * size * size * 3 > LARGEST:
        raise DataError(
            f"{count} pictures of {size} pixels take more than {LARGEST >> 30} GB", hint="a smaller --size"
        )


def _class_names(path: Path, entries: Iterable[Entry]) -> list[Any]:
    """The classes of entries, sorted: names, or numbers."""
    found: set[Any] = {entry.group for entry in entries} - {None}
    names = sorted(found)
    if not names:
        raise DataError(f"{printable(path)} has no sub-folders to be classes", hint="leave --classes away")
    if len(names) == 1:
        raise DataError(
            f"{printable(path)} has pictures of one class, {printable(str(names[0]))}, expected two at least",
            hint="leave --classes away",
        )
    return names


def _read(
    entries: Sequence[Entry], size: int, fit: str, classes: bool, on_picture: OnPicture
) -> tuple[dict[Entry, Pixels], list[str]]:
    """The pictures that can be read, and why others cannot."""
    squares, left_out = {}, []
    for index, entry in enumerate(entries):
        on_picture(index, len(entries))
        try:
            if classes and entry.group is None:
                raise BadImage(entry.name, NO_CLASS)
            with _said(partial(BadImage, entry.name)):
                picture = entry.read()
        except BadImage as error:
            left_out.append(f"{printable(entry.name)}: {error.reason}")
        else:
            squares[entry] = _square(picture, size, fit)
    return squares, sorted(left_out)


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
