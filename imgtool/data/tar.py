"""Tars of many small members, written in a hurry: two headers of `tarfile` take half as long as a captcha to draw."""

import tarfile
from types import TracebackType
from typing import BinaryIO, Self

# A header that tells nothing of when and by whom a member was made; name, size and checksum are to be filled in.
_HEADER = tarfile.TarInfo().tobuf(tarfile.USTAR_FORMAT)
_NAME, _SIZE, _CHECKSUM = slice(0, tarfile.LENGTH_NAME), slice(124, 136), slice(148, 156)


class Tar:
    """A tar (USTAR) that is being written, to the bytes that `tarfile` would write.

    Args:
        file: where to, from where it is.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._written = 0

    def add(self, name: str, data: bytes) -> None:
        """A member.

        Args:
            name: up to 100 letters of ASCII.
            data: what is in it.
        """
        padding = bytes(-len(data) % tarfile.BLOCKSIZE)
        self._write(b"".join((_header(name.encode("ascii"), len(data)), data, padding)))

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._written += len(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._write(bytes(2 * tarfile.BLOCKSIZE))
            self._write(bytes(-self._written % tarfile.RECORDSIZE))


def _header(name: bytes, size: int) -> bytes:
    block = bytearray(_HEADER)
    block[_NAME] = name.ljust(tarfile.LENGTH_NAME, b"\0")
    block[_SIZE] = b"%011o\0" % size
    block[_CHECKSUM] = b" " * 8  # as which it counts itself
    block[_CHECKSUM] = b"%06o\0 " % sum(block)
    return bytes(block)
