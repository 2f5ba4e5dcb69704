"""`imgtool train-edges`: a data set in, a run folder out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from imgtool.cli import params, training_options
from imgtool.options.edges import EDGE_STARTS, STUDENT, TrainEdgesOptions

STUDENTS = TrainEdgesOptions(**STUDENT)
NO_TEACHER = "none"


def knob(name: str, **more: Any) -> Callable[[params.F], params.F]:
    """An option of the task, with its default, and the student's where that differs."""
    field = name.removeprefix("--").replace("-", "_")
    also = f"; {params.default(STUDENTS, field)} for a student" if field in STUDENT else ""
    return params.knob(TrainEdgesOptions(), name, also=also, **more)


@click.command("train-edges", short_help="Train an edge detector on photos and their ground truth.")
@click.argument("data", type=click.Path(path_type=Path), required=False)
@training_options.place
@click.option("--student", is_flag=True, help="A narrow network, for speed; imitates a teacher.")
@knob(
    "--start",
    type=click.Path(),
    metavar="|".join(EDGE_STARTS) + "|RUN|FILE",
    help="Weights to start from; a student takes those of the layers that it shares.",
)
@click.option(
    "--teacher",
    metavar=f"NAME|RUN|FILE|{NO_TEACHER}",
    help=f"Also imitate the maps of these weights.  [default: {NO_TEACHER}; {STUDENTS.teacher} for a student]",
)
@knob("--teacher-weight", type=float, help="Of imitation against the annotators' edges.")
@knob("--steps", type=int, help="Steps in all.")
@training_options.time
@knob("--batch", type=int, help="Crops in a step.")
@knob("--crop", type=int, help="Pixels of a crop's side.")
@knob("--learning-rate", type=float, help="At its height.")
@knob("--freeze", type=int, help="First blocks that stay as they are.")
@knob("--threshold", type=float, help="Share of annotators above which a pixel is an edge.")
@knob("--seed", type=int, help="Of the order of crops, their places, and random weights.")
@training_options.pace(1000)
@params.compute
@params.talk
def train_edges_command(data: Path | None, output: Path, resume: bool, **values: Any) -> int:
    """Train an edge detector (HED) on DATA and leave it in RUN.

    DATA is laid out as BSDS500: images/train/NAME.jpg with groundTruth/train/NAME.mat (or .png, light where an edge
    is), and the same under val, from which the best checkpoint is chosen. `imgtool edges --weights RUN` uses the
    result. Ctrl-C saves; --resume goes on.

    \b
    Examples:
      imgtool train-edges BSDS500/data -o runs/edges --time 1h
      imgtool train-edges BSDS500/data -o runs/lite --student
      imgtool train-edges -o runs/edges --resume
    """
    if resume:
        return training_options.go_on("train_edges_work", output)
    if data is None:
        raise click.UsageError("DATA is missing: a folder with images/ and groundTruth/.")
    options = options_of(values)
    return training_options.start("train_edges_work", {"folder": data}, output, options, values)


def options_of(values: dict[str, Any]) -> TrainEdgesOptions:
    """The task's options, those of a student if one is asked for."""
    said = training_options.chosen(TrainEdgesOptions, values)
    if said.get("teacher") == NO_TEACHER:
        said["teacher"] = None
    return TrainEdgesOptions(**{**(STUDENT if values["student"] else {}), **said})
