"""`imgtool stylize --video`: pictures that are the frames of one film, and animations."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from imgtool.cli import batch
from imgtool.cli.batch import Job, OutputChoice
from imgtool.cli.console import console
from imgtool.cli.params import together
from imgtool.cli.sources import Source, is_file, is_folder, require_file
from imgtool.files import printable
from imgtool.options.stylize import StylizeOptions

ANIMATIONS = ("gif", "webp")
FILES = {"previous_frame": (), "previous_result": ()}  # options that name files
# What says where frames come from; with an animation as output nothing is written besides.
SOURCES = ("video", "frame", *FILES)
OF_FILMS = ("temporal_weight", "frame_steps")
NOT_WITH_ANIMATIONS = ("save_every", "sheet", "save_masks", "time")

options = together(
    click.option(
        "--video",
        is_flag=True,
        help="The pictures are frames of one film, in natural order; what stands still in it does so in the result. "
        "One GIF or WebP gives an animation, or its frames where -o is a folder.",
    ),
    click.option(
        "--frame",
        type=click.IntRange(1),
        metavar="N",
        help="Which frame of an animation.  [default: the first]",
    ),
    click.option(
        "--previous-frame",
        type=click.Path(),
        metavar="FILE",
        help="The frame before, of a single one to be repainted; of an animation the one before --frame.",
    ),
    click.option(
        "--previous-result", type=click.Path(), metavar="FILE", help="What was made of --previous-frame."
    ),
)


def files(values: dict[str, Any]) -> list[str]:
    """The files that the options name."""
    return [values[name] for name in FILES if values[name]]


def require_sense(values: dict[str, Any]) -> None:
    """Refuse options that contradict each other.

    Raises:
        click.UsageError: or files that are not there.
    """
    if bool(values["previous_frame"]) != bool(values["previous_result"]):
        raise click.UsageError("--previous-frame and --previous-result go together.")
    if values["video"] and values["ray"] is not None:
        raise click.UsageError("each frame of --video waits for the one before; leave --ray away.")
    if values["video"] and (values["frame"] or values["previous_frame"]):
        raise click.UsageError("--video takes all frames; leave --frame and --previous-frame away.")
    for name in FILES:
        if values[name]:
            require_file(values[name], name.replace("_", " "))


def _say_idle(values: dict[str, Any]) -> None:
    """Tell which options do nothing without a film; recipes name them too, by their defaults."""
    context = click.get_current_context()
    for name in OF_FILMS:
        typed = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if typed and values[name] != getattr(StylizeOptions, name):
            console.warn(f"--{name.replace('_', '-')} is about films; without --video it does nothing")


def is_animation(given: Sequence[str], values: dict[str, Any]) -> bool:
    """Whether one animation is to be made of one."""
    if not values["video"] or not _is_film(given):
        return False
    return not (values["name"] or _means_folder(values["output"] or ""))


def _means_folder(output: str) -> bool:
    return output.endswith(("/", "\\")) or is_folder(output)


def plan(
    given: Sequence[str],
    choice: OutputChoice,
    values: dict[str, Any],
    *,
    command: str,
    kinds: Sequence[str] | None = None,
) -> tuple[list[Job], int]:
    """`batch.plan`, for frames and animations too.

    Raises:
        click.UsageError: see there; or stdin is to be a film.
    """
    if values["video"] and "-" in given:
        raise click.UsageError("--video reads files, not stdin.")
    if not values["video"] and not values["previous_frame"]:
        _say_idle(values)
    if is_animation(given, values):
        return _plan_animation(given, choice, values, command)
    if values["video"] and (len(given) > 1 or is_folder(given[0])):
        _refuse_animation(choice.output or "")

    def arrange(sources: list[Source]) -> list[Source]:
        if not values["video"]:
            return [replace(source, frame=values["frame"]) for source in sources]
        frames = frames_of(sources[0]) if _is_film(given) else sorted(sources, key=natural)
        if len(frames) == 1:
            console.warn("one frame is no film: it is repainted as a photo is")
        return frames

    return batch.plan(given, choice, command=command, kinds=kinds, arrange=arrange)


def _plan_animation(
    given: Sequence[str], choice: OutputChoice, values: dict[str, Any], command: str
) -> tuple[list[Job], int]:
    if choice.output == "-":
        raise click.UsageError("an animation is not written to stdout; use -o FILE.")
    for name in NOT_WITH_ANIMATIONS:
        if values[name]:
            option = name.replace("_", "-")
            raise click.UsageError(f"--{option} does not go with an animation as output; use -o FOLDER/.")
    context = click.get_current_context()
    if context.get_parameter_source("format") is ParameterSource.DEFAULT:
        choice = replace(choice, format=Path(given[0]).suffix[1:].lower())
    return batch.plan(given, choice, command=command, formats=ANIMATIONS)


def _is_film(given: Sequence[str]) -> bool:
    """Whether it is one file that can hold frames."""
    return len(given) == 1 and is_file(given[0]) and Path(given[0]).suffix[1:].lower() in ANIMATIONS


def _refuse_animation(output: str) -> None:
    """Refuse an animation of single frames, whose times nobody told."""
    if Path(output).suffix[1:].lower() in ANIMATIONS and not _means_folder(output):
        raise click.UsageError("an animation is made of one animation; single frames go to -o FOLDER/.")


def frames_of(source: Source) -> list[Source]:
    """Each frame of an animation.

    Raises:
        BadImage: it cannot be read.
    """
    from imgtool.imaging.animation import read_timing

    return [
        replace(source, frame=number) for number, _ in enumerate(read_timing(source.path).seconds, start=1)
    ]


def natural(source: Source) -> list[tuple[bool, int, str]]:
    """By which frames are sorted: `frame9` before `frame10`."""
    parts = re.split(r"([0-9]+)", printable(source.path))
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
