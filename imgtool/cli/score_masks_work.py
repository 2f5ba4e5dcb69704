"""What `imgtool score masks` does: pair files, look at them all, learn what values mean, score, tell, report."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgtool.cli.console import console
from imgtool.cli.mask_scores import Told, told_borders, told_classes, told_objects
from imgtool.cli.scoring import (
    WORST,
    alone,
    png,
    processes,
    read_all,
    refuse,
    write_report,
)
from imgtool.data.coding import Coding, coding_of
from imgtool.data.mask_pairs import LOSSY, MaskPair
from imgtool.data.named_files import files_by_name, require_same_size
from imgtool.data.predicted_masks import (
    USEFUL,
    Contents,
    Meaning,
    Subject,
    coding_faults,
    contents_of,
    kind_of,
    match_names,
    sense_of,
    subject_of,
)
from imgtool.errors import DataError, OptionError
from imgtool.files import printable
from imgtool.imaging.report import Block, Heading, Paragraph, Pictures, Table
from imgtool.imaging.suffixes import RASTERS
from imgtool.runtime.processor import cores
from imgtool.tasks.score_masks import (
    judged_classes,
    judged_objects,
    score_borders,
    score_classes,
    score_objects,
)

ABOUT: Mapping[Subject, str] = {
    "borders": "At the best threshold for V-Rand. Black and white: right, white for {low}. Orange: {low} that was "
    "taken for {high}. Blue: {high} that was taken for {low}.",
    "classes": "Black and white: right, white for {low}. Orange: {low} that was taken for something else. Blue: "
    "something that was taken for {low}. Purple: one class taken for another.",
    "objects": "Black: objects that were found, at an IoU of 0.5; grey where the outline differs. Orange: found, but "
    "not there. Blue: missed. Purple: both.",
}


@dataclass(frozen=True)
class Candidates:
    """A picture's ground truth, and what was made of it, by kind."""

    truth: Path
    made: Mapping[str, Path]

    @property
    def name(self) -> str:
        """The ground truth's name without its suffix."""
        return self.truth.stem


@dataclass(frozen=True)
class Pair:
    """A prediction and its ground truth, as files."""

    predicted: Path
    truth: Path

    @property
    def name(self) -> str:
        """The prediction's name without its suffix."""
        return self.predicted.stem


# A pair as a picture of what is right and wrong, (H, W, 3).
Drawn = Callable[[Pair], NDArray[np.uint8]]


def score(
    predicted: Path,
    truth: Path,
    *,
    output: Path | None,
    invert: bool,
    objects: bool | None,
    workers: int | None,
) -> None:
    """Score masks or probabilities against ground truth: two folders, or two files.

    Raises:
        DataError: a file is of no use; told before the long work.
        OptionError: an inversion that means nothing.
    """
    began = time.monotonic()
    candidates = find_candidates(predicted, truth)
    truths = read_all(candidates, lambda each: contents_of(each.truth))
    coding, regions = _coding(candidates, truths, objects)
    subject = subject_of(coding)
    if invert and subject != "borders":
        raise OptionError("invert", "means a probability of one of two values; the ground truth has others")
    kind, pairs = choose(candidates, subject, predicted)
    meaning = _meaning(pairs, truths, coding, kind, invert=invert, regions=regions)
    told, pictures = _scored(pairs, meaning, min(workers or cores(), len(pairs)))
    _tell(told, pairs, meaning, time.monotonic() - began)
    if output is not None:
        title = f"Masks: {printable(predicted)} against {printable(truth)}"
        write_report(output, title, _blocks(told, pairs, pictures, meaning))


def find_candidates(predicted: Path, truth: Path) -> list[Candidates]:
    """Ground truth with what was made of it, by name; two files belong together whatever their names.

    Raises:
        DataError: a folder is empty, a name has two files, or one has no partner; all but the last are told here.
    """
    if truth.is_file():
        kind = "probability" if kind_of(predicted.stem) == "probability" else ""
        return [Candidates(truth, {kind: predicted})]
    made, faults = files_by_name(predicted, RASTERS, "masks")
    drawn, more = files_by_name(truth, RASTERS, "ground truth")
    for files, folder, what in ((made, predicted, "masks or probabilities"), (drawn, truth, "ground truth")):
        if not files:
            raise DataError(f"{printable(folder)} holds no picture, expected {what}")
    matched, unknown = match_names(made, drawn.keys())
    faults += more
    faults += alone({stem: made[stem] for stem in unknown}, (), "ground truth", truth)
    faults += alone(drawn, matched.keys(), "mask", predicted)
    refuse(faults)
    return [
        Candidates(drawn[stem], {kind: made[name] for kind, name in matched[stem].items()})
        for stem in sorted(matched)
    ]


def choose(candidates: Sequence[Candidates], subject: Subject, folder: Path) -> tuple[str, list[Pair]]:
    """The kind of prediction that suits the ground truth best and that most pictures have, and the pairs.

    Raises:
        DataError: some have none of it; all but the last are told here.
    """
    kind = max(USEFUL[subject], key=lambda kind: sum(kind in each.made for each in candidates))
    without = {each.name: each.truth for each in candidates if kind not in each.made}
    refuse(alone(without, (), kind or f"mask to score {subject} by", folder))
    return kind, [Pair(each.made[kind], each.truth) for each in candidates]


