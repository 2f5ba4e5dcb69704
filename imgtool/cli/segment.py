"""`imgtool segment`: options, files in, one task, files out."""

from functools import partial
from typing import Any

import click

from imgtool.cli import batch, params, settings, value_types
from imgtool.imaging.suffixes import IN_STRIPS, RASTERS
from imgtool.options.segment import SEGMENT_KINDS, SEGMENT_WEIGHTS, SegmentOptions
from imgtool.runtime import processor

# Of its options, those that say what is written besides the result.
EXTRAS = ("sheet", "sidecar")
BESIDE = {"sheet": "-sheet.png", "sidecar": batch.SIDECAR}
TABLE = "-objects.csv"


@click.command(
    "segment",
    cls=params.Repeatable,
    files={"weights": SEGMENT_WEIGHTS},
    extras=EXTRAS,
    short_help="Find cells and other things in pictures.",
)
@click.argument("pictures", nargs=-1, required=True, metavar="IMAGE…", type=click.Path())
@params.output(IN_STRIPS)
@params.weights(SEGMENT_WEIGHTS, "Which model.")
@click.option(
    "--kind",
    type=value_types.Names(SEGMENT_KINDS),
    default=",".join(SegmentOptions.kind),
    show_default=True,
    help="One or several with commas, in a file each: white mask, probability, the mask over the photo, objects by "
    "number with their sizes in a .csv, their outlines over the photo; or all.",
)
@click.option(
    "--threshold",
    type=float,
    metavar="T",
    help="Of the probability that a pixel is no background.  [default: the model's own]",
)
@click.option("--classes", metavar="NAME,…", help="Of a model with several classes, find these alone.")
@click.option("--min-area", type=int, default=SegmentOptions.min_area, show_default=True, metavar="N",
              help="Pixels of the smallest object of instances and contours; mask and overlay keep all.")  # fmt: skip
@click.option("--tta", is_flag=True, help="Average over eight flips and turns: slower and a little better.")
@click.option(
    "--bits", type=click.Choice(["8", "16"]), default="8", show_default=True, help="Depth of the probability."
)
@click.option("--sheet", is_flag=True, help="Save picture, probability and mask side by side, too.")
@click.option("--sidecar", is_flag=True, help="Save the recipe beside the result too, as .json.")
@click.option(
    "--tile",
    type=int,
    default=SegmentOptions.tile,
    show_default=True,
    metavar="N",
    help="Side of a tile in pixels, rounded down to what the model can have: less memory, the same result.",
)
@click.option(
    "--verify-tiles",
    is_flag=True,
    help="Only prove, on the middle of each picture, that tiles and the whole give equal numbers.",
)
@params.machine
@params.talk
def segment_command(pictures: tuple[str, ...], **values: Any) -> int:
    """Find the cells of IMAGE, or what else a model was trained for, with a U-Net (Ronneberger et al. 2015).

    IMAGE is a picture, a TIFF of any size and number of channels, or a .npy array. The mask is white (255) where
    something is and black (0) elsewhere; with several classes its values are their numbers, each with a colour.
    The result is the same for every --tile. Mask, probability and overlay of large plain TIFF, PNG and .npy
    files are made in strips, never whole in memory.

    \b
    Examples:
      imgtool segment photo.png
      imgtool segment slide.tif -o masks/ --kind mask,overlay,instances
      imgtool segment em/ -o masks/ --weights membrane --kind probability
      imgtool segment image.png --weights runs/cells --threshold 0.4 -o mask.tif
    """
    with settings.origins_told(click.get_current_context()):
        options = options_of(values)
    given = [] if values["weights"] in SEGMENT_WEIGHTS else [values["weights"]]
    beside = [BESIDE[name] for name in EXTRAS if values[name]]
    tables = {"instances": TABLE} if "instances" in options.kind else {}
    choice = params.output_choice(values, beside=beside, beside_kind=tables, also_read=given)
    if values["verify_tiles"]:
        if values["ray"] is not None:
            raise click.UsageError("--verify-tiles proves it here; leave --ray away.")
        processor.wait_briefly()
        from imgtool.cli.segment_verify import verify

        return verify(pictures, options, values, recursive=choice.recursive)
    jobs, skipped = batch.plan(
        pictures, choice, command="segment", kinds=options.kind, formats=IN_STRIPS, suffixes=RASTERS
    )
    processor.wait_briefly()
    from imgtool.cli.elsewhere import spread
    from imgtool.cli.segment_work import SegmentWork

    work = spread(partial(SegmentWork, options, values), jobs, values, choice.also_read)
    return batch.run(jobs, work, skipped=skipped, fail_fast=choice.fail_fast)


def options_of(values: dict[str, Any]) -> SegmentOptions:
    """The task's options."""
    return SegmentOptions(**params.given(SegmentOptions, values))
