"""`imgtool train-features`: labelled pictures in, a space of features out in which sets are compared."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from imgtool.cli import params, training_options
from imgtool.options.features import TrainFeaturesOptions
from imgtool.options.gan import GAN_FITS

knob = partial(params.knob, TrainFeaturesOptions())


@click.command("train-features", short_help="Train features in which sets of pictures are compared.")
@click.argument("data", type=click.Path(path_type=Path), required=False)
@training_options.place
@knob("--size", type=int, help="Side of the pictures, a power of two.")
@knob("--fit", type=click.Choice(GAN_FITS), help="The middle square, or all with a black border.")
@knob("--width", type=int, help="Channels at full size; they double with each halving.")
@knob("--features", type=int, help="Numbers that a picture becomes.")
@knob("--learning-rate", type=float, help="The highest; it rises and falls.")
@knob("--batch", type=int, help="Pictures in a step.")
@knob("--steps", type=int, help="Steps in all.")
@training_options.time
@knob("--seed", type=int, help="Of weights and the order of pictures.")
@training_options.pace(500)
@params.compute
@params.talk
def train_features_command(data: Path | None, output: Path, resume: bool, **values: Any) -> int:
    """Train a classifier on the classes of DATA; its features are a space for `score images` and `train-gan`.

    DATA is what `train-gan --classes` takes: a folder with a sub-folder for each class, or a data set with labels. A
    space that knows what the pictures show tells lost classes and wrong shapes better than one of photos does. Its
    name has the hash of its weights, so that distances of two spaces are not mistaken for each other.

    \b
    Examples:
      imgtool train-features train-images-idx3-ubyte.gz -o runs/space --fit pad
      imgtool score images t10k-images-idx3-ubyte.gz samples/ --size 32 --fit pad --features runs/space
    """
    if resume:
        return training_options.go_on("train_features_work", output)
    if data is None:
        raise click.UsageError("DATA is missing: a folder of pictures with a sub-folder for each class.")
    options = TrainFeaturesOptions(**training_options.chosen(TrainFeaturesOptions, values))
    return training_options.start("train_features_work", {"pictures": data}, output, options, values)
