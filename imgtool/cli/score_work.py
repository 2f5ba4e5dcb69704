"""What `imgtool score edges` does: pair files, look at them all, score, tell, and write a report."""

import io
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from imgtool.cli.console import console
from imgtool.cli.sources import READABLE
from imgtool.data.boundaries import find_truth, read_boundaries
from imgtool.errors import DataError, ImgtoolError
from imgtool.files import atomic_write, printable
from imgtool.imaging.io import read_picture, write_picture
from imgtool.imaging.picture import Picture
from imgtool.imaging.report import Block, Heading, Paragraph, Pictures, Plot, Table, html_page
from imgtool.metrics.edges import EdgeCounts, EdgeScores, Mask, edge_thresholds
from imgtool.runtime.processor import cores
from imgtool.tasks.score_edges import Spread, judged, score_edges

WORST = 6  # pictures in a report
NO_CURVE = "no average precision: all thresholds give one point; more of them, or maps with greys"
TOLD = 20  # faults of as many files are told one by one
Item = TypeVar("Item")


@dataclass(frozen=True)
class Pair:
    """A map of edges and its ground truth, as files."""

    predicted: Path
    truth: Path
    invert: bool

    @property
    def name(self) -> str:
        """Both files' name without its suffix."""
        return self.predicted.stem

    def read(self) -> tuple[NDArray[np.float32], Mask]:
        """The map (H, W) in [0, 1], and the annotators' boundaries (A, H, W).

        Raises:
            BadImage, DataError: one of them cannot be read, or their sizes differ.
        """
        levels = read_picture(self.predicted).pixels.max(axis=2)
        probabilities = levels.astype(np.float32) / np.float32(np.iinfo(levels.dtype).max)
        annotators = read_boundaries(self.truth)
        if probabilities.shape != annotators.shape[1:]:
            height, width = annotators.shape[1:]
            raise DataError(
                f"{printable(self.predicted)} is {levels.shape[1]}x{levels.shape[0]}, "
                f"its ground truth {printable(self.truth)} is {width}x{height}"
            )
        return 1 - probabilities if self.invert else probabilities, annotators


@dataclass(frozen=True)
class Judgement:
    """One picture at the threshold that suits it best."""

    name: str
    f: float
    threshold: float
    precision: float
    recall: float


def score(
    predicted: Path,
    truth: Path,
    *,
    output: Path | None,
    no_nms: bool,
    invert: bool,
    thresholds: int,
    workers: int | None,
) -> None:
    """Score a folder of maps against a folder of ground truth.

    Raises:
        DataError: a folder is empty, or something in it is of no use; told before the long work.
    """
    began = time.monotonic()
    pairs = find_pairs(predicted, truth, invert)
    _require_readable(pairs)
    judgements: list[Judgement] = []
    cuts = edge_thresholds(thresholds)
    with (
        console.progress("Scoring") as on_progress,
        _processes(min(workers or cores(), len(pairs))) as spread,
    ):

        def on_image(done: int, counts: EdgeCounts) -> None:
            name = pairs[done - 1].name
            judgements.append(_judgement(name, counts, cuts))
            on_progress(done, len(pairs), name)

        scores = score_edges(
            pairs, Pair.read, thresholds=thresholds, thin=not no_nms, spread=spread, on_image=on_image
        )
    _tell(scores, judgements, time.monotonic() - began)
    if output is not None:
        title = f"{printable(predicted)} against {printable(truth)}"
        page = html_page(f"Edges: {title}", _blocks(scores, judgements, pairs, thin=not no_nms))
        with atomic_write(output) as file:
            file.write(page.encode())
        console.say(printable(output))


def find_pairs(predicted: Path, truth: Path, invert: bool) -> list[Pair]:
    """Maps with their ground truth, by name.

    Raises:
        DataError: a folder is empty, a name has two maps, or one has no partner; all but the last are told here.
    """
    maps: dict[str, Path] = {}
    faults = []
    for path in sorted(predicted.iterdir()):
        if path.suffix[1:].lower() in READABLE and not path.name.startswith("."):
            if path.stem in maps:
                faults.append(f"{printable(path)} and {printable(maps[path.stem])} are maps of one name")
            maps[path.stem] = path
    if not maps:
        raise DataError(f"{printable(predicted)} holds no picture, expected maps of edges")
    drawn = find_truth(truth)
    for here, there, where, what in (
        (maps, drawn, truth, "ground truth"),
        (drawn, maps, predicted, "map of edges"),
    ):
        alone = sorted(here.keys() - there.keys())
        faults += [f"{printable(here[name])} has no {what} in {printable(where)}" for name in alone]
    _refuse(faults)
    return [Pair(maps[name], drawn[name], invert) for name in sorted(maps)]


