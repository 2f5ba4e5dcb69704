"""`imgtool train-captcha`: captchas in, a reader of them or a list of doubtful labels out."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from imgtool.cli import params, training_options
from imgtool.cli.captcha_sources import LABELLED, places_of
from imgtool.options.captcha_reader import (
    CLEANING_STEPS,
    READER_WEIGHTS,
    SCRATCH_RATE,
    TUNING_RATE,
    CleanOptions,
    TrainCaptchaOptions,
)
from imgtool.options.checks import RANDOM
from imgtool.runtime import processor

CLEANING = CleanOptions()
knob = partial(params.knob, TrainCaptchaOptions())


@click.command("train-captcha", short_help="Train a reader of captchas, or find wrong labels.")
@click.argument("sources", nargs=-1, metavar="DATA|STYLE.toml|LEVEL…", type=click.Path())
@training_options.place
@click.option(
    "--start",
    metavar="|".join((RANDOM, *READER_WEIGHTS)) + "|RUN|FILE",
    type=click.Path(),
    help="Weights to go on from; characters that they do not know are learnt.  "
    f"[default: {READER_WEIGHTS[0]} for DATA, {RANDOM} for what is drawn]",
)
@knob("--steps", type=int, help="Steps in all.")
@training_options.time
@knob("--batch", type=int, help="Captchas in a step.")
@knob("--height", type=int, help="Pixels that captchas are scaled to, of a new network.")
@knob("--hidden", type=int, help="Units of the recurrent layers in each direction, of a new network.")
@click.option(
    "--learning-rate",
    type=float,
    help=f"At its height.  [default: {SCRATCH_RATE:g}, from weights {TUNING_RATE:g}]",
)
@knob(
    "--places",
    type=float,
    help="Share of the training in which the places of drawn glyphs show the way, less and less.",
)
@knob("--shake", type=float, help="How far labelled captchas are moved, turned and scaled; 0 for not at all.")
@knob("--val", type=float, help="Share of DATA that is held out to choose by; from 1 on, how many.")
@knob("--fold", type=int, help="Which part of it is held out.")
@knob("--patience", type=int, help="End after so many scorings without a better one.")
@knob("--seed", type=int, help="Of what is drawn, of the order, and of random weights.")
@click.option(
    "--clean",
    type=int,
    metavar="K",
    help="Find labels of DATA that are probably wrong: K readers, each trained on all parts but one, read that one.",
)
@params.knob(
    CLEANING, "--margin", type=float, help="With --clean: nats by which a reading must beat the label."
)
@training_options.pace(500)
@params.compute_with(threads=1)  # the network is too small to share, and drawing has a thread of its own
@params.talk
def train_captcha_command(sources: tuple[str, ...], output: Path, resume: bool, **values: Any) -> int:
    """Train a reader of captchas and leave it in RUN.

    DATA is a folder with labels.jsonl or labels.csv, as captcha-gen writes it or somebody else: a file and its text
    in each line. STYLE.toml (captcha-gen --save-config) and LEVEL (easy, medium, hard) are drawn on the fly, several
    in turn; there it is known where each glyph stands, and readers learn by that in minutes. `imgtool captcha-read
    --weights RUN` uses the result. Ctrl-C saves; --resume goes on.

    With --clean nothing is trained to be kept: suspects.jsonl, suspects.csv and suspects.png in RUN tell which labels
    of DATA are probably wrong, the most suspicious first.

    \b
    Examples:
      imgtool train-captcha medium -o runs/medium --time 5m
      imgtool train-captcha labelled/ -o runs/mine --steps 1000
      imgtool train-captcha mine.toml hard -o runs/both --start runs/medium
      imgtool train-captcha labelled/ -o runs/clean --clean 5
      imgtool train-captcha -o runs/medium --resume
    """
    folds, margin = values.pop("clean"), values.pop("margin")
    if resume:
        anew = training_options.given_anew(click.get_current_context())
        processor.wait_briefly()
        from imgtool.cli.clean_captcha_work import go_on

        return go_on(output, anew)
    if not sources:
        raise click.UsageError("DATA, a STYLE.toml or a LEVEL is missing.")
    levels, places = places_of(sources)
    start_from = values["start"] or (READER_WEIGHTS[0] if LABELLED in places else RANDOM)
    given = {**values, "levels": levels, "start": start_from}
    if folds is None and margin is not None:
        raise click.UsageError("--margin goes with --clean.")
    if folds is not None and LABELLED not in places:
        raise click.UsageError("--clean takes labelled captchas; what is drawn has no wrong labels.")
    if folds is not None and values["steps"] is None and values["time"] is None:
        given["steps"] = CLEANING_STEPS
    options = TrainCaptchaOptions(**training_options.chosen(TrainCaptchaOptions, given))
    if folds is None:
        return training_options.start("train_captcha_work", places, output, options, values)
    cleaning = CleanOptions(folds=folds, **({} if margin is None else {"margin": margin}))
    processor.wait_briefly()
    from imgtool.cli.clean_captcha_work import clean_labels

    return clean_labels(places, output, options, cleaning, values)
