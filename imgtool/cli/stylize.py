"""`imgtool stylize`: options, files in, one task, files out."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import click

from imgtool.cli import batch, fast_style, params, settings, strengths, style_masks, value_types, video
from imgtool.cli.sources import is_file, require_file, require_one_stream
from imgtool.errors import OptionError
from imgtool.files import printable
from imgtool.options.fast_style import FAST_STYLES
from imgtool.options.stylize import INITS, OPTIMIZERS, POOLS, STYLE_NETWORKS, STYLIZE_RECIPES, StylizeOptions
from imgtool.runtime import processor

# Options that name files, with the words that are none; files written besides the result, by their options.
FILES = {"style": (), "init": INITS, "weights": FAST_STYLES, **style_masks.FILES, **video.FILES}
BESIDE = {
    "save_every": "-step*.png",
    "sheet": "-sheet.png",
    "sidecar": batch.SIDECAR,
    **style_masks.BESIDE,
}
EXTRAS = (*BESIDE, "preview")  # nothing of which a recipe tells


knob = partial(params.knob, StylizeOptions())


@click.command(
    "stylize",
    cls=params.Repeatable,
    files=FILES,
    extras=EXTRAS,
    short_help="Repaint a photo in the style of a painting.",
)
@click.argument("pictures", nargs=-1, required=True, metavar="CONTENT… [STYLE]", type=click.Path())
@click.option(
    "--style",
    type=value_types.WeightedFile(),
    multiple=True,
    metavar="FILE[:WEIGHT]",
    help="A style picture, or a file of save-style; may be repeated. With it every positional picture is a content.",
)
@params.output()
@click.option(
    "--kind",
    type=click.Choice(strengths.KINDS),
    default=strengths.KINDS[0],
    show_default=True,
    help="A picture of all styles together; or, small, in half a minute a style, a sheet of each at four strengths.",
)
@knob(
    "--size",
    type=value_types.Longest(),
    help="Longest side of the result in pixels, or full.",
    also="; full in one pass",
)
@knob(
    "--steps",
    type=value_types.Numbers(),
    help="Steps of every scale, or of each with commas, coarse to fine.",
)
@click.option(
    "--time",
    type=value_types.Seconds(),
    metavar="TIME",
    help="Best result within 60s, 5m, … for each photo, start-up included.",
)
@knob("--content-weight", type=float, help="Keep more of the photo.")
@knob("--style-weight", type=float, help="Take more of the style.")
@knob("--tv-weight", type=float, help="Smooth more: total variation.")
@knob(
    "--strength",
    type=value_types.Share(),
    help="How far to go from the photo, 0, to the style, 1. In one pass: its share in a mix with the photo.",
)
@knob(
    "--keep-edges",
    type=float,
    help="Keep the photo's outlines, as an edge detector sees them: 1 for a little, 4 for much.",
)
@knob(
    "--style-scale",
    type=float,
    help="Size of the style picture against the result: above 1 for larger strokes.",
)
@knob(
    "--stroke",
    type=float,
    help="Width of strokes in pixels, whatever the size; twice as wide for a result twice as large. Works from as "
    "small a size as that takes.",
)
@click.option("--preserve-color/--no-preserve-color", default=None, help="Keep the colours of the photo.")
@knob(
    "--init",
    type=click.Path(),
    metavar="content|noise|style|FILE",
    help="The picture to start from; a FILE goes on from an earlier result.",
)
@style_masks.options
@knob("--content-layers", type=value_types.Weighted(), help="With weights.")
@knob("--style-layers", type=value_types.Weighted(), help="With weights.")
@knob("--scales", type=int, help="Sizes to work at, each twice the one before.")
@knob("--pool", type=click.Choice(POOLS), help="Pooling of the network.")
@knob("--network", type=click.Choice(list(STYLE_NETWORKS)), help="Which network judges style.")
@click.option(
    "--weights",
    type=click.Path(),
    metavar="NAME|RUN|FILE",
    help="Other weights for it; or those of train-style, which repaint in one pass.",
)
@click.option(
    "--blend",
    type=value_types.Weighted("="),
    help="In one pass: which style of the network, or a mix of them.  [default: the first]",
)
@knob("--optimizer", type=click.Choice(OPTIMIZERS), help="How to step.")
@knob("--history", type=int, help="Steps that L-BFGS remembers.")
@knob(
    "--tile",
    type=int,
    help="Side in pixels of the parts that large pictures are worked on in: less memory, the same but for rounding.",
    also=", or 1024, 512 or 384 where the whole takes more than 3 GB and a quarter of the free memory",
)
@click.option(
    "--recipe",
    type=click.Choice(list(STYLIZE_RECIPES)),
    default="default",
    show_default=True,
    help="Defaults of the other options; gatys2016 is the paper, in fp32.",
)
@video.options
@knob("--temporal-weight", type=float, help="Hold what stands still, or moves along, to the frame before.")
@knob("--frame-steps", type=int, help="Steps of each frame after the first, at full size.")
@knob("--seed", type=int, help="Of the noise, with --init noise.")
@click.option(
    "--save-every",
    type=click.IntRange(1),
    metavar="N",
    help="Save the picture every N steps beside the result, at the size of its scale and without a recipe.",
)
@click.option(
    "--preview",
    is_flag=True,
    help="Show the picture in the terminal while it is made, above the progress bar.",
)
@click.option(
    "--sheet",
    is_flag=True,
    help="Save content, style, result and the loss curve side by side, without a recipe.",
)
@click.option("--sidecar", is_flag=True, help="Save the recipe beside the result too, as .json.")
@params.machine
@params.talk
def stylize_command(pictures: tuple[str, ...], **values: Any) -> int:
    """Repaint CONTENT in the style of STYLE, after Gatys et al. (2016).

    With --weights of train-style there is no STYLE, and CONTENT is repainted in one pass, in a fraction of a second.

    \b
    Examples:
      imgtool stylize photo.jpg painting.jpg -o out.png
      imgtool stylize photo.jpg painting.jpg --size 1024 --time 5m --sheet
      imgtool stylize photos/ --style a.jpg:0.7 --style b.jpg:0.3 -o painted/
      imgtool stylize photo.jpg painting.jpg --preserve-color --style-scale 1.5
      imgtool stylize photo.jpg painting.jpg --size 512 --stroke 8 --strength 0.7
      imgtool stylize photo.jpg painting.jpg --size 4096 --stroke 64 --strength 0.7
      imgtool stylize photo.jpg --style a.jpg --style b.jpg --kind strengths -o sheet.png
      imgtool stylize photos/ --weights runs/style --blend night=0.6,waves=0.4 -o painted/
      imgtool stylize photo.jpg --style night.jpg --style day.jpg --content-mask auto --keep-edges 1
      imgtool stylize frames/ --style painting.jpg --video -o painted/
      imgtool stylize clip.gif --style painting.jpg --video -o painted.gif
    """
    video.require_sense(values)
    sheet = strengths.are_wanted(values)
    if sheet:
        values = strengths.quick(values)
    if fast_style.is_wanted(values["weights"]):
        return fast_style.run(pictures, values)
    fast_style.refuse_options()
    contents, styles = contents_and_styles(pictures, values["style"])
    style_masks.require_pairs(styles, values)
    with settings.origins_told(click.get_current_context()):
        options = options_of(values)
    init = [] if options.init in INITS else [options.init]
    weights = [values[name] for name in ("weights", "mask_weights") if values[name]]
    also_read = [
        *(path for path, _ in styles),
        *style_masks.files(values),
        *video.files(values),
        *init,
        *weights,
    ]
    require_one_stream([*contents, *also_read])
    choice = params.output_choice(
        values, beside=[ending for name, ending in BESIDE.items() if values[name]], also_read=also_read
    )
    kinds = [values["kind"]] if sheet else None
    jobs, skipped = video.plan(contents, choice, values, command="stylize", kinds=kinds)
    # Nothing of the user's can be refused any more without torch.
    processor.wait_briefly()
    from imgtool.cli import strengths_work, stylize_work, video_work
    from imgtool.cli.elsewhere import spread

    kind = strengths_work.StrengthsWork if sheet else stylize_work.StylizeWork
    make = spread(partial(kind, options, styles, values), jobs, values, choice.also_read)

    work = video_work.animated(make, contents, values)
    return batch.run(jobs, work, skipped=skipped, fail_fast=choice.fail_fast)


def contents_and_styles(
    pictures: Sequence[str], styles: Sequence[tuple[str, float]]
) -> tuple[Sequence[str], Sequence[tuple[str, float]]]:
    """Which positional pictures are contents; without --style the second of two is the style.

    Raises:
        click.UsageError: no style or too many pictures, or a style that is no file or has no weight.
    """
    if not styles:
        if len(pictures) != 2:
            found = "no style" if len(pictures) == 1 else f"{len(pictures)} pictures and no --style"
            raise click.UsageError(f"{found}; give CONTENT and STYLE, or photos and --style FILE.")
        content, style = pictures
        pictures, styles = [content], [(style, 1.0)]
    for path, weight in styles:
        require_file(path, "style")
        if not 0 < weight < float("inf"):
            raise click.UsageError(f"weight of style {printable(path)} must be above 0, got {weight:g}.")
    return pictures, styles


def options_of(values: dict[str, Any]) -> StylizeOptions:
    """The task's options, from those of the command that were given; weights by name are a network."""
    init, weights = values["init"], values["weights"]
    if init not in (None, *INITS) and not is_file(init):
        raise OptionError("init", f"no file {printable(init)!r}, and none of {', '.join(INITS)}")
    if weights in STYLE_NETWORKS:
        if values["network"] not in (None, weights):
            raise OptionError("weights", f"{weights} is a network of its own", hint=f"--network {weights}")
        values |= {"network": weights, "weights": None}
    given = params.given(StylizeOptions, values)
    if given.get("size") == "full":
        given["size"] = None
    return StylizeOptions.of_recipe(**given)
