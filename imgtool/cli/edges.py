"""`imgtool edges`: options, files in, one task, files out."""

from functools import partial
from typing import Any

import click

from imgtool.cli import batch, params, settings, value_types
from imgtool.errors import OptionError
from imgtool.options.edges import EDGE_KINDS, EDGE_WEIGHTS, EdgesOptions
from imgtool.runtime import processor

FORMATS = (*batch.FORMATS, "svg")
# Of its options, those that say what is written besides the map.
EXTRAS = ("overlay", "svg", "sheet", "sidecar")
BESIDE = {"overlay": "-overlay.png", "svg": "-lines.svg", "sheet": "-sheet.png", "sidecar": batch.SIDECAR}


@click.command(
    "edges",
    cls=params.Repeatable,
    files={"weights": EDGE_WEIGHTS},
    extras=EXTRAS,
    short_help="Find the edges of pictures.",
)
@click.argument("pictures", nargs=-1, required=True, metavar="IMAGE…", type=click.Path())
@params.output(FORMATS)
@params.weights(EDGE_WEIGHTS, "Which detector.")
@click.option(
    "--kind",
    type=click.Choice((*EDGE_KINDS, "all")),
    default=EdgesOptions.kind,
    show_default=True,
    help="The fusion, a side output, the average of these six, or all in a file each.",
)
@click.option(
    "--scales",
    type=value_types.Numbers(float),
    default=",".join(f"{scale:g}" for scale in EdgesOptions.scales),
    show_default=True,
    help="Look at the picture at these sizes and average; 0.5,1,1.5 is slower and a little better.",
)
@click.option("--thin", is_flag=True, help="Lines one pixel wide: keep only the crest of each edge.")
@click.option(
    "--threshold",
    type=value_types.Share(),
    metavar="T",
    help="White where the probability reaches T, black elsewhere.",
)
@click.option("--invert", is_flag=True, help="Black edges on white.")
@click.option(
    "--bits", type=click.Choice(["8", "16"]), default="8", show_default=True, help="Depth of the map."
)
@click.option("--overlay", is_flag=True, help="Save the photo with its edges drawn over it, too.")
@click.option("--svg", is_flag=True, help="Save the thinned edges as vector paths, too.")
@click.option("--sheet", is_flag=True, help="Save photo, Canny's edges and ours side by side, too.")
@click.option("--sidecar", is_flag=True, help="Save the recipe beside the result too, as .json.")
@click.option(
    "--tile",
    type=int,
    metavar="N",
    help="Side of a tile in pixels, rounded down to a multiple of 16: less memory, the same map.  "
    "[default: one tile up to 2 to 4 megapixels, by the network, else 512]",
)
@params.machine
@params.talk
def edges_command(pictures: tuple[str, ...], **values: Any) -> int:
    """Find the edges of IMAGE as a person would draw them, after HED (Xie & Tu 2015).

    The map is white where an edge is likely. A name that ends in .svg gets black lines instead, thinned, from
    --threshold on (0.3 unless given), on white or, with --invert, on nothing.

    \b
    Examples:
      imgtool edges photo.jpg
      imgtool edges photo.jpg -o lines.svg --threshold 0.4
      imgtool edges photo.jpg --thin --invert -o drawing.png
      imgtool edges photos/ -o maps/ --scales 0.5,1,1.5 --overlay
    """
    with settings.origins_told(click.get_current_context()):
        options = options_of(values)
    given = [] if values["weights"] in EDGE_WEIGHTS else [values["weights"]]
    choice = params.output_choice(
        values, beside=[BESIDE[name] for name in EXTRAS if values[name]], also_read=given
    )
    kinds = options.kinds
    jobs, skipped = batch.plan(pictures, choice, command="edges", kinds=kinds, formats=FORMATS)
    if values["bits"] == "16" and any(job.suffix == "svg" for job in jobs):
        with settings.origins_told(click.get_current_context()):
            raise OptionError(
                "bits", "lines in an .svg have no depth", hint="leave --bits away, or -o NAME.png"
            )
    processor.wait_briefly()
    from imgtool.cli.edges_work import EdgesWork
    from imgtool.cli.elsewhere import spread

    work = spread(partial(EdgesWork, options, values), jobs, values, choice.also_read)
    return batch.run(jobs, work, skipped=skipped, fail_fast=choice.fail_fast)


def options_of(values: dict[str, Any]) -> EdgesOptions:
    """The task's options."""
    if values["threshold"] is not None and values["bits"] == "16":
        raise OptionError("bits", "16 bits of a map that is black and white", hint="leave --threshold away")
    return EdgesOptions(**params.given(EdgesOptions, values))
