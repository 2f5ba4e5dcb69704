"""Masks of `imgtool stylize`, as they are typed: files, or `auto` for regions that are found."""

from collections.abc import Sequence
from typing import Any

import click

from imgtool.cli.params import together
from imgtool.cli.sources import require_file
from imgtool.options.segment import SEGMENT_WEIGHTS

AUTO = "auto"
# Options that name files, with the words that are none; and what is written besides the result.
FILES = {"content_mask": (AUTO,), "style_mask": (), "mask_weights": SEGMENT_WEIGHTS}
BESIDE = {"save_masks": "-mask*.png"}

options = together(
    click.option(
        "--content-mask",
        type=click.Path(),
        multiple=True,
        metavar="FILE|auto",
        help="White where the next --style applies; one for each style, in the same order. auto finds regions by "
        "light and colour: the first style takes the darkest.",
    ),
    click.option(
        "--style-mask",
        type=click.Path(),
        multiple=True,
        metavar="FILE",
        help="White where that style is taken from; goes with a --content-mask.",
    ),
    click.option(
        "--mask-weights",
        type=click.Path(),
        metavar="NAME|RUN|FILE",
        help="With --content-mask auto: regions as segment finds them, background first.",
    ),
    click.option(
        "--save-masks", is_flag=True, help="Save the regions of --content-mask auto beside the result."
    ),
)


def is_auto(values: dict[str, Any]) -> bool:
    """Whether regions are to be found."""
    return tuple(values["content_mask"]) == (AUTO,)


def files(values: dict[str, Any]) -> list[str]:
    """The masks that are files."""
    return [] if is_auto(values) else [*values["content_mask"], *values["style_mask"]]


def require_pairs(styles: Sequence[object], values: dict[str, Any]) -> None:
    """Refuse masks that cannot be told which style they belong to.

    Raises:
        click.UsageError: or files that are not there.
    """
    content_masks, style_masks = values["content_mask"], values["style_mask"]
    if is_auto(values):
        if style_masks:
            raise click.UsageError(
                "--content-mask auto finds the style's regions too; leave --style-mask away."
            )
        return
    if AUTO in content_masks:
        raise click.UsageError("--content-mask auto goes without other masks; a file of this name is ./auto.")
    for option in ("mask_weights", "save_masks"):
        if values[option]:
            raise click.UsageError(f"--{option.replace('_', '-')} goes with --content-mask auto.")
    if content_masks and len(styles) not in (1, len(content_masks)):
        raise click.UsageError(
            f"{len(content_masks)} --content-mask for {len(styles)} styles; "
            "give one for each style, or one style."
        )
    if style_masks and len(style_masks) != len(content_masks):
        raise click.UsageError(
            f"{len(style_masks)} --style-mask for {len(content_masks)} --content-mask; give pairs."
        )
    for mask in (*content_masks, *style_masks):
        require_file(mask, "mask")
