"""`imgtool stylize` in one pass: when that is wanted, and which of its options then hold."""

from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import click

from imgtool.cli import batch, params, settings, strengths, video
from imgtool.cli.console import console
from imgtool.cli.sources import is_file
from imgtool.files import printable
from imgtool.options.fast_style import STYLE_NET, FastStyleOptions
from imgtool.runtime import processor
from imgtool.runtime.given import given_weights
from imgtool.runtime.registry import entry_of, registry

BESIDE = {"sheet": "-sheet.png", "sidecar": batch.SIDECAR}  # what is written besides the result
OWN = ("blend",)  # options of one pass alone
HELD = {field.name for field in fields(FastStyleOptions)}
MACHINE = ("device", "precision", "threads", "max_pixels", "ray")


def is_wanted(weights: str | None) -> bool:
    """Whether weights, by name or path, are of a network that repaints in one pass.

    Raises:
        WeightsError: there are none of this name, or at this path.
    """
    if weights is None:
        return False
    given = None if weights in registry() else given_weights(weights)
    return (given or entry_of(weights)).network == STYLE_NET


def refuse_options() -> None:
    """Refuse options that only one pass has.

    Raises:
        click.UsageError: names the first.
    """
    for option in params.on_command_line(click.get_current_context()):
        if option.name in OWN:
            raise click.UsageError(
                f"{option.opts[-1]} is of one pass; it goes with the --weights of train-style."
            )


def run(pictures: Sequence[str], values: dict[str, Any]) -> int:
    """Repaint pictures; the exit code.

    Raises:
        click.UsageError: an option that holds only where pixels are optimised.
    """
    _refuse_others(values["weights"])
    with settings.origins_told(click.get_current_context()):
        options = options_of(values)
    given = [] if values["weights"] in registry() else [values["weights"]]
    choice = params.output_choice(
        values,
        beside=[ending for name, ending in BESIDE.items() if values[name]],
        also_read=[*given, *video.files(values)],
    )
    sheet = strengths.are_wanted(values)
    kinds = [values["kind"]] if sheet else None
    if len(pictures) == 2 and all(map(is_file, pictures)):  # as PHOTO PAINTING are elsewhere
        console.say(
            f"two photos, to be repainted both: the styles are those in {printable(values['weights'])} (--blend)"
        )
    jobs, skipped = video.plan(pictures, choice, values, command="stylize", kinds=kinds)
    processor.wait_briefly()
    from imgtool.cli import fast_style_work, strengths_work, video_work
    from imgtool.cli.elsewhere import spread

    kind = strengths_work.FastStrengthsWork if sheet else fast_style_work.FastStyleWork
    make = spread(partial(kind, options, values), jobs, values, choice.also_read)

    work = video_work.animated(make, pictures, values)
    return batch.run(jobs, work, skipped=skipped, fail_fast=choice.fail_fast)


def _refuse_others(weights: str) -> None:
    held = {*HELD, *BESIDE, *video.SOURCES, *MACHINE, *params.OUTPUT, *params.TALK, "weights", "kind"}
    for option in params.on_command_line(click.get_current_context()):
        if option.name not in held:
            raise click.UsageError(
                f"{option.opts[0]} does nothing with {printable(weights)}, which repaints in one pass; leave it away."
            )


def options_of(values: dict[str, Any]) -> FastStyleOptions:
    """The task's options, from those of the command that were given."""
    given = params.given(FastStyleOptions, values)
    if given.get("size") == "full":
        given["size"] = None
    return FastStyleOptions(**given)
