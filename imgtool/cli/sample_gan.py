"""`imgtool sample-gan`: pictures from a trained generator."""

from pathlib import Path
from typing import Any

import click

from imgtool.cli import params, value_types
from imgtool.options.gan import SampleGanOptions

SAMPLES = SampleGanOptions()


@click.command("sample-gan", short_help="Draw pictures from a trained generator.")
@click.argument("run", metavar="RUN", type=click.Path())
@params.knob(SAMPLES, "--count", type=int, help="How many.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default="samples.png",
    show_default=True,
    help="A picture for a grid, or a folder for single files.",
)
@params.knob(SAMPLES, "--seed", type=int, help="Sample i depends on it and on i alone.")
@params.knob(SAMPLES, "--classes", type=value_types.Numbers(int), help="Numbers of classes, in turn.")
@params.knob(SAMPLES, "--truncation", type=float, help="Below 1: more alike, and cleaner.")
@click.option("-f", "--force", is_flag=True, help="Replace what is there.")
@params.compute
@params.talk
def sample_gan_command(run: str, output: Path, force: bool, **values: Any) -> int:
    """Draw pictures from the generator in RUN, a training run or a file of weights.

    \b
    Examples:
      imgtool sample-gan runs/photos -o grid.png
      imgtool sample-gan runs/photos --count 1000 -o many/ --seed 7
    """
    given = {
        name: values[name] for name in ("count", "seed", "classes", "truncation") if values[name] is not None
    }
    options = SampleGanOptions(**given)
    from imgtool.cli.sample_gan_work import draw

    return draw(run, options, output, values, force=force)
