"""What all `imgtool score` commands share: files by name, faults told before the work, processes, reports."""

import io
import multiprocessing
import signal
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from imgtool.cli.console import console
from imgtool.errors import DataError, ImgtoolError
from imgtool.files import atomic_write, printable
from imgtool.imaging.io import write_picture
from imgtool.imaging.picture import Picture
from imgtool.imaging.report import Block, html_page
from imgtool.tasks.spread import Spread

WORST = 6  # pictures in a report
TOLD = 20  # faults of as many files are told one by one


class Named(Protocol):
    """A pair of a result and its ground truth."""

    @property
    def name(self) -> str:
        """What it is called in tables and on the way."""


Pair = TypeVar("Pair", bound=Named)
Found = TypeVar("Found")


def alone(here: Mapping[str, Path], there: Collection[str], what: str, where: Path) -> list[str]:
    """The faults of files whose name is not among the others'."""
    return [
        f"{printable(here[name])} has no {what} in {printable(where)}" for name in sorted(here.keys() - there)
    ]


def read_all(pairs: Sequence[Pair], read: Callable[[Pair], Found]) -> list[Found]:
    """Read all once: what is wrong is told before the long work, every file of it.

    Raises:
        DataError: of the last one that cannot be read; those before it are told here.
    """
    found, faults = [], []
    with console.progress("Reading") as on_progress:
        for done, pair in enumerate(pairs):
            on_progress(done, len(pairs), pair.name)
            try:
                found.append(read(pair))
            except ImgtoolError as error:
                faults.append(error.message)
    refuse(faults)
    return found


def refuse(faults: Sequence[str], *, hint: str | None = None) -> None:
    """Tell each fault in a line, or of very many the first.

    Raises:
        DataError: the last of them, if there are any.
    """
    *told, last = faults[:TOLD] or [""]
    for fault in told:
        console.error(fault)
    more = len(faults) - TOLD
    if last:
        raise DataError(f"{last} (and {more} more)" if more > 0 else last, hint=hint)


@contextmanager
def processes(count: int) -> Iterator[Spread]:
    """Spreads work over processes; without any, if one is enough.

    Yields:
        A `map`.
    """
    if count == 1:
        yield map
        return
    # New ones rather than copies of this one, whose threads (a progress bar's) a copy would lack.
    context = multiprocessing.get_context("spawn")
    ignore_interrupts = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)  # this process ends them
    pool = ProcessPoolExecutor(count, context, initializer=ignore_interrupts)
    try:
        yield pool.map
    except BrokenProcessPool as error:
        raise DataError("a worker was ended from outside, for want of memory?", hint="--workers 1") from error
    finally:
        pool.shutdown(cancel_futures=True)


def write_report(output: Path, title: str, blocks: Sequence[Block]) -> None:
    """Write a page, and say where it is."""
    page = html_page(title, blocks)
    with atomic_write(output) as file:
        file.write(page.encode())
    console.say(printable(output))


def png(pixels: NDArray[Any]) -> bytes:
    """A picture (H, W, 3) as a file for a report."""
    file = io.BytesIO()
    write_picture(file, Picture(np.ascontiguousarray(pixels)), format="png")
    return file.getvalue()
