"""Pictures that lie in a folder, a zip or a tar: where each lies, its class, and how it is read."""

import os
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, TypeAlias, cast

from imgtool.imaging.io import read_picture
from imgtool.imaging.picture import Picture
from imgtool.imaging.suffixes import READABLE

MAC_EXTRAS = "__MACOSX"  # what macOS adds to its zips: no pictures, though named like them

Parts: TypeAlias = tuple[str, ...]
Read: TypeAlias = Callable[[], Picture]


@dataclass(frozen=True, eq=False)
class Entry:
    """A picture to be read.

    Attributes:
        name: what to call it.
        place: folders and name, by which pictures are sorted; () where they keep their order.
        group: its class, the first folder or a label; None if it has none.
        read: raises BadImage, or whatever the reader of its container does for bytes that it does not like.
    """

    name: str
    place: Parts
    group: str | int | None
    read: Read


def filed_pictures(path: Path, opened: ExitStack) -> list[Entry] | None:
    """The pictures of a folder, zip or tar, in the order in which they are read fastest; None if it is none of these.

    The class of a picture is the first folder below the set's top. That of an archive is the folder in which all its
    pictures lie, since most archives hold one folder. Hidden files, and what macOS adds, are left out.

    Args:
        path: what is there.
        opened: closes the archive when all is read.
    Raises:
        OSError: a folder cannot be read. For a damaged archive anything may be raised.
    """
    if path.is_dir():
        return list(_entries(_in_folder(path), top=0))
    if zipfile.is_zipfile(path):
        found = list(_in_zip(opened.enter_context(zipfile.ZipFile(path))))
    elif tarfile.is_tarfile(path):
        found = list(_in_tar(opened.enter_context(tarfile.open(path))))  # noqa: SIM115
    else:
        return None
    return list(_entries(found, top=_shared([place[:-1] for _, place, _ in found])))


def _shared(places: Iterable[Parts]) -> int:
    """How many folders, from the first, are the same for all."""
    return sum(1 for _ in takewhile(lambda folders: len(set(folders)) == 1, zip(*places, strict=False)))


def _entries(found: Iterable[tuple[str, Parts, Read]], *, top: int) -> Iterator[Entry]:
    """Each with its class; `top` folders are those of the set itself."""
    for name, place, read in found:
        yield Entry(name, place, place[top] if len(place) > top + 1 else None, read)


def _is_picture(place: Parts) -> bool:
    hidden = any(part.startswith(".") or part == MAC_EXTRAS for part in place)
    return not hidden and PurePosixPath(place[-1]).suffix[1:].lower() in READABLE if place else False


def _is_run(folder: Path) -> bool:
    """Whether it is what a training left: its samples are not of the set beside which it was put."""
    return (folder / "options.json").is_file() and (folder / "log.jsonl").is_file()


def _in_folder(folder: Path) -> Iterator[tuple[str, Parts, Read]]:
    def refuse(error: OSError) -> None:
        raise error

    for parent, below, names in os.walk(folder, onerror=refuse):
        below[:] = [name for name in below if not _is_run(Path(parent, name))]
        for path in map(Path(parent).joinpath, names):
            place = path.relative_to(folder).parts
            if _is_picture(place) and path.is_file():
                yield str(path), place, partial(read_picture, path)


def _in_zip(archive: zipfile.ZipFile) -> Iterator[tuple[str, Parts, Read]]:
    for info in archive.infolist():
        name, place = info.filename, _place(info.filename)
        if _is_picture(place) and not info.is_dir():
            yield name, place, partial(_member, partial(archive.open, info), name, info.file_size)


def _in_tar(archive: tarfile.TarFile) -> Iterator[tuple[str, Parts, Read]]:
    for info in archive.getmembers():
        place = _place(info.name)
        if _is_picture(place) and info.isfile():
            opens = cast(Callable[[], IO[bytes]], partial(archive.extractfile, info))  # a file: never None
            yield info.name, place, partial(_member, opens, info.name, info.size)


def _place(name: str) -> Parts:
    return tuple(part for part in PurePosixPath(name).parts if part not in ("/", "//", ".."))


class _Pipe:
    """A member as a stream that cannot seek: `read_picture` looks at its head, then reads as much as it allows."""

    def __init__(self, file: IO[bytes], length: int) -> None:
        self._file, self._length = file, length

    def read(self, count: int) -> bytes:
        # Never more than there is: so much memory is taken before anything is read.
        return self._file.read(min(count, self._length))

    def seekable(self) -> bool:
        return False


def _member(opens: Callable[[], IO[bytes]], name: str, length: int) -> Picture:
    with opens() as file:
        return read_picture(cast(BinaryIO, _Pipe(file, length)), name=name)
