"""What can be set about `captcha-read`, `train-captcha` and `captcha-audit`."""

from __future__ import annotations

from dataclasses import dataclass

from imgtool.errors import OptionError
from imgtool.options.checks import MAX_SEED, RANDOM, at_least, ends, share, within

READER_WEIGHTS = ("captcha",)  # the readers known by name, the default first
SCRATCH_RATE, TUNING_RATE = 2e-3, 5e-4  # learning rates from random numbers, and from weights
CLEANING_STEPS = 300  # of each reader that cleans, unless anything is said


@dataclass(frozen=True, kw_only=True)
class CaptchaReadOptions:
    """Knobs of `captcha-read`."""

    beam: int = 8  # texts that are followed from left to right; 1: the best character of each frame
    length: tuple[int, int] | None = None  # characters that texts are known to have, if the beam finds such

    def __post_init__(self) -> None:
        within("beam", self.beam, 1, 1000)
        if self.length is not None and not 0 <= self.length[0] <= self.length[1]:
            raise OptionError("length", f"must be a range, got {self.length[0]} to {self.length[1]}")


@dataclass(frozen=True, kw_only=True)
class TrainCaptchaOptions:
    """Knobs of `train-captcha`."""

    levels: tuple[str, ...] = ()  # of captchas that are drawn, besides styles; () for a labelled set
    start: str = RANDOM  # or weights to go on from
    steps: int | None = 4000
    time: float | None = None  # seconds in all
    batch: int = 32  # pictures in a step
    height: int = 60  # pixels that pictures are scaled to; they keep their shape
    hidden: int = 128  # units of the recurrent layers in each direction
    learning_rate: float | None = None  # at its height, with a cosine; None: SCRATCH_RATE or TUNING_RATE
    weight_decay: float = 1e-4
    places: float = 1.0  # share of the training in which known places of glyphs show the way, less and less
    shake: float = 1.0  # how far pictures of a labelled set are moved, turned and scaled; 0: not at all
    average: float = 0.998  # decay of the moving average of weights
    val: float = 0.1  # share of a labelled set that is held out to choose by; from 1 on, how many
    fold: int = 0  # which of them
    patience: int | None = None  # scorings without a better one, after which it ends
    seed: int = 0

    def __post_init__(self) -> None:
        ends(self.steps, self.time)
        within("batch", self.batch, 1, 4096)
        within("height", self.height, 16, 512)
        within("hidden", self.hidden, 1, 1024)
        within("fold", self.fold, 0, 10_000)
        within("seed", self.seed, 0, MAX_SEED)
        for name in ("weight_decay", "shake", "val"):
            at_least(name, getattr(self, name), 0)
        for name in ("learning_rate", "patience"):
            if getattr(self, name) is not None:
                at_least(name, getattr(self, name), 0 if name == "learning_rate" else 1)
        for name in ("places", "average"):
            share(name, getattr(self, name))

    @property
    def rate(self) -> float:
        """The learning rate at its height."""
        if self.learning_rate is not None:
            return self.learning_rate
        return SCRATCH_RATE if self.start == RANDOM else TUNING_RATE


@dataclass(frozen=True, kw_only=True)
class CleanOptions:
    """Knobs of `train-captcha --clean`."""

    folds: int = 5  # parts, each read by a network that was trained on the others
    margin: float = 6.0  # nats by which the best reading is likelier than the label of a suspect
    agreement: float = 0.8  # of readings with labels, below which a network is too weak to judge

    def __post_init__(self) -> None:
        within("clean", self.folds, 2, 100)
        at_least("margin", self.margin, 0)
        share("agreement", self.agreement)


@dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """Knobs of `captcha-audit`."""

    count: int = 1000  # captchas that are drawn to be read
    train: float | None = None  # seconds of training for the style; None: none
    beam: int = 8
    seed: int = 1_000_003  # of what is drawn: not that of any training

    def __post_init__(self) -> None:
        within("count", self.count, 1, 1_000_000)
        within("beam", self.beam, 1, 1000)
        within("seed", self.seed, 0, MAX_SEED)
        if self.train is not None and not self.train > 0:
            raise OptionError("train", f"must be above 0, got {self.train:g}")