def _coding(
    candidates: Sequence[Candidates], truths: Sequence[Contents], objects: bool | None
) -> tuple[Coding, bool]:
    """What values of the ground truth mean; and whether it is a mask whose regions are the objects."""
    refuse(coding_faults(truths, "objects"))
    seen = {
        MaskPair(each.truth, each.truth): found.values for each, found in zip(candidates, truths, strict=True)
    }
    values = {pair: found for pair, found in seen.items() if found is not None}
    coding = coding_of(values, list(values), objects=objects)
    known = np.unique(np.concatenate(list(values.values())))
    refuse(
        coding_faults(truths, subject_of(coding)),
        hint="leave such pictures out; or --objects, which scores them too",
    )
    return coding, coding.of_objects and len(known) == 2 and known[0] == 0


def _meaning(
    pairs: Sequence[Pair],
    truths: Sequence[Contents],
    coding: Coding,
    kind: str,
    *,
    invert: bool,
    regions: bool,
) -> Meaning:
    """What values of the predictions mean, after a look at them all."""
    sizes = {pair: each.size for pair, each in zip(pairs, truths, strict=True)}

    def looked_at(pair: Pair) -> Contents:
        found = contents_of(pair.predicted)
        require_same_size(pair.predicted, found.size, pair.truth, sizes[pair])
        return found

    sense, faults = sense_of(read_all(pairs, looked_at), coding, probabilities=kind == "probability")
    numbers = subject_of(coding) == "classes" and not coding.colored
    refuse(faults, hint="--objects if each value is one object" if numbers else None)
    lossy = [pair.predicted for pair in pairs if pair.predicted.suffix.lower() in LOSSY]
    if lossy and sense == "probability":
        console.warn(
            f"{len(lossy)} predictions, the first {printable(lossy[0])}, went through a lossy compression, "
            "which changed them: save them as PNG, TIFF or .npy"
        )
    return Meaning(coding, sense, regions=regions, invert=invert)


def _scored(pairs: Sequence[Pair], meaning: Meaning, workers: int) -> tuple[Told, Drawn]:
    """The scores in words, and a function that draws a pair."""
    with console.progress("Scoring") as on_progress, processes(workers) as spread:

        def on_image(done: int) -> None:
            on_progress(done, len(pairs), pairs[done - 1].name)

        match subject_of(meaning.coding):
            case "borders":
                borders = score_borders(pairs, partial(_borders, meaning), spread=spread, on_image=on_image)
                if borders.inverse_error < borders.best_error:
                    cure = "without --invert" if meaning.invert else "--invert"
                    console.warn(f"the inverse fits better; perhaps the other value is meant: {cure}")
                told = told_borders(borders, meaning.coding)
                return told, partial(_border_picture, meaning, borders.best.threshold)
            case "classes":
                count = len(meaning.coding.values)
                classes = score_classes(
                    pairs, partial(_classes, meaning), count, spread=spread, on_image=on_image
                )
                return told_classes(classes, meaning.coding), partial(_class_picture, meaning)
            case "objects":
                objects = score_objects(pairs, partial(_objects, meaning), spread=spread, on_image=on_image)
                if not objects.precision and meaning.sense == "labels":
                    console.warn("no object was found; each value of a prediction was taken for one object")
                return told_objects(objects), partial(_object_picture, meaning)


def _borders(meaning: Meaning, pair: Pair) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    return meaning.borders(pair.predicted, pair.truth)


def _classes(meaning: Meaning, pair: Pair) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return meaning.classes(pair.predicted, pair.truth)


def _objects(meaning: Meaning, pair: Pair) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return meaning.objects(pair.predicted, pair.truth)


def _border_picture(meaning: Meaning, threshold: float, pair: Pair) -> NDArray[np.uint8]:
    foreground, inside = _borders(meaning, pair)
    return judged_classes(foreground > threshold, inside)


def _class_picture(meaning: Meaning, pair: Pair) -> NDArray[np.uint8]:
    return judged_classes(*_classes(meaning, pair))


def _object_picture(meaning: Meaning, pair: Pair) -> NDArray[np.uint8]:
    return judged_objects(*_objects(meaning, pair))


def _tell(told: Told, pairs: Sequence[Pair], meaning: Meaning, seconds: float) -> None:
    if console.json:
        for pair, numbers in zip(pairs, told.images, strict=True):
            console.record({"name": pair.name, **numbers})
        about: dict[str, Any] = {
            "truth": subject_of(meaning.coding),
            "predictions": meaning.sense,
            "images": len(pairs),
            "seconds": round(seconds, 2),
        }
        console.record({"summary": {**told.summary, **about}})
        return
    width = max(len(name) for name, _, _ in told.rows)
    for name, value, meant in told.rows:
        console.data(f"{name:{width}}  {value:.4f}  {meant}")
    console.say(f"{len(pairs)} pictures, {meaning.coding}, {seconds:.1f} s")


def _blocks(told: Told, pairs: Sequence[Pair], drawn: Drawn, meaning: Meaning) -> list[Block]:
    """The report."""
    ranked = sorted(zip(pairs, told.images, strict=True), key=lambda each: each[1][told.worst_by])
    title = told.columns[told.worst_by]
    worst = [
        (f"{pair.name}: {title} {numbers[told.worst_by]:.3f}", png(drawn(pair)))
        for pair, numbers in ranked[:WORST]
    ]
    low, high = meaning.coding.names[0], meaning.coding.names[-1]
    plot: list[Block] = [Heading(told.plot[0]), told.plot[1]] if told.plot else []
    return [
        Table(["", "score", ""], told.rows),
        *plot,
        Heading("The worst pictures"),
        Paragraph(ABOUT[subject_of(meaning.coding)].format(low=low, high=high)),
        Pictures(worst),
        Heading("All pictures, the worst first"),
        Table(
            ["name", *told.columns.values()],
            [[pair.name, *(numbers[key] for key in told.columns)] for pair, numbers in ranked],
        ),
    ]
