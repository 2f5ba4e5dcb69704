"""`imgtool train-gan`: pictures in, a run folder with a generator out."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from imgtool.cli import params, training_options, value_types
from imgtool.options.gan import (
    GAN_ARCHS,
    GAN_AUGMENTS,
    GAN_FITS,
    GAN_LOSSES,
    GAN_NORMS,
    GAN_RECIPES,
    TrainGanOptions,
)
from imgtool.runtime import processes

knob = partial(params.knob, TrainGanOptions())


networks = params.together(
    knob("--arch", type=click.Choice(GAN_ARCHS), help="Convolutions of DCGAN, or residual blocks."),
    knob("--width", type=int, help="Channels at half the size; they double with each halving."),
    knob("--max-width", type=int, help="Channels at most."),
    knob("--latent", type=int, help="Random numbers that a picture is made of."),
    click.option("--attention", is_flag=True, help="Self-attention at 16 pixels; with --arch resnet."),
    click.option("--squeeze", is_flag=True, help="Squeeze-and-excitation; with --arch resnet."),
    knob("--norm", type=click.Choice(GAN_NORMS), help="Normalisation in the generator."),
    knob("--critic-norm", type=click.Choice(GAN_NORMS), help="Normalisation in the discriminator."),
)
objective = params.together(
    knob("--loss", type=click.Choice(GAN_LOSSES), help="What both minimise."),
    knob("--r1", type=float, help="Weight of the penalty on the discriminator's slope at real pictures."),
    knob("--gradient-penalty", type=float, help="Weight of the penalty of wgan-gp."),
    knob("--gradient-penalty-every", type=int, help="Steps between two of these."),
    knob("--penalty-every", type=int, help="Steps between two penalties of --r1."),
    knob(
        "--augment", type=value_types.Names(GAN_AUGMENTS), help="What the discriminator sees of few pictures."
    ),
    knob("--learning-rate", type=float, help="Of the generator."),
    knob("--decay", type=float, help="Share of the training, at its end, over which rates fall to a tenth."),
    knob("--critic-rate", type=float, help="That of the discriminator, in learning rates."),
    knob("--betas", type=value_types.Numbers(float), help="Of Adam."),
    knob("--critic-steps", type=int, help="Of the discriminator for one of the generator."),
    knob("--average", type=float, help="Decay of the average of the generator's weights."),
)


@click.command("train-gan", short_help="Train a generator of pictures.")
@click.argument("data", type=click.Path(path_type=Path), required=False)
@training_options.place
@click.option(
    "--recipe", type=click.Choice(tuple(GAN_RECIPES)), help="Where defaults come from.  [default: default]"
)
@knob("--size", type=int, help="Side of the pictures, a power of two.")
@knob("--fit", type=click.Choice(GAN_FITS), help="The middle square, or all with a black border.")
@click.option("--classes", is_flag=True, help="Sub-folders, or labels, are classes that can be asked for.")
@networks
@objective
@knob("--batch", type=int, help="Pictures in a step.")
@knob("--steps", type=int, help="Steps in all.")
@training_options.time
@knob("--features", metavar="NAME|RUN|FILE", type=str, help="Where it is scored; as in score images.")
@knob("--seed", type=int, help="Of weights, latent numbers, and the order of pictures.")
@training_options.pace(2000)
@click.option(
    "--sample-every",
    type=click.IntRange(1),
    metavar="N",
    default=500,
    show_default=True,
    help="Steps between two grids of samples, always of the same latent numbers.",
)
@click.option(
    "--devices",
    type=click.IntRange(1, 1024),
    default=1,
    show_default=True,
    help="Processes, each on a device and on its part of every batch; torchrun starts them too.",
)
@params.compute
@params.talk
def train_gan_command(data: Path | None, output: Path, resume: bool, devices: int, **values: Any) -> int:
    """Train a generator on the pictures of DATA and leave it in RUN.

    DATA is a folder of pictures (any depth), a zip or tar of them, an IDX file as MNIST has, .npy or .npz. A sheet of
    what the network will see is saved before the first step, and a grid of samples every --sample-every steps. What
    cannot be read is named and left out. `imgtool sample-gan RUN` draws from it. Ctrl-C saves; --resume goes on.

    \b
    Examples:
      imgtool train-gan photos/ -o runs/photos --time 30m
      imgtool train-gan train-images-idx3-ubyte.gz -o runs/mnist --fit pad --classes
      imgtool train-gan photos/ -o runs/few --augment color,shift,cutout --size 64
      imgtool train-gan -o runs/photos --resume --steps 20000
      imgtool train-gan photos/ -o runs/four --batch 256 --devices 4
    """
    if devices > 1 and not processes.started():
        return processes.start(devices, sys.argv[1:])
    if resume:
        return training_options.go_on("train_gan_work", output)
    if data is None:
        raise click.UsageError("DATA is missing: a folder of pictures.")
    options = options_of(values)
    return training_options.start("train_gan_work", {"pictures": data}, output, options, values)


def options_of(values: dict[str, Any]) -> TrainGanOptions:
    """The task's options: those of the recipe, but for what is given."""
    said = training_options.chosen(TrainGanOptions, values)
    # A flag that nobody typed is the recipe's; 0 is an answer.
    return TrainGanOptions.of_recipe(**{name: value for name, value in said.items() if value is not False})
