"""What `imgtool train-captcha` stands on: captchas, the characters in them, and a network to begin with."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imgtool.cli.captcha_sources import LABELLED, as_json, drawn_by, from_json, styles_of
from imgtool.cli.console import console
from imgtool.cli.fetching import weights_told
from imgtool.cli.training import Prepared, Training
from imgtool.data.captcha_set import CaptchaItem, read_captcha_set
from imgtool.errors import DataError
from imgtool.nn.captcha_reader import CaptchaReader
from imgtool.options.captcha_reader import TrainCaptchaOptions
from imgtool.options.checks import RANDOM
from imgtool.runtime.device import Device
from imgtool.tasks.captcha_examples import Ahead, Drawn, Examples, Labelled, parts
from imgtool.tasks.load import load_reader
from imgtool.tasks.read_captcha import Reader
from imgtool.tasks.train_captcha import JUDGED, CaptchaJudge, CaptchaTrainee, network_to_train, shape_of

FEW = 50  # labelled captchas, of which nothing is learnt


def prepare(
    data: Mapping[str, Path], options: TrainCaptchaOptions, device: Device, remembered: Mapping[str, Any]
) -> Prepared:
    """The captchas and the network of a run, checked and told about.

    Raises:
        DataError, OptionError, WeightsError: one of them cannot be had.
    """
    before = _remembered(remembered, device)
    if not remembered and options.start != RANDOM:
        before = load_reader(weights_told(options.start), device)
    height = before.network.height if before else options.height
    if LABELLED in data:
        examples, held_out, about = _labelled(data[LABELLED], options, height)
    else:
        examples, held_out, about = _drawn(data, options, height, remembered.get("styles"))
    if any(remembered.get(name, now) != now for name, now in about.items()):
        raise DataError(
            "the data of the run changed", hint="the data as it was, or another run with another -o"
        )
    network, alphabet = network_to_train(examples.alphabet, options, before)
    about |= {"alphabet": alphabet, "network": shape_of(network)}
    judge = CaptchaJudge(held_out) if len(held_out) else None
    return Prepared(
        lambda run, ranks: CaptchaTrainee(
            examples, alphabet, options, network=network, device=device, judge=judge
        ),
        "share read exactly",
        about,
    )


def _drawn(
    data: Mapping[str, Path], options: TrainCaptchaOptions, height: int, remembered: Any
) -> tuple[Examples, Examples, dict[str, Any]]:
    """Captchas to train on, and others of a seed of their own to choose by."""
    new = remembered is None
    styles = styles_of(options.levels, data) if new else [from_json(each) for each in remembered]
    if not styles:
        raise DataError("the run remembers no style")
    # With one seed for all, every style would say the same and bend it the same way.
    makers = [drawn_by(style, seed=options.seed + 2 * index) for index, style in enumerate(styles)]
    judges = [drawn_by(style, seed=options.seed + 2 * index + 1) for index, style in enumerate(styles)]
    examples = Drawn(makers, height=height)
    fonts = sorted({font.sha256 for maker in makers for font in maker.studio.glyphs.fonts})
    words = "one style" if len(styles) == 1 else f"{len(styles)} styles"
    console.say(f"captchas of {words}, drawn as they are needed, with {examples.alphabet}")
    return (
        Ahead(examples),
        Drawn(judges, height=height, count=JUDGED),
        {"styles": [as_json(style) for style in styles], "fonts": fonts},
    )


def _labelled(
    place: Path, options: TrainCaptchaOptions, height: int
) -> tuple[Examples, Examples, dict[str, Any]]:
    """The captchas of a set to train on, and those to choose by."""
    items = read_captcha_set(place)
    whole = Labelled(items, height=height)
    with console.progress("Reading captchas") as on_progress:
        whole.check(lambda done, total: on_progress(done, total, ""))
    train, held = parts(len(items), options.val, options.fold, seed=options.seed)
    examples = Labelled(
        [items[at] for at in train], height=height, shake=options.shake, seed=options.seed, beside=whole
    )
    examples.alphabet = whole.alphabet
    console.say(f"{len(train)} captchas to train on, {len(held)} to choose by, with {whole.alphabet}")
    if len(train) < FEW:
        console.warn(f"of {len(train)} captchas next to nothing is learnt; some hundreds are a beginning")
    held_out = Labelled([items[at] for at in held], height=height, beside=whole)
    return examples, held_out, {"captchas": len(items), "labels": digest_of(items)}


def digest_of(items: Sequence[CaptchaItem]) -> str:
    """SHA-256 of names and labels."""
    lines = "".join(json.dumps([item.name, item.text]) for item in items)
    return hashlib.sha256(lines.encode()).hexdigest()


def _remembered(remembered: Mapping[str, Any], device: Device) -> Reader | None:
    """The reader of a run that goes on, without its weights: these are in its checkpoint."""
    if not remembered:
        return None
    try:
        alphabet = str(remembered["alphabet"])
        return Reader(CaptchaReader(len(alphabet) + 1, **remembered["network"]), alphabet, device.dtype)
    except (TypeError, LookupError, ValueError, RuntimeError) as error:
        raise DataError(f"the run's network is of another version: {error}") from error


TRAINING = Training(
    command="train-captcha",
    options=TrainCaptchaOptions,
    prepare=prepare,
    use=("captcha-read", "IMAGE", "--weights"),
    weights=("start",),
    smaller="",
)
