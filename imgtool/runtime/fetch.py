"""Weights from an installed distribution, a package index or a web address, verified and converted into the cache."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from imgtool.errors import WeightsError
from imgtool.runtime.archive import read_member
from imgtool.runtime.convert import metadata_of, tensors_of, write_safetensors
from imgtool.runtime.entries import Pin, WeightsEntry

if TYPE_CHECKING:
    from unearth.fetchers import PyPIClient

    from imgtool.runtime.index import Candidate

OnProgress = Callable[[str, int, int], None]  # What is under way, bytes done, bytes in all

CHUNK = 1 << 20
ATTEMPTS = 5
MARGIN = 16 << 20  # Bytes of disk that stay free


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """A temporary sibling that takes the name of `path` when all of it is written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class Unusable(Exception):
    """A place that does not serve the file as it should; the next one may."""


def from_installed(entry: WeightsEntry, target: Path, tried: list[str]) -> bool:
    """Make `target` of the member that an installed distribution holds.

    Returns:
        Whether that worked; if not, `tried` has the reason.
    """
    if not entry.distribution or not entry.member:
        return False
    wanted = entry.distribution
    try:
        installed = metadata.distribution(wanted.name)
    except metadata.PackageNotFoundError:
        tried.append(f"installed distributions: no {wanted.name}")
        return False
    # An sdist keeps everything in one folder that is not there once it is installed.
    inside = entry.member.name.removeprefix(wanted.file.removesuffix(".tar.gz") + "/")
    path = Path(str(installed.locate_file(inside)))
    if not path.is_file() or path.stat().st_size != entry.member.bytes:
        tried.append(f"installed {wanted.name} {installed.version}: other files than {wanted.requirement}")
        return False
    convert_member(entry, path.read_bytes(), target)
    return True


def from_network(
    entry: WeightsEntry, target: Path, tried: list[str], on_progress: OnProgress, *, offline: bool
) -> bool:
    """Make `target` of what the package index or the web address of `entry` serves.

    With `offline`, only indexes and folders on this machine's own disks are asked.

    Returns:
        Whether that worked; if not, `tried` has each place's reason.
    """
    from imgtool.runtime import index

    if not entry.archive:
        return False
    settings = index.read_settings()
    if offline:
        tried.append("the network: forbidden by IMGTOOL_OFFLINE")
        settings = settings.offline()
    part = target.with_name(f"{target.stem}.part")
    with index.open_client(settings) as client:
        for candidate in _candidates(entry, client, settings, tried, offline=offline):
            try:
                download(client, candidate, part, entry.archive, on_progress)
            except Unusable as problem:
                tried.append(f"{candidate.shown}: {problem}")
                continue
            try:
                convert_archive(entry, part, target)
            finally:
                part.unlink(missing_ok=True)
            return True
    return False


def _candidates(
    entry: WeightsEntry,
    client: "PyPIClient",
    settings: "index.IndexSettings",
    tried: list[str],
    *,
    offline: bool,
) -> Iterator["Candidate"]:
    """The index's offers, then the web address."""
    from imgtool.runtime import index

    if entry.distribution and entry.archive:
        yield from index.candidates(client, settings, entry.distribution, entry.archive, tried)
    if entry.url and not (offline and not index.is_local(entry.url)):
        yield index.Candidate(entry.url, entry.url)


