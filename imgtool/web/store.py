"""Pictures that were uploaded: each under a name that is safe, and not more of them than there is room for."""

import os
import re
import secrets
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from pathlib import Path

from imgtool.errors import ImgtoolError

ROOM = 20  # times the largest upload that are kept in all
MAX_NAME = 80  # letters


class TooLarge(ImgtoolError):
    """A body above the limit."""


class Unknown(ImgtoolError):
    """Something that is not there, or no longer."""


@dataclass(frozen=True)
class Upload:
    """One picture as it came; nobody has looked into it yet.

    Attributes:
        id: what the page calls it; cannot be guessed.
        path: where it is, under a safe name.
        bytes: its size.
    """

    id: str
    path: Path
    bytes: int


class Store:
    """The uploads, the oldest of which go when there is no room left.

    Args:
        folder: of ours alone.
        max_bytes: of one upload.
        suffixes: that a name may keep.
    """

    def __init__(self, folder: Path, *, max_bytes: int, suffixes: Collection[str]) -> None:
        self.folder, self.max_bytes, self.suffixes = folder, max_bytes, suffixes
        self.uploads: dict[str, Upload] = {}

    async def save(self, name: str, body: AsyncIterator[bytes]) -> Upload:
        """Keep a body; what was written of one that is too large or that breaks off is removed.

        Raises:
            TooLarge: it has more bytes than may be.
        """
        id = secrets.token_urlsafe(12)
        path = self.folder / id / safe_name(name, self.suffixes)
        path.parent.mkdir()
        size = 0
        try:
            with path.open("wb") as file:
                async for block in body:
                    size += len(block)
                    if size > self.max_bytes:
                        raise TooLarge(f"more than {self.max_bytes / 1e6:g} MB")
                    file.write(block)
        except BaseException:
            _remove(path)
            raise
        self.uploads[id] = Upload(id, path, size)
        self._make_room()
        return self.uploads[id]

    def link(self, id: str, folder: Path) -> str:
        """Give an upload to a job, whose folder keeps it; its name there.

        Raises:
            Unknown: there is no such upload, or it has gone.
        """
        if id not in self.uploads:
            raise Unknown("that picture is no longer here; choose it again")
        self.uploads[id] = upload = self.uploads.pop(id)  # used last, goes last
        name, number = upload.path.name, 1
        while (folder / name).exists():
            if (folder / name).samefile(upload.path):
                return name
            number += 1
            name = f"{number}-{upload.path.name}"
        os.link(upload.path, folder / name)
        return name

    def _make_room(self) -> None:
        while sum(upload.bytes for upload in self.uploads.values()) > ROOM * self.max_bytes:
            _remove(self.uploads.pop(next(iter(self.uploads))).path)


def safe_name(name: str, suffixes: Collection[str]) -> str:
    r"""A file name of letters, digits, `-`, `_` and dots that starts with none of these marks.

    Example:
        >>> safe_name("../a b:2.PNG", {"png"}), safe_name("-x.py", {"png"})
        ('a_b_2.PNG', 'x.py.png')
    """
    name = re.split(r"[/\\]", name)[-1]
    stem, _, suffix = re.sub(r"[^\w.-]+", "_", name).strip("._-").rpartition(".")
    if suffix.lower() not in suffixes:
        stem, suffix = f"{stem}.{suffix}".strip("."), "png"
    stem = stem.encode()[:MAX_NAME].decode(errors="ignore")
    return f"{stem or 'picture'}.{suffix}"


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.parent.rmdir()
