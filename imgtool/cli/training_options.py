"""What all training commands share before torch is loaded: options, and how a run begins or goes on."""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from imgtool.cli import params, value_types
from imgtool.runtime import processor

# How a run is worked on.
MACHINE = ("device", "precision", "threads", "score_every", "sample_every", "save_every")
LATER = ("steps", "time")  # when it ends
ANEW = (*LATER, *MACHINE, "resume", "output", "devices")

place = params.together(
    click.option(
        "-o",
        "--output",
        metavar="RUN",
        type=click.Path(path_type=Path),
        required=True,
        help="The run's folder.",
    ),
    click.option(
        "--resume", is_flag=True, help="Go on with the run in RUN where it stopped; its options hold."
    ),
)
time = click.option(
    "--time",
    type=value_types.Seconds(),
    metavar="TIME",
    help="End after 30m, 2h, … of training, if that is before --steps.",
)


def pace(score_every: int) -> Callable[[params.F], params.F]:
    """--score-every, with its default in steps, and --save-every."""
    return params.together(
        click.option(
            "--score-every",
            type=click.IntRange(1),
            metavar="N",
            default=score_every,
            show_default=True,
            help="Steps between two looks at what is held out.",
        ),
        click.option(
            "--save-every",
            type=value_types.Seconds(),
            metavar="TIME",
            default="60s",
            show_default=True,
            help="Time between two checkpoints.",
        ),
    )


def chosen(options: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """What was said about the fields of a task's options; a time alone means as many steps as fit.

    Args:
        options: their class.
        values: the command's, by parameter name; None for what nobody said.
    """
    said = params.given(options, values)
    if "time" in said:
        said.setdefault("steps", None)
    return said


def given_anew(ctx: click.Context) -> dict[str, Any]:
    """What was typed beside --resume, by parameter name.

    Raises:
        click.UsageError: data, or an option that would make it another run.
    """
    places = [param for param in ctx.command.params if isinstance(param, click.Argument)]
    if given := [param for param in places if ctx.params[str(param.name)] not in (None, ())]:
        words = " ".join(param.make_metavar(ctx).strip("[]") for param in given)
        raise click.UsageError(f"--resume goes on with the data of the run; leave {words} away.")
    typed = {str(option.name): option for option in params.on_command_line(ctx)}
    for name, option in typed.items():
        if name not in ANEW:
            raise click.UsageError(
                f"{option.opts[-1]} cannot change when a run goes on; leave it away, or begin another run "
                "with another -o."
            )
    return {name: ctx.params[name] for name in typed if name in (*LATER, *MACHINE)}


def start(work: str, data: Mapping[str, Path], output: Path, options: Any, values: Mapping[str, Any]) -> int:
    """Begin a run; the exit code. See `imgtool.cli.training.start`.

    Args:
        work: module of `imgtool.cli` whose `TRAINING` it is; only here it is loaded, and torch with it.
        data: places by name.
        output: of the run.
        options: of the task.
        values: the command's, by parameter name.
    """
    training = _loaded(work)
    from imgtool.cli import training as commands

    return commands.start(training, data, output, options, values)


def go_on(work: str, output: Path) -> int:
    """Go on with a run, with what was typed beside --resume; the exit code. See `start`.

    Raises:
        click.UsageError: see `given_anew`.
    """
    anew = given_anew(click.get_current_context())
    training = _loaded(work)
    from imgtool.cli import training as commands

    return commands.go_on(training, output, anew)


def _loaded(work: str) -> Any:
    processor.wait_briefly()
    return importlib.import_module(f"imgtool.cli.{work}").TRAINING
