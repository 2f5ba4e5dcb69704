"""Finding inputs: files, folders, globs and stdin, as they were typed; and opening them."""

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO

import click

from imgtool.errors import BadImage
from imgtool.files import printable, system_reason
from imgtool.imaging import suffixes

STREAM = "-"
HERE = PurePath()
READABLE = suffixes.READABLE  # what a folder is searched for


@dataclass(frozen=True)
class Source:
    """One input.

    Attributes:
        path: of the file, or `-` for stdin.
        inside: where it lay in the folder that was given, without its name; `.` for a file given by itself.
        frame: of an animation, from 1; None for the first, or for all there is.
    """

    path: Path
    inside: PurePath = HERE
    frame: int | None = None

    @property
    def is_stream(self) -> bool:
        """Whether it is stdin."""
        return str(self.path) == STREAM

    @property
    def name(self) -> str:
        """The file's name."""
        return "stdin" if self.is_stream else self.path.name

    @property
    def stem(self) -> str:
        """The file's name without its suffix; of a frame with its number."""
        number = "" if self.frame is None else f"-{self.frame:04d}"
        return "stdin" if self.is_stream else self.path.stem + number

    def __str__(self) -> str:
        number = "" if self.frame is None else f", frame {self.frame}"
        return ("stdin" if self.is_stream else printable(self.path)) + number


def is_file(path: str | Path) -> bool:
    """Whether there is a file: not, rather than an error as from pathlib, for a name that no system takes."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: str | Path) -> bool:
    """Whether there is a folder."""
    return os.path.isdir(path)  # noqa: PTH112


def exists(path: str | Path) -> bool:
    """Whether there is anything."""
    return os.path.exists(path)  # noqa: PTH110


def contents_of(path: Path) -> Path | None:
    """The file that counts of one that a command reads: of a run's folder its model; None if there is none."""
    path = path / "model.safetensors" if is_folder(path) else path
    return path if is_file(path) and os.access(path, os.R_OK) else None


def require_file(text: str, what: str) -> None:
    """Refuse what is certainly neither a file that can be read nor stdin.

    Raises:
        click.UsageError: there is nothing, or a folder.
    """
    if text == STREAM:
        return
    if is_folder(text) or not text:
        raise click.UsageError(f"{what} {printable(text)} is a folder, expected one picture.")
    if not exists(text):
        raise click.UsageError(f"{what} {printable(text)} does not exist.")


@contextmanager
def opened(source: Source) -> Iterator[BinaryIO]:
    """An input's bytes.

    Raises:
        BadImage: there are none.
    """
    if source.is_stream:
        if sys.stdin is None or sys.stdin.isatty():
            found = "closed" if sys.stdin is None else "a terminal"
            raise BadImage(
                "stdin", f"it is {found}, expected the bytes of a picture", hint="imgtool … < photo.jpg"
            )
        yield sys.stdin.buffer
        return
    try:
        with source.path.open("rb") as file:
            yield file
    except OSError as error:  # a disk may fail at any byte
        raise BadImage(source, system_reason(error)) from error


def find_sources(
    given: Iterable[str],
    *,
    recursive: bool = False,
    leave_out: Path | None = None,
    suffixes: Sequence[str] = READABLE,
) -> list[Source]:
    """The inputs from files, folders, globs and `-`.

    Args:
        given: as typed.
        recursive: whether to look into sub-folders of folders.
        leave_out: a folder inside a given one whose pictures are results, not inputs.
        suffixes: what a folder is searched for.
    Raises:
        click.UsageError: something that is not there, or a folder or pattern without pictures.
    """
    sources: list[Source] = []
    for text in given:
        path = Path(text)
        if text == STREAM:
            sources.append(Source(path))
        elif is_folder(text):
            sources += _in_folder(path, recursive, leave_out, suffixes)
        elif exists(text):
            sources.append(_file(path))
        elif glob.has_magic(text):
            matches = (Path(match) for match in sorted(glob.glob(text, recursive=True)))  # noqa: PTH207
            found = [_file(match) for match in matches if not is_folder(match)]
            if not found:
                raise click.UsageError(f"{printable(text)} matches no file.")
            sources += found
        else:
            raise click.UsageError(f"{printable(text) or 'an empty name'} does not exist.")
    require_one_stream(str(source.path) for source in sources)
    return sources


def require_one_stream(texts: Iterable[str]) -> None:
    """Refuse to read stdin twice.

    Raises:
        click.UsageError: it is named more often than once.
    """
    if sum(text == STREAM for text in texts) > 1:
        raise click.UsageError("stdin (-) can be read only once.")


def _file(path: Path) -> Source:
    # `./-` is a file of this name, not stdin.
    return Source(path.absolute() if str(path) == STREAM else path)


def _in_folder(
    folder: Path, recursive: bool, leave_out: Path | None, suffixes: Sequence[str]
) -> list[Source]:
    """The pictures of a folder, but for hidden ones."""

    def refuse(error: OSError) -> None:
        raise click.UsageError(f"{printable(error.filename)} cannot be read: {error.strerror}.") from error

    found: list[Source] = []
    skipped = leave_out.resolve() if leave_out else None
    for parent, folders, names in os.walk(folder, onerror=refuse):
        here = Path(parent)
        deeper = [here / name for name in folders if recursive and not name.startswith(".")]
        folders[:] = sorted(each.name for each in deeper if not skipped or each.resolve() != skipped)
        found += [
            Source(here / name, here.relative_to(folder))
            for name in sorted(names)
            if Path(name).suffix[1:].lower() in suffixes and not name.startswith(".")
        ]
    if not found:
        more = "" if recursive else " Use -r to look into its sub-folders too."
        raise click.UsageError(f"{printable(folder)} holds no picture.{more}")
    return found
