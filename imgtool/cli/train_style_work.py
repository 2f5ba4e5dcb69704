"""What `imgtool train-style` stands on: photos, style pictures, and the network that judges."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from imgtool.cli.console import console
from imgtool.cli.fetching import weights_told
from imgtool.cli.picture_sources import pictures_told
from imgtool.cli.train_style import PHOTOS
from imgtool.cli.training import Prepared, Training, require_same
from imgtool.data.picture_set import PictureSet
from imgtool.errors import DataError, OptionError
from imgtool.files import printable, sha256_file
from imgtool.imaging.io import read_picture
from imgtool.imaging.picture import on_white
from imgtool.imaging.tensors import to_image
from imgtool.nn.style_net import StyleNet
from imgtool.nn.vgg import VGG
from imgtool.options.checks import RANDOM
from imgtool.options.fast_style import TrainStyleOptions
from imgtool.options.stylize import vgg_layers
from imgtool.runtime.device import Device
from imgtool.runtime.ranks import Ranks
from imgtool.tasks.fast_objective import NamedStyle
from imgtool.tasks.load import load_painter, load_vgg
from imgtool.tasks.train_style import StyleTrainee, new_network, started_from
from imgtool.training.run_folder import RunFolder

HELD_OUT, MOST_HELD_OUT = 0.05, 8  # a share of the photos, and how many at most
CPU = Device(torch.device("cpu"), torch.float32, "weights to start from")


def prepare(
    data: Mapping[str, Path], options: TrainStyleOptions, device: Device, remembered: Mapping[str, Any]
) -> Prepared:
    """The data of a run, checked and told about.

    Raises:
        DataError: there are too few photos, or these are no more the data of the run.
        BadImage: a style is no picture.
        WeightsError, OptionError: the judge cannot be had, or lacks a layer.
    """
    places = {name: place for name, place in data.items() if name != PHOTOS}
    styles = [NamedStyle(name, to_image(on_white(read_picture(place)))) for name, place in places.items()]
    photos = _photos(data[PHOTOS], options)
    about = {
        "photos": len(photos.pixels),
        "styles": ", ".join(f"{name} {sha256_file(place)[:12]}" for name, place in places.items()),
    }
    require_same(about, remembered)
    count = max(1, min(MOST_HELD_OUT, round(len(photos.pixels) * HELD_OUT)))
    # From everywhere: neighbours in the order of names are alike.
    held = np.linspace(0, len(photos.pixels) - 1, count).astype(int)
    train = np.delete(photos.pixels, held, axis=0)
    names = ", ".join(map(printable, places))
    console.say(f"{len(train)} photos to train on, {count} to choose by; styles: {names}")
    judge = _judge(options, device)
    # What a run goes on from has all that it started with.
    network = new_network(len(styles), options) if remembered else _started(tuple(places), options)

    def trainee(run: RunFolder, ranks: Ranks) -> StyleTrainee:
        return StyleTrainee(
            train, photos.pixels[held], styles, options, network=network, judge=judge, device=device
        )

    return Prepared(trainee, "-objective", about)


def _photos(place: Path, options: TrainStyleOptions) -> PictureSet:
    """The photos as squares, two at least."""
    photos = pictures_told(place, options.photo_size, "crop")
    if len(photos.pixels) < 2:
        raise DataError(
            f"{printable(place)} holds one photo only, expected one to train on and one to choose by"
        )
    return photos


def _started(styles: Sequence[str], options: TrainStyleOptions) -> StyleNet:
    """The network that a run begins with.

    Raises:
        WeightsError: the weights to start from cannot be had.
        OptionError: they are of another size than is asked for.
    """
    network = new_network(len(styles), options)
    if options.start == RANDOM:
        return network
    start = load_painter(weights_told(options.start), CPU)
    wanted, found = (f"--width {each.width} --blocks {each.blocks}" for each in (network, start.network))
    if wanted != found:
        raise OptionError("start", f"{printable(options.start)} has another size", hint=found)
    return started_from(network, styles, start)


def _judge(options: TrainStyleOptions, device: Device) -> VGG:
    weights = weights_told(options.weights)
    layers = {*options.content_layers, *options.style_layers}
    if weights.network == "vgg16" and (missing := sorted(layers - set(vgg_layers("vgg16")))):
        raise OptionError("weights", f"vgg16 has no {missing[0]}")
    return load_vgg(weights, layers, device)


TRAINING = Training(
    command="train-style",
    options=TrainStyleOptions,
    prepare=prepare,
    use=("stylize", "PHOTO", "--weights"),
    weights=("weights", "start"),
)
