"""`imgtool train-segment`: images and masks in, a run folder out."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from imgtool.cli import params, training_options, value_types
from imgtool.options.segment import SEGMENT_METRICS, TrainSegmentOptions

knob = partial(params.knob, TrainSegmentOptions())


@click.command("train-segment", short_help="Train a U-Net on images and masks.")
@click.argument("images", type=click.Path(path_type=Path), required=False)
@click.argument("masks", type=click.Path(path_type=Path), required=False)
@training_options.place
@click.option(
    "--objects/--classes",
    default=None,
    help="Whether each value of a mask is one object, or a class.  [default: by how many and where]",
)
@knob("--steps", type=int, help="Steps in all.")
@training_options.time
@knob("--width", type=int, help="Channels of the first level; 64 in the paper.")
@knob("--depth", type=int, help="Poolings.")
@click.option(
    "--norm/--no-norm", default=None, help="Batch normalisation; the paper has none.  [default: norm]"
)
@knob("--batch", type=int, help="Crops in a step.")
@knob("--crop", type=int, help="Pixels of a crop's side, besides what the network sees around it.")
@knob(
    "--optimizer", type=click.Choice(["adam", "sgd"]), help="AdamW, or SGD with --momentum as in the paper."
)
@knob("--learning-rate", type=float, help="At its height.")
@knob("--momentum", type=float, help="Of sgd.")
@knob("--border-weight", type=float, help="Of the gaps between touching objects: w0.")
@knob("--border-sigma", type=float, help="How wide these gaps are, in pixels.")
@knob("--balance", type=float, help="From 0, where all pixels weigh alike, to 1, where all classes do.")
@knob("--elastic", type=float, help="How far crops are bent, in pixels.")
@knob("--crop-scales", type=value_types.Numbers(float), help="Sizes at which crops are seen.")
@knob("--gray", type=float, help="How much contrast and light of crops change.")
@knob("--invert", type=float, help="Share of crops that change dark for bright.")
@knob("--val", type=float, help="Share of the pairs that is held out to choose by; from 1 on, how many.")
@knob("--fold", type=int, help="Which of them is held out, counted from the last names.")
@knob("--metric", type=click.Choice(SEGMENT_METRICS), help="By which the best is chosen.")
@knob("--patience", type=int, help="End after so many scorings without a better one.")
@knob("--seed", type=int, help="Of the order of crops, their places, and random weights.")
@training_options.pace(500)
@params.compute
@params.talk
def train_segment_command(
    images: Path | None, masks: Path | None, output: Path, resume: bool, **values: Any
) -> int:
    """Train a U-Net on the pairs of IMAGES and MASKS and leave it in RUN.

    IMAGES/NAME.png goes with MASKS/NAME.png (or NAME_mask.png, .tif, .npy). Masks hold a value or colour for each
    class, the lowest for the background, or a number for each object. Some pairs are held out, and from them the
    best checkpoint and its threshold are chosen. `imgtool segment --weights RUN` uses the result. Ctrl-C saves;
    --resume goes on.

    \b
    Examples:
      imgtool train-segment images/ masks/ -o runs/cells --time 30m
      imgtool train-segment membrane/images membrane/labels -o runs/em --metric v-rand --val 5
      imgtool train-segment -o runs/cells --resume
    """
    if resume:
        return training_options.go_on("train_segment_work", output)
    if images is None or masks is None:
        raise click.UsageError("IMAGES or MASKS is missing: two folders whose files have the same names.")
    options = TrainSegmentOptions(**training_options.chosen(TrainSegmentOptions, values))
    return training_options.start(
        "train_segment_work", {"images": images, "masks": masks}, output, options, values
    )
