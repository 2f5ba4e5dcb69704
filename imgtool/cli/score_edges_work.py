"""What `imgtool score edges` does: pair files, look at them all, score, tell, and write a report."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgtool.cli.console import console
from imgtool.cli.scoring import (
    WORST,
    alone,
    png,
    processes,
    read_all,
    refuse,
    write_report,
)
from imgtool.cli.sources import READABLE
from imgtool.data.boundaries import find_truth, read_boundaries
from imgtool.data.named_files import files_by_name, require_same_size
from imgtool.errors import DataError
from imgtool.files import printable
from imgtool.imaging.io import read_picture
from imgtool.imaging.report import Block, Heading, Paragraph, Pictures, Plot, Table
from imgtool.metrics.edges import EdgeCounts, EdgeScores, Mask, edge_thresholds
from imgtool.runtime.processor import cores
from imgtool.tasks.score_edges import judged, score_edges

NO_CURVE = "no average precision: all thresholds give one point; more of them, or maps with greys"


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
        require_same_size(self.predicted, probabilities.shape, self.truth, annotators.shape[1:])
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
    read_all(pairs, _looked_at)
    judgements: list[Judgement] = []
    cuts = edge_thresholds(thresholds)
    with (
        console.progress("Scoring") as on_progress,
        processes(min(workers or cores(), len(pairs))) as spread,
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
        write_report(output, f"Edges: {title}", _blocks(scores, judgements, pairs, thin=not no_nms))


def find_pairs(predicted: Path, truth: Path, invert: bool) -> list[Pair]:
    """Maps with their ground truth, by name.

    Raises:
        DataError: a folder is empty, a name has two maps, or one has no partner; all but the last are told here.
    """
    maps, faults = files_by_name(predicted, READABLE, "maps")
    if not maps:
        raise DataError(f"{printable(predicted)} holds no picture, expected maps of edges")
    drawn = find_truth(truth)
    faults += alone(maps, drawn.keys(), "ground truth", truth)
    faults += alone(drawn, maps.keys(), "map of edges", predicted)
    refuse(faults)
    return [Pair(maps[name], drawn[name], invert) for name in sorted(maps)]


def _looked_at(pair: Pair) -> None:
    """Read a pair, and keep nothing of it."""
    pair.read()


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
    return png(judged(*pair.read(), threshold, thin=thin))


def _iso_f(f: float) -> list[tuple[float, float]]:
    """(recall, precision) with the same F, from full precision to full recall."""
    recalls = np.geomspace(f / (2 - f), 1, 60).tolist()
    return [(recall, min(1.0, f * recall / (2 * recall - f))) for recall in recalls]
