"""`imgtool save-style`: style pictures in, style files out, from which `stylize` can repaint without the pictures."""

from functools import partial
from typing import Any

import click

from imgtool.cli import batch, params, settings, value_types
from imgtool.options.style_file import SUFFIX, StyleFileOptions
from imgtool.options.stylize import POOLS, STYLE_NETWORKS
from imgtool.runtime import processor

FORMATS = (SUFFIX,)

knob = partial(params.knob, StyleFileOptions())


@click.command(
    "save-style",
    cls=params.Repeatable,
    files={"weights": STYLE_NETWORKS},
    short_help="Save the style of a painting in a file.",
)
@click.argument("pictures", nargs=-1, required=True, metavar="STYLE…", type=click.Path())
@params.output(FORMATS)
@knob("--size", type=int, help="Longest side in pixels up to which it is measured: at 32, 64, 128, …")
@knob("--style-layers", type=value_types.Weighted(), help="Layers that it holds; weights say nothing here.")
@knob("--pool", type=click.Choice(POOLS), help="Pooling of the network.")
@knob("--network", type=click.Choice(list(STYLE_NETWORKS)), help="Which network judges style.")
@click.option("--weights", type=click.Path(), metavar="NAME|FILE", help="Other weights for it.")
@params.machine
@params.talk
def save_style_command(pictures: tuple[str, ...], **values: Any) -> int:
    """Save the style of STYLE in a file: the Gram matrices of a network's features, at several sizes.

    `imgtool stylize` takes the file wherever it takes a style picture, alone or mixed with others. The picture is not
    in it.

    \b
    Examples:
      imgtool save-style painting.jpg -o painting.imgstyle
      imgtool save-style paintings/ -o styles/
      imgtool stylize photo.jpg painting.imgstyle -o out.png
      imgtool stylize photo.jpg --style painting.imgstyle:0.7 --style waves.jpg:0.3
    """
    with settings.origins_told(click.get_current_context()):
        options = options_of(values)
    given = [values["weights"]] if values["weights"] else []
    choice = params.output_choice(values, also_read=given)
    jobs, skipped = batch.plan(pictures, choice, command="save-style", formats=FORMATS)
    processor.wait_briefly()
    from imgtool.cli.elsewhere import spread
    from imgtool.cli.save_style_work import SaveStyleWork

    work = spread(partial(SaveStyleWork, options, values), jobs, values, choice.also_read)
    return batch.run(jobs, work, skipped=skipped, fail_fast=choice.fail_fast)


def options_of(values: dict[str, Any]) -> StyleFileOptions:
    """The task's options; weights by name are a network."""
    if values["weights"] in STYLE_NETWORKS:
        values |= {"network": values["weights"], "weights": None}
    return StyleFileOptions(**params.given(StyleFileOptions, values))
