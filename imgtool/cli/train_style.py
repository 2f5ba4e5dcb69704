"""`imgtool train-style`: style pictures and photos in, a run folder with a network that repaints in one pass out."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from imgtool.cli import params, training_options, value_types
from imgtool.cli.sources import require_file
from imgtool.files import printable
from imgtool.options.fast_style import TrainStyleOptions

PHOTOS = "photos"  # what a run calls the folder among its data; the others are its styles by name

knob = partial(params.knob, TrainStyleOptions())


@click.command("train-style", short_help="Train a network that repaints photos in one pass.")
@click.argument("pictures", nargs=-1, metavar="STYLE… PHOTOS", type=click.Path(path_type=Path))
@training_options.place
@knob(
    "--style-size", type=int, help="Longest side of the style pictures in pixels; larger for larger strokes."
)
@knob("--photo-size", type=int, help="Side of the squares that photos are made to, in pixels.")
@knob("--crop", type=int, help="Side of what is seen of them in a step, in pixels.")
@knob("--batch", type=int, help="Crops in a step; each is painted in every style.")
@knob("--width", type=int, help="Channels of the network at half the size of a picture.")
@knob("--blocks", type=int, help="Its residual blocks, at a quarter.")
@knob("--content-weight", type=float, help="Keep more of the photo.")
@knob("--style-weight", type=float, help="Take more of the style.")
@knob("--tv-weight", type=float, help="Smooth more: total variation.")
@knob("--lattice-weight", type=float, help="Leave less of the network's grid of four pixels in pictures.")
@knob("--content-layers", type=value_types.Weighted(), help="With weights.")
@knob("--style-layers", type=value_types.Weighted(), help="With weights.")
@knob("--weights", type=str, metavar="NAME|FILE", help="A VGG, whose features are compared.")
@knob(
    "--start",
    type=str,
    metavar="random|NAME|RUN|FILE",
    help="Weights to start from; styles of the same name go on, others begin as the mean of all.",
)
@knob("--learning-rate", type=float, help="At its height.")
@knob("--average", type=float, help="Decay of the average of the network's weights.")
@knob("--steps", type=int, help="Steps in all.")
@training_options.time
@knob("--seed", type=int, help="Of the order of photos, their crops, and random weights.")
@training_options.pace(500)
@params.compute
@params.talk
def train_style_command(pictures: tuple[Path, ...], output: Path, resume: bool, **values: Any) -> int:
    """Train one network on PHOTOS that repaints any photo in one pass, in each STYLE, and leave it in RUN.

    A style is called as its file is, without suffix. PHOTOS is a folder, zip or tar; 200 are enough. Some are held
    out, and by them the best checkpoint is chosen. `imgtool stylize PHOTO --weights RUN` uses the result. Ctrl-C
    saves; --resume goes on.

    \b
    Examples:
      imgtool train-style starry.jpg waves.jpg photos/ -o runs/style --time 1h
      imgtool train-style starry.jpg photos/ -o runs/starry --content-weight 2 --style-size 768
      imgtool train-style poppies.jpg photos/ -o runs/poppies --start runs/style --time 10m
      imgtool train-style -o runs/style --resume
    """
    if resume:
        return training_options.go_on("train_style_work", output)
    data = data_of(pictures)
    options = TrainStyleOptions(**training_options.chosen(TrainStyleOptions, values))
    return training_options.start("train_style_work", data, output, options, values)


def data_of(pictures: Sequence[Path]) -> dict[str, Path]:
    """The photos' place, and each style's file by its name.

    Raises:
        click.UsageError: there are none, or two styles have one name.
    """
    if len(pictures) < 2:
        raise click.UsageError("STYLE or PHOTOS is missing: one picture or more, then a folder of photos.")
    *styles, photos = pictures
    data = {PHOTOS: photos}
    for style in styles:
        require_file(str(style), "style")
        if style.stem in data or any(mark in style.stem for mark in ",="):
            taken = "a name that is taken" if style.stem in data else "a name with , or ="
            raise click.UsageError(f"style {printable(style)} has {taken}; give its file another.")
        data[style.stem] = style
    return data
