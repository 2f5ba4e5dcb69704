"""What `imgtool train-gan` stands on: pictures of one size, the two networks, and what judges them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imgtool.cli.console import console
from imgtool.cli.fetching import weights_told
from imgtool.cli.picture_sources import pictures_told
from imgtool.cli.training import Prepared, Training, require_same
from imgtool.data.picture_batches import fingerprint, held_out, some
from imgtool.data.picture_set import PictureSet
from imgtool.errors import DataError, WeightsError
from imgtool.imaging.grid import grid
from imgtool.metrics.images import FEWEST_COMPARED
from imgtool.nn.gan import GanShape
from imgtool.options.gan import TrainGanOptions
from imgtool.runtime.device import Device
from imgtool.runtime.ranks import Ranks
from imgtool.tasks.judge_gan import GanJudge
from imgtool.tasks.picture_features import space_of
from imgtool.tasks.train_gan import SHOWN, GanTrainee
from imgtool.tasks.watch_gan import CollapseWatch
from imgtool.training.run_folder import RunFolder

HELD_OUT = 0.1  # of the pictures, for scores
MOST_HELD_OUT = 2000
FEWEST_HELD_OUT = 200  # of sets with fewer all is trained on, and scores compare with that


def prepare(
    data: Mapping[str, Path], options: TrainGanOptions, device: Device, remembered: Mapping[str, Any]
) -> Prepared:
    """The pictures of a run.

    Raises:
        DataError: there are none, or they are no more those of the run.
    """
    pictures = pictures_told(data["pictures"], options.size, options.fit, classes=options.classes)
    shape = shape_of(options, pictures)
    about = {"pictures": len(pictures.pixels), "classes": list(pictures.classes), "shape": shape.as_dict()}
    about["sha256"] = fingerprint(pictures)
    require_same(about, remembered)
    if len(pictures.pixels) < options.batch:
        raise DataError(
            f"{len(pictures.pixels)} pictures are less than a batch of {options.batch}",
            hint="a smaller --batch",
        )
    kind = "grey" if shape.channels == 1 else "RGB"
    classes = f", {len(pictures.classes)} classes" if pictures.classes else ""
    console.say(f"{len(pictures.pixels)} {kind} pictures of {options.size}x{options.size}{classes}")
    train, judge = _judged(pictures, options, shape, device)

    def trainee(run: RunFolder, ranks: Ranks) -> GanTrainee:
        run.save_sample("0-pictures", grid(list(some(train, SHOWN, options.seed))))
        return GanTrainee(
            train, options, shape=shape, device=device, judge=judge, ranks=ranks, on_parts=_say_parts
        )

    return Prepared(
        trainee,
        "-distance",
        about,
        Prepared.scored_on if train is not pictures else "the pictures trained on",
    )


def shape_of(options: TrainGanOptions, pictures: PictureSet) -> GanShape:
    """The networks that the options and the pictures ask for."""
    return GanShape(
        size=options.size,
        channels=pictures.pixels.shape[3],
        latent=options.latent,
        classes=len(pictures.classes),
        arch=options.arch,
        width=options.width,
        max_width=options.max_width,
        norm=options.norm,
        critic_norm=options.critic_norm,
        attention=options.attention,
        squeeze=options.squeeze,
    )


def _say_parts(parts: int) -> None:
    console.warn(f"out of memory: batches are worked on in {parts} parts whose gradients are summed")


def _judged(
    pictures: PictureSet, options: TrainGanOptions, shape: GanShape, device: Device
) -> tuple[PictureSet, GanJudge | None]:
    """The pictures to train on, and a judge that has seen others where they suffice, if its weights can be had."""
    count = min(MOST_HELD_OUT, round(len(pictures.pixels) * HELD_OUT))
    if count < FEWEST_HELD_OUT and not options.augment:
        console.say("Of so few it may copy; --augment color,shift,cutout shows them in more ways.")
    if len(pictures.pixels) < FEWEST_COMPARED:
        console.say("Too few pictures for scores.")
        return pictures, None
    # Also where weights for scores are not there yet: whether they come must not change what is trained on.
    train, held = (
        (pictures, None) if count < FEWEST_HELD_OUT else held_out(pictures, count, seed=options.seed)
    )
    try:
        space = space_of(weights_told(options.features), device)
    except WeightsError as error:
        if options.features != TrainGanOptions.features:  # which somebody asked for
            raise
        console.warn(f"there are no scores: {error.message}")
        return train, None
    if held is None:
        console.say(
            "Too few to hold some out: scores compare with the pictures trained on, and praise copies."
        )
        return train, GanJudge(pictures.pixels, None, pictures.labels, space, classes=shape.classes)
    judge = GanJudge(held.pixels, train.pixels, held.labels, space, classes=shape.classes)
    apart = f"in {space.name} at {options.size} px real pictures are {judge.floor:.2f} apart"
    console.say(f"{count} held out; {apart}")
    return train, judge


TRAINING = Training(
    command="train-gan",
    options=TrainGanOptions,
    prepare=prepare,
    weights=("features",),
    use=("sample-gan",),
    watch=lambda options: CollapseWatch(options.loss),
    ranks=True,
    smaller="--width",
)
