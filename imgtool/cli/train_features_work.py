"""What `imgtool train-features` stands on: pictures of known classes, most to train on and some held out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imgtool.cli.console import console
from imgtool.cli.picture_sources import pictures_told
from imgtool.cli.training import Prepared, Training, require_same
from imgtool.data.picture_batches import fingerprint, held_out
from imgtool.errors import DataError
from imgtool.nn.classifier import ClassifierShape
from imgtool.options.features import TrainFeaturesOptions
from imgtool.runtime.device import Device
from imgtool.tasks.train_features import FeaturesTrainee

HELD_OUT = 0.1  # of the pictures, for scores
MOST_HELD_OUT = 5000


def prepare(
    data: Mapping[str, Path], options: TrainFeaturesOptions, device: Device, remembered: Mapping[str, Any]
) -> Prepared:
    """The pictures of a run.

    Raises:
        DataError: there are too few, or they are no more those of the run.
    """
    pictures = pictures_told(data["pictures"], options.size, options.fit, classes=True)
    count = len(pictures.pixels)
    train, held = held_out(pictures, min(MOST_HELD_OUT, round(count * HELD_OUT)), seed=options.seed)
    if len(train.pixels) < options.batch or not len(held.pixels):
        raise DataError(
            f"{count} pictures are too few for a batch of {options.batch}", hint="a smaller --batch"
        )
    shape = ClassifierShape(
        size=options.size,
        channels=pictures.pixels.shape[3],
        classes=len(pictures.classes),
        width=options.width,
        features=options.features,
    )
    about = {"pictures": count, "classes": list(pictures.classes), "shape": shape.as_dict()}
    about["sha256"] = fingerprint(pictures)
    require_same(about, remembered)
    console.say(f"{count} pictures of {len(pictures.classes)} classes, {len(held.pixels)} of them held out")
    return Prepared(
        lambda run, ranks: FeaturesTrainee(train, held, options, shape=shape, device=device),
        "accuracy",
        about,
    )


TRAINING = Training(
    command="train-features",
    options=TrainFeaturesOptions,
    prepare=prepare,
    use=("score", "images", "REAL", "FAKE", "--features"),
    smaller="--size",
)
