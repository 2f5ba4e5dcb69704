"""`imgtool train-edges`: a data set in, a run folder out."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from imgtool.cli import params
from imgtool.errors import OptionError
from imgtool.options import EDGE_STARTS, STUDENT, TrainEdgesOptions
from imgtool.runtime import processor

STUDENTS = TrainEdgesOptions(**STUDENT)
NO_TEACHER = "none"
# What may be given anew to a run that goes on: when it ends, and how it is worked on.
MACHINE = ("device", "precision", "threads", "score_every", "save_every")
GIVEN_ANEW = ("steps", "time", *MACHINE)


def knob(name: str, **more: Any) -> Callable[[params.F], params.F]:
    """An option of the task, with its default, and the student's where that differs."""
    field = name.removeprefix("--").replace("-", "_")
    also = f"; {params.default(STUDENTS, field)} for a student" if field in STUDENT else ""
    return params.knob(TrainEdgesOptions(), name, also=also, **more)


@click.command("train-edges", short_help="Train an edge detector on photos and their ground truth.")
@click.argument("data", type=click.Path(path_type=Path), required=False)
@click.option(
    "-o",
    "--output",
    metavar="RUN",
    type=click.Path(path_type=Path),
    required=True,
    help="The run's folder.",
)
@click.option("--resume", is_flag=True, help="Go on with the run in RUN where it stopped; its options hold.")
@click.option(
    "--student", is_flag=True, help="A narrow network from random numbers, for speed; imitates a teacher."
)
@knob(
    "--start", type=click.Path(), metavar="|".join(EDGE_STARTS) + "|RUN|FILE", help="Weights to start from."
)
@click.option(
    "--teacher",
    metavar=f"NAME|RUN|FILE|{NO_TEACHER}",
    help=f"Also imitate the maps of these weights.  [default: {NO_TEACHER}; {STUDENTS.teacher} for a student]",
)
@knob("--teacher-weight", type=float, help="Of imitation against the annotators' edges.")
@knob("--steps", type=int, help="Steps in all.")
@click.option(
    "--time",
    type=params.Seconds(),
    metavar="TIME",
    help="End after 30m, 2h, … of training, if that is before --steps.",
)
@knob("--batch", type=int, help="Crops in a step.")
@knob("--crop", type=int, help="Pixels of a crop's side.")
@knob("--learning-rate", type=float, help="At its height.")
@knob("--freeze", type=int, help="First blocks that stay as they are.")
@knob("--threshold", type=float, help="Share of annotators above which a pixel is an edge.")
@knob("--seed", type=int, help="Of the order of crops, their places, and random weights.")
@click.option(
    "--score-every",
    type=click.IntRange(1),
    metavar="N",
    default=1000,
    show_default=True,
    help="Steps between two looks at DATA's val part.",
)
@click.option(
    "--save-every",
    type=params.Seconds(),
    metavar="TIME",
    default="60s",
    show_default=True,
    help="Time between two checkpoints.",
)
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
        if data is not None:
            raise click.UsageError("--resume goes on with the data of the run; leave DATA away.")
        anew = _given_anew(click.get_current_context())
        processor.wait_passively()
        from imgtool.cli.train_edges_work import go_on

        return go_on(output, anew)
    if data is None:
        raise click.UsageError("DATA is missing: a folder with images/ and groundTruth/.")
    options = options_of(values)
    processor.wait_passively()
    from imgtool.cli.train_edges_work import start

    return start(data, output, options, values)


def _given_anew(ctx: click.Context) -> dict[str, Any]:
    """What was typed beside --resume, by parameter name.

    Raises:
        click.UsageError: an option that would make it another run.
    """
    typed = {str(option.name): option for option in params.on_command_line(ctx)}
    for name, option in typed.items():
        if name not in (*GIVEN_ANEW, "resume", "output"):
            raise click.UsageError(
                f"{option.opts[-1]} cannot change when a run goes on; leave it away, or begin another run "
                "with DATA and another -o."
            )
    return {name: ctx.params[name] for name in typed if name in GIVEN_ANEW}


def options_of(values: dict[str, Any]) -> TrainEdgesOptions:
    """The task's options; a time alone means as many steps as fit."""
    known = {field.name for field in fields(TrainEdgesOptions)}
    given = {
        name: value
        for name, value in values.items()
        if name in known and value is not None and value is not False
    }
    if values["student"] and values["start"] not in (None, "random"):
        raise OptionError(
            "start", "a student starts from random numbers", hint="leave --student or --start away"
        )
    if given.get("teacher") == NO_TEACHER:
        given["teacher"] = None
    if "time" in given:
        given.setdefault("steps", None)
    return TrainEdgesOptions(**{**(STUDENT if values["student"] else {}), **given})
