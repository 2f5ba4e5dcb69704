"""What `imgtool train-captcha --clean` does: a reader for each part of a set, trained on the others, judges it."""

import csv
import io
import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from imgtool import __version__
from imgtool.cli import training
from imgtool.cli.captcha_sources import LABELLED
from imgtool.cli.console import console
from imgtool.cli.fetching import weights_told
from imgtool.cli.train_captcha_work import TRAINING
from imgtool.cli.training_options import MACHINE
from imgtool.data.captcha_set import read_captcha_set
from imgtool.errors import DataError
from imgtool.files import atomic_write, printable
from imgtool.imaging.io import write_picture
from imgtool.imaging.picture import Picture
from imgtool.imaging.sheet import draw_sheet
from imgtool.options.captcha_reader import CleanOptions, TrainCaptchaOptions
from imgtool.runtime.device import select_device
from imgtool.tasks.captcha_examples import Labelled, parts
from imgtool.tasks.clean_captchas import Opinion, agreement, opinions, suspects
from imgtool.tasks.load import load_reader
from imgtool.training.run_folder import OPTIONS, RunFolder

FIELDS = ("file", "text", "reading", "margin", "fold")
SHOWN = 60  # suspects on a sheet


def clean_labels(
    places: Mapping[str, Path],
    path: Path,
    options: TrainCaptchaOptions,
    cleaning: CleanOptions,
    values: Mapping[str, Any],
) -> int:
    """Judge the labels of a set; the exit code.

    Args:
        places: of the set.
        path: of the run.
        options: of each reader's training.
        cleaning: see `CleanOptions`.
        values: the command's, by parameter name.
    """
    RunFolder.require_new(path)
    count = len(read_captcha_set(places[LABELLED]))
    if count < 2 * cleaning.folds:
        raise DataError(f"{count} captchas are too few for {cleaning.folds} parts")
    run = RunFolder.new(
        path,
        {
            "command": TRAINING.command,
            "imgtool": __version__,
            "data": {LABELLED: str(places[LABELLED].absolute())},
            "clean": asdict(cleaning),
            "options": asdict(training.lasting(TRAINING, options)),
            # A reader is not chosen by labels that it will judge.
            "machine": {name: values[name] for name in MACHINE if name in values}
            | {"score_every": training.NEVER},
        },
    )
    return _clean(run, {})


def go_on(path: Path, anew: Mapping[str, Any]) -> int:
    """Go on with a training or with a cleaning, whichever it is; the exit code."""
    run = RunFolder.resumed(path)
    if "clean" in run.options:
        return _clean(run, {name: value for name, value in anew.items() if name != "score_every"})
    return training.go_on(TRAINING, path, anew)


def _clean(run: RunFolder, anew: Mapping[str, Any]) -> int:
    try:
        cleaning = CleanOptions(**run.options["clean"])
        options = TrainCaptchaOptions(**training.with_tuples(run.options["options"]))
        place, machine = Path(run.options["data"][LABELLED]), run.options["machine"]
    except (TypeError, LookupError, AttributeError) as error:
        raise DataError(f"{printable(run.path)}: its options are of another version: {error}") from error
    found: list[Opinion] = []
    try:
        for fold in range(cleaning.folds):
            options = replace(options, val=1 / cleaning.folds, fold=fold)
            _train(run.path / f"fold-{fold + 1}", place, options, machine, anew)
            found += _judged(run.path / f"fold-{fold + 1}", place, options, cleaning, machine)
    except KeyboardInterrupt:
        again = shlex.join(["imgtool", TRAINING.command, "-o", str(run.path), "--resume"])
        console.say(f"To go on: {again}")
        raise
    doubtful = suspects(found, cleaning.margin)
    _write(run.path, doubtful, place)
    share = len(doubtful) / len(found)
    console.say(
        f"{printable(run.path / 'suspects.jsonl')}: {len(doubtful)} of {len(found)} labels ({share:.1%}) are "
        f"probably wrong; readers agree with {agreement(found):.1%}"
    )
    for each in doubtful:
        console.record(_fields(each))
    console.record(
        {"summary": {"labels": len(found), "suspects": len(doubtful), "agreement": agreement(found)}}
    )
    return 0


def _train(
    path: Path, place: Path, options: TrainCaptchaOptions, machine: Mapping[str, Any], anew: Mapping[str, Any]
) -> None:
    """The reader of one part, as far as it is not there yet."""
    if (path / OPTIONS).exists():
        training.go_on(TRAINING, path, anew, alone=False)
    else:
        training.start(TRAINING, {LABELLED: place}, path, options, {**machine, **anew}, alone=False)


def _judged(
    path: Path, place: Path, options: TrainCaptchaOptions, cleaning: CleanOptions, machine: Mapping[str, Any]
) -> list[Opinion]:
    """What the reader of one part thinks of its labels.

    Raises:
        DataError: it reads too badly to judge.
    """
    reader = load_reader(weights_told(str(path)), select_device(machine["device"], machine["precision"]))
    items = read_captcha_set(place)
    _, held = parts(len(items), options.val, options.fold, seed=options.seed)
    examples = Labelled([items[at] for at in held], height=reader.network.height)
    examples.check()
    found = list(opinions(examples, reader, fold=options.fold + 1))
    agreed = agreement(found)
    console.say(f"{printable(path)}: agrees with {agreed:.1%} of {len(found)} labels that it has not seen")
    if agreed < cleaning.agreement:
        raise DataError(
            f"{printable(path)} agrees with {agreed:.0%} of labels only, and {cleaning.agreement:.0%} are needed; "
            "else most suspects would be its own mistakes",
            hint="more --steps, more labels, or --start with a reader of such captchas, and another -o",
        )
    return found


def _write(path: Path, doubtful: list[Opinion], place: Path) -> None:
    """The suspects as lines, as a table, and as pictures."""
    with atomic_write(path / "suspects.jsonl") as file:
        file.write(
            "".join(json.dumps(_fields(each), ensure_ascii=False) + "\n" for each in doubtful).encode()
        )
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(FIELDS)
    writer.writerows([list(_fields(each).values()) for each in doubtful])
    with atomic_write(path / "suspects.csv") as file:
        file.write(table.getvalue().encode())
    if doubtful:
        by_name = {item.name: item for item in read_captcha_set(place)}
        panels = [
            (f"{each.text}: {each.reading}", Picture(by_name[each.name].read())) for each in doubtful[:SHOWN]
        ]
        write_picture(path / "suspects.png", draw_sheet(panels, panel_px=120))


def _fields(each: Opinion) -> dict[str, Any]:
    values = (each.name, each.text, each.reading, round(each.margin, 2), each.fold)
    return dict(zip(FIELDS, values, strict=True))
