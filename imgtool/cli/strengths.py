"""`imgtool stylize --kind strengths`: a small sheet of styles and strengths, before the long run."""

from typing import Any

import click

from imgtool.cli import params

KINDS = ("picture", "strengths")
STRENGTHS = (0.25, 0.5, 0.75, 1.0)
# What is small and quick, where nothing else is asked for.
QUICK: dict[str, Any] = {"size": 192, "steps": (25,)}
# Options that say nothing about such a sheet, and what they are then.
USELESS: dict[str, Any] = {
    **dict.fromkeys(("strength", "blend", "time", "save_every", "mask_weights")),
    **dict.fromkeys(("frame", "previous_frame", "previous_result")),
    **dict.fromkeys(("sheet", "preview", "save_masks", "video"), False),
    **dict.fromkeys(("content_mask", "style_mask"), ()),
}


def are_wanted(values: dict[str, Any]) -> bool:
    """Whether the sheet is asked for, rather than a picture."""
    return bool(values["kind"] == "strengths")


def quick(values: dict[str, Any]) -> dict[str, Any]:
    """The command's values, small and quick unless they say otherwise.

    Raises:
        click.UsageError: an option that says nothing about such a sheet.
    """
    for option in params.on_command_line(click.get_current_context()):
        if option.name in USELESS:
            raise click.UsageError(f"{option.opts[0]} does nothing with --kind strengths; leave it away.")
    return {
        name: QUICK.get(name) if value is None else value for name, value in {**values, **USELESS}.items()
    }