def _require_readable(pairs: Sequence[Pair]) -> None:
    """Read all once: what is wrong is told before the long work, every file of it."""
    faults = []
    with console.progress("Reading") as on_progress:
        for done, pair in enumerate(pairs):
            on_progress(done, len(pairs), pair.name)
            try:
                pair.read()
            except ImgtoolError as error:
                faults.append(error.message)
    _refuse(faults)


def _refuse(faults: Sequence[str]) -> None:
    """Tell each fault in a line, or of very many the first."""
    *told, last = faults[:TOLD] or [""]
    for fault in told:
        console.error(fault)
    more = len(faults) - TOLD
    if last:
        raise DataError(f"{last} (and {more} more)" if more > 0 else last)


@contextmanager
def _processes(count: int) -> Iterator[Spread]:
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
        yield partial(_spread, pool)
    except BrokenProcessPool as error:
        raise DataError("a worker was ended from outside, for want of memory?", hint="--workers 1") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _spread(
    pool: ProcessPoolExecutor, function: Callable[[Item], EdgeCounts], items: Iterable[Item]
) -> Iterator[EdgeCounts]:
    return pool.map(function, items)


def _judgement(name: str, counts: EdgeCounts, cuts: NDArray[np.float64]) -> Judgement:
    best = int(counts.f.argmax())
    numbers = (counts.f[best], cuts[best], counts.precision[best], counts.recall[best])
    return Judgement(name, *map(float, numbers))


def _tell(scores: EdgeScores, judgements: Sequence[Judgement], seconds: float) -> None:
    summary: dict[str, Any] = {
        "ods": scores.ods,
        "ods_threshold": scores.ods_threshold,
        "ods_precision": scores.ods_precision,
        "ods_recall": scores.ods_recall,
        "ois": scores.ois,
        "ap": scores.ap if scores.is_curve else None,
        "r50": scores.r50,
        "images": len(judgements),
        "seconds": round(seconds, 2),
    }
    if console.json:
        for judgement in judgements:
            console.record(asdict(judgement))
        console.record({"summary": summary})
    else:
        for name, value, about in _rows(scores):
            console.data(f"{name}  {value:.4f}  {about}".rstrip())
        console.say(f"{len(judgements)} pictures, {seconds:.1f} s")


def _rows(scores: EdgeScores) -> list[tuple[str, float, str]]:
    """Names, numbers, and what they are."""
    at = f"precision {scores.ods_precision:.3f}, recall {scores.ods_recall:.3f}"
    return [
        ("ODS", scores.ods, f"best F with one threshold, {scores.ods_threshold:.3f}: {at}"),
        ("OIS", scores.ois, "F when each picture has its own best threshold"),
        ("AP ", scores.ap, "average precision" if scores.is_curve else NO_CURVE),
        ("R50", scores.r50, "recall at a precision of one half"),
    ]


def _blocks(
    scores: EdgeScores, judgements: Sequence[Judgement], pairs: Sequence[Pair], *, thin: bool
) -> list[Block]:
    """The report."""
    ranked = sorted(judgements, key=lambda each: each.f)
    by_name = {pair.name: pair for pair in pairs}
    curve = list(zip(scores.recall.tolist(), scores.precision.tolist(), strict=True))
    worst = [(_caption(each), _picture(by_name[each.name], each.threshold, thin)) for each in ranked[:WORST]]
    return [
        Table(["", "score", ""], _rows(scores)),
        Heading("Precision over recall"),
        Plot(
            {printable(pairs[0].predicted.parent.name) or "maps": curve},
            "recall",
            "precision",
            unit=True,
            marks={f"ODS {scores.ods:.3f}": (scores.ods_recall, scores.ods_precision)},
            guides={f"F {tenths / 10}": _iso_f(tenths / 10) for tenths in range(1, 10)},
        ),
        Heading("The worst pictures"),
        Paragraph(
            "Each at its own best threshold. Black: found. Orange: predicted, but nobody drew it. Blue: missed, "
            "the stronger the more annotators drew it."
        ),
        Pictures(worst),
        Heading("All pictures, the worst first"),
        Table(
            ["name", "F", "threshold", "precision", "recall"], [list(vars(each).values()) for each in ranked]
        ),
    ]


def _caption(judgement: Judgement) -> str:
    return f"{judgement.name}: F {judgement.f:.3f}"


def _picture(pair: Pair, threshold: float, thin: bool) -> bytes:
    file = io.BytesIO()
    write_picture(file, Picture(judged(*pair.read(), threshold, thin=thin)), format="png")
    return file.getvalue()


def _iso_f(f: float) -> list[tuple[float, float]]:
    """(recall, precision) with the same F, from full precision to full recall."""
    recalls = np.geomspace(f / (2 - f), 1, 60).tolist()
    return [(recall, min(1.0, f * recall / (2 * recall - f))) for recall in recalls]
