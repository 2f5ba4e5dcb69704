"""One file over the network: resumed where it broke, bounded in size, and verified."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from imgtool.errors import WeightsError
from imgtool.files import printable, sha256_file
from imgtool.runtime.entries import Pin

if TYPE_CHECKING:
    from unearth.fetchers import PyPIClient

    from imgtool.runtime.index import Candidate

OnProgress = Callable[[str, int, int], None]  # What is under way, bytes done, bytes in all

REQUESTS = 100  # For one file, as long as each brings something
STALLED = 3  # Requests in a row that bring nothing
PATIENCE = 0.1  # Seconds before the second of them; doubles
TRANSIENT = (429, 500, 502, 503, 504)
NO_SPACE = "set IMGTOOL_CACHE to a folder with room"


class Unusable(Exception):
    """A place that does not serve the file as it should; the next one may."""


class Interrupted(Exception):
    """A transfer that stopped halfway, and can go on."""


def download(
    client: "PyPIClient", candidate: "Candidate", part: Path, pin: Pin, on_progress: OnProgress
) -> None:
    """Bring `part` to the pinned bytes, going on from what an earlier attempt left there.

    A connection that fails leaves `part` for the next attempt; wrong bytes and a full disk do not.

    Raises:
        Unusable: the server cannot be reached, refuses, or serves other bytes.
        WeightsError: the disk does not take them.
    """
    resumed = _size(part) > 0
    try:
        found = _attempt(client, candidate, part, pin, on_progress)
        if found != pin.sha256 and resumed:  # The beginning may be a bad mirror's
            part.unlink()
            found = _attempt(client, candidate, part, pin, on_progress)
    except OSError as error:
        part.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise WeightsError(
            f"{printable(part.parent)} cannot take {candidate.file}: {reason}", hint=NO_SPACE
        ) from error
    if found != pin.sha256:
        part.unlink()
        raise Unusable(f"serves SHA-256 {found}, expected {pin.sha256}")


def require_space(folder: Path, wanted: int) -> None:
    """Refuse before the work, rather than in the middle of it, when a disk has too little room."""
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise WeightsError(
            f"{printable(folder)} has {free / 1e6:.1f} MB free, expected {wanted / 1e6:.1f} MB", hint=NO_SPACE
        )


def _attempt(
    client: "PyPIClient", candidate: "Candidate", part: Path, pin: Pin, on_progress: OnProgress
) -> str:
    """Fetch what is missing, through as many broken connections as make headway; gives the SHA-256."""
    stalled = 0
    for _ in range(REQUESTS):
        before = _size(part)
        if before == pin.bytes:
            return sha256_file(part)
        try:
            _request(client, candidate, part, pin, on_progress)
        except Interrupted as interruption:
            problem = str(interruption)
        else:
            problem = f"stops at {_size(part):,} of {pin.bytes:,} bytes"
        stalled = stalled + 1 if _size(part) <= before else 0
        if stalled == STALLED:
            break
        time.sleep(PATIENCE * 2**stalled if stalled else 0)
    raise Unusable(problem)


def _request(
    client: "PyPIClient", candidate: "Candidate", part: Path, pin: Pin, on_progress: OnProgress
) -> None:
    """One request for the bytes that are still missing."""
    import httpx2

    start = _size(part) if _size(part) < pin.bytes else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        with client.stream("GET", candidate.url, headers=headers) as response:
            continues = response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
            if response.status_code in TRANSIENT:
                raise Interrupted(f"HTTP {response.status_code} {response.reason_phrase}")
            if response.status_code != 200 and not (response.status_code == 206 and continues):
                raise Unusable(f"HTTP {response.status_code} {response.reason_phrase}")
            start = start if response.status_code == 206 else 0
            with part.open("ab" if start else "wb") as file:
                for chunk in response.iter_raw():
                    start += len(chunk)
                    if start > pin.bytes:
                        raise Unusable(f"serves more than the expected {pin.bytes:,} bytes")
                    file.write(chunk)
                    on_progress(candidate.file, start, pin.bytes)
    except httpx2.TransportError as error:
        raise Interrupted(str(error) or type(error).__name__) from error
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
        raise Unusable(str(error) or type(error).__name__) from error


def _size(part: Path) -> int:
    """Bytes that are there already; 0 when there is no file."""
    return part.stat().st_size if part.exists() else 0