def download(
    client: "PyPIClient", candidate: "Candidate", part: Path, pin: Pin, on_progress: OnProgress
) -> None:
    """Bring `part` to the pinned bytes, going on from what an earlier attempt left there.

    A connection that fails leaves `part` for the next attempt; wrong bytes and a full disk do not.

    Raises:
        Unusable: the server cannot be reached, refuses, or serves other bytes.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    resumed = _size(part) > 0
    try:
        _transfer(client, candidate, part, pin, on_progress)
        found = sha256_of(part)
        if found != pin.sha256 and resumed:  # The beginning may be another mirror's.
            part.unlink()
            _transfer(client, candidate, part, pin, on_progress)
            found = sha256_of(part)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise WeightsError(
            f"{part.parent} cannot take {pin.bytes:,} bytes: {error.strerror}", hint=SPACE
        ) from error
    if found != pin.sha256:
        part.unlink()
        raise Unusable(f"served SHA-256 {found}, expected {pin.sha256}")


SPACE = "set IMGTOOL_CACHE to a folder with room"


def _transfer(
    client: "PyPIClient", candidate: "Candidate", part: Path, pin: Pin, on_progress: OnProgress
) -> None:
    """Stream into `part`, and take up a cut connection where it broke."""
    import httpx2

    require_space(part.parent, pin.bytes - _size(part))
    for attempt in range(ATTEMPTS):
        before = _size(part)
        try:
            _stream(client, candidate, part, pin, on_progress)
        except httpx2.TransportError as error:
            problem = str(error) or type(error).__name__
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise Unusable(str(error)) from error
        else:
            if _size(part) == pin.bytes:
                return
            problem = f"stopped at {_size(part):,} of {pin.bytes:,} bytes"
        if _size(part) == before and attempt:
            break
        time.sleep(0.1 * 2**attempt)
    raise Unusable(problem)


def _stream(
    client: "PyPIClient", candidate: "Candidate", part: Path, pin: Pin, on_progress: OnProgress
) -> None:
    """One request for the bytes that are still missing."""
    start = _size(part)
    if start >= pin.bytes:
        part.unlink()
        start = 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with client.stream("GET", candidate.url, headers=headers) as response:
        if response.status_code == 206 and response.headers.get("Content-Range", "").startswith(
            f"bytes {start}-"
        ):
            mode = "ab"
        elif response.status_code == 200:
            mode, start = "wb", 0
        else:
            raise Unusable(f"HTTP {response.status_code} {response.reason_phrase}")
        with part.open(mode) as file:
            for chunk in response.iter_raw(CHUNK):
                start += len(chunk)
                if start > pin.bytes:
                    raise Unusable(f"serves more than the expected {pin.bytes:,} bytes")
                file.write(chunk)
                on_progress(candidate.shown.rpartition("/")[2], start, pin.bytes)


def convert_archive(entry: WeightsEntry, archive: Path, target: Path) -> None:
    """Make `target` of an archive whose bytes are verified, or of the checkpoint that it is."""
    if entry.member:
        convert_member(entry, read_member(archive, entry.member), target)
        return
    from imgtool.runtime.checkpoints import convert_checkpoint  # The one place that needs torch

    _write(entry, convert_checkpoint(archive, entry), target)


def convert_member(entry: WeightsEntry, member: bytes, target: Path) -> None:
    """Make `target` of a member, once its SHA-256 is what is pinned."""
    assert entry.member
    found = hashlib.sha256(member).hexdigest()
    if found != entry.member.sha256:
        raise WeightsError(f"{entry.member.name} has SHA-256 {found}, expected {entry.member.sha256}")
    _write(entry, tensors_of(member, entry.layout), target)


def _write(entry: WeightsEntry, tensors: "Arrays", target: Path) -> None:
    """The converted file under its name, whole or not at all."""
    require_space(target.parent, sum(4 * tensor.size for tensor in tensors.values()))
    with atomic_write(target) as file:
        found = write_safetensors(file, tensors, metadata_of(entry))
        if entry.converted.sha256 not in ("", found):
            raise WeightsError(
                f"{entry.name} was converted to SHA-256 {found}, expected {entry.converted.sha256}"
            )
    if not entry.converted.sha256:
        target.with_suffix(".sha256").write_text(found + "\n")


def require_space(folder: Path, wanted: int) -> None:
    """Refuse before the work, rather than in the middle of it, when a disk has too little room."""
    free = shutil.disk_usage(folder).free
    if free < wanted + MARGIN:
        raise WeightsError(
            f"{folder} has {free / 1e6:.0f} MB free, {(wanted + MARGIN) / 1e6:.0f} MB wanted", hint=SPACE
        )


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size(path: Path) -> int:
    """Bytes of a file; 0 when there is none."""
    return path.stat().st_size if path.exists() else 0
