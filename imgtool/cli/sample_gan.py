"""`imgtool sample-gan`: pictures from a trained generator."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from imgtool.cli import params, value_types
from imgtool.cli.batch import FORMATS, require_stream
from imgtool.cli.naming import require_place
from imgtool.cli.sources import STREAM
from imgtool.errors import OptionError, OutputError
from imgtool.files import check_writable, printable
from imgtool.options.gan import GAN_FITS, GAN_WEIGHTS, SampleGanOptions, TrainGanOptions

SAMPLES = SampleGanOptions()
MOST_IN_GRID = 10_000
FEW = 8  # samples of a walk, or beside their nearest pictures


@click.command(
    "sample-gan",
    cls=params.Repeatable,
    files={"weights": GAN_WEIGHTS},
    extras=("nearest", "fit", "features"),
    short_help="Draw pictures from a trained generator.",
)
@click.argument("run", metavar="[RUN]", type=click.Path(), required=False)
@click.option(
    "--weights",
    metavar="NAME|RUN|FILE",
    default=GAN_WEIGHTS[0],
    show_default=True,
    help="The generator; RUN is short for it.",
)
@click.option(
    "-n",
    "--count",
    type=int,
    help=f"How many.  [default: {SAMPLES.count}; {FEW} with --interpolate or --nearest]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    default="samples.png",
    show_default=True,
    help="A picture for a grid, a folder for single files; .gif or .webp for a walk; - for stdout.",
)
@params.knob(SAMPLES, "--seed", type=int, help="Sample i depends on it and on i alone.")
@params.knob(SAMPLES, "--start", type=int, help="Number of the first sample.")
@click.option("--seeds", type=value_types.Numbers(int), help="Instead: a sample of each of these seeds.")
@click.option("--classes", metavar="NAME|N,…", help="Names or numbers of classes, in turn.  [default: all]")
@params.knob(SAMPLES, "--truncation", type=float, help="Below 1: more alike, and cleaner.")
@click.option(
    "--scale",
    type=click.IntRange(1, 32),
    default=1,
    show_default=True,
    help="Pixels of the result for one of a sample.",
)
@click.option(
    "--interpolate", type=int, metavar="N", help="Walk from sample to sample in N pictures each, and back."
)
@click.option(
    "--nearest",
    metavar="DATA",
    type=click.Path(path_type=Path),
    help="Beside each sample show the nearest of these training pictures: a copy would be seen.",
)
@click.option(
    "--fit",
    type=click.Choice(GAN_FITS),
    default="crop",
    show_default=True,
    help="Of --nearest: as in training.",
)
@click.option(
    "--features",
    metavar="NAME|RUN|FILE",
    default=TrainGanOptions.features,
    show_default=True,
    help="Of --nearest: where pictures are compared; as in score images.",
)
@click.option("-f", "--force", is_flag=True, help="Replace what is there.")
@params.compute
@params.talk
def sample_gan_command(run: str | None, output: str, force: bool, **values: Any) -> int:
    """Draw pictures from the generator in RUN, a training run; without one, from the one that ships with imgtool.

    \b
    Examples:
      imgtool sample-gan -o fashion.png
      imgtool sample-gan --classes sneaker,boot -n 16 -o shoes.png
      imgtool sample-gan runs/photos -n 1000 -o many/ --seed 7
      imgtool sample-gan runs/photos --seeds 3,14,15 --interpolate 24 --scale 4 -o walk.gif
      imgtool sample-gan runs/photos --nearest photos/ -o nearest.png
    """
    if run is not None:
        values["weights"] = run
    names = ("count", "start", "seed", "seeds", "truncation", "interpolate")
    given = {name: values[name] for name in names if values[name] is not None}
    few = {"count": FEW} if values["interpolate"] or values["nearest"] else {}
    options = SampleGanOptions(**{**few, **given})
    single = _is_picture(output)
    _require_possible(options, Path(output), values, single=single, force=force)
    from imgtool.cli.sample_gan_work import draw

    return draw(options, output, values, single=single, force=force)


def _is_picture(output: str) -> bool:
    """Whether one picture is to be written, or a folder of them.

    Raises:
        OptionError: neither.
    """
    suffix = Path(output).suffix[1:].lower()
    if output == STREAM or (suffix in FORMATS and not output.endswith("/")):
        return True
    if suffix and not output.endswith("/") and not Path(output).is_dir():
        raise OptionError("output", f"no format .{suffix}", hint=f"-o grid.png, or -o {output}/ for a folder")
    return False


def _require_possible(
    options: SampleGanOptions, output: Path, values: Mapping[str, Any], *, single: bool, force: bool
) -> None:
    count = len(options.origins) * max(1, options.interpolate)
    if single and count > MOST_IN_GRID:
        raise OptionError("count", f"{count} are too many for one picture", hint="-o FOLDER for single files")
    if not single and output.exists() and not output.is_dir():
        raise OutputError(f"{printable(output)} is a file and no picture", hint="-o FOLDER or -o grid.png")
    if not single and (output / "options.json").exists():
        raise OutputError(f"{printable(output)} is a training run", hint="another -o")
    if not single and values["nearest"]:
        raise OptionError("nearest", "draws one sheet", hint="-o nearest.png")
    if options.interpolate and values["nearest"]:
        raise OptionError("nearest", "does not go with --interpolate")
    if options.seeds and (values["count"] is not None or values["start"] is not None):
        raise OptionError("seeds", "tells which samples, and --count and --start do too")
    if str(output) == STREAM:
        require_stream(alone=True)
    elif single:
        require_place(output, force=force)
    else:
        check_writable(output / "000000.png")
