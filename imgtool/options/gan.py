"""What can be set about `train-gan` and `sample-gan`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from imgtool.errors import OptionError
from imgtool.options.checks import MAX_SEED, at_least, choice, ends, power_of_two, share, within

GAN_ARCHS = ("dcgan", "resnet")
GAN_LOSSES = ("minimax", "nonsaturating", "lsgan", "hinge", "wgan-gp")
GAN_NORMS = ("none", "batch", "group", "instance", "layer", "spectral", "switchable")
GAN_AUGMENTS = ("color", "shift", "cutout")
GAN_FITS = ("crop", "pad")


@dataclass(frozen=True, kw_only=True)
class TrainGanOptions:
    """Knobs of `train-gan`. The defaults are the recipe "default"; `GAN_RECIPES` has others."""

    recipe: str = "default"  # a key of GAN_RECIPES: where the defaults of the other fields come from
    size: int = 32  # side of the pictures in pixels, a power of two
    fit: str = "crop"  # of GAN_FITS: the middle square, or the whole picture with a border
    classes: bool = False  # sub-folders, or the labels of a data set, are classes that can be asked for
    arch: str = "dcgan"  # of GAN_ARCHS
    width: int = 32  # channels at half the size; they double with each halving
    max_width: int = 512
    latent: int = 100  # random numbers that a picture is made of
    attention: bool = False  # self-attention at 16 pixels; resnet only
    squeeze: bool = False  # squeeze-and-excitation; resnet only
    norm: str = "batch"  # of GAN_NORMS, in the generator
    critic_norm: str = "spectral"  # likewise, in the discriminator
    loss: str = "nonsaturating"  # of GAN_LOSSES
    r1: float = 0.0  # weight of the penalty on the discriminator's slope at real pictures
    gradient_penalty: float = 10.0  # of wgan-gp
    penalty_every: int = 16  # steps from one of r1 to the next; its weight grows with it
    gradient_penalty_every: int = 1  # likewise of wgan-gp
    augment: tuple[str, ...] = ()  # of GAN_AUGMENTS: what the discriminator sees of every picture
    learning_rate: float = 2e-3  # of the generator
    decay: float = 0.0  # share of the training, at its end, over which learning rates fall to a tenth
    critic_rate: float = 1.0  # learning rate of the discriminator against that of the generator
    betas: tuple[float, float] = (0.0, 0.99)  # of Adam
    critic_steps: int = 1  # of the discriminator for one of the generator
    batch: int = 64
    steps: int | None = 10_000
    time: float | None = None  # seconds in all
    features: str = "alexnet"  # weights whose features samples are scored in
    average: float = 0.999  # decay of the moving average of the generator's weights
    seed: int = 0

    def __post_init__(self) -> None:
        choice("recipe", self.recipe, GAN_RECIPES)
        for name, known in (
            ("fit", GAN_FITS),
            ("arch", GAN_ARCHS),
            ("norm", GAN_NORMS),
            ("loss", GAN_LOSSES),
        ):
            choice(name, getattr(self, name), known)
        choice("critic_norm", self.critic_norm, GAN_NORMS)
        for each in self.augment:
            choice("augment", each, GAN_AUGMENTS)
        power_of_two("size", self.size, 8, 512)
        ends(self.steps, self.time)
        for name, high in (("width", 1024), ("max_width", 4096), ("latent", 4096), ("batch", 4096)):
            within(name, getattr(self, name), 1, high)
        within("penalty_every", self.penalty_every, 1, 10_000)
        within("gradient_penalty_every", self.gradient_penalty_every, 1, 10_000)
        within("critic_steps", self.critic_steps, 1, 100)
        within("seed", self.seed, 0, MAX_SEED)
        for name in ("r1", "gradient_penalty", "learning_rate"):
            at_least(name, getattr(self, name), 0)
        share("decay", self.decay)
        if not 0 < self.critic_rate < math.inf:
            raise OptionError("critic_rate", f"must be above 0, got {self.critic_rate:g}")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise OptionError("betas", "must be two numbers from 0 to below 1", hint="--betas 0,0.99")
        if not 0 <= self.average < 1:
            raise OptionError("average", f"must be from 0 to below 1, got {self.average:g}")
        self._require_place()

    def _require_place(self) -> None:
        """Refuse parts that the networks have no place for."""
        for name in ("attention", "squeeze"):
            if getattr(self, name) and self.arch != "resnet":
                raise OptionError(name, f"has no place in {self.arch}", hint="--arch resnet")
        if self.attention and self.size < 32:
            raise OptionError("attention", "looks at 16 pixels, inside of 32 or more", hint="--size 32")
        if self.loss == "wgan-gp" and self.critic_norm in ("batch", "switchable"):
            raise OptionError("critic_norm", f"{self.critic_norm} mixes pictures", hint="--critic-norm layer")

    @classmethod
    def of_recipe(cls, recipe: str = "default", **given: Any) -> Self:
        """The options of a named recipe, but for those that are given."""
        choice("recipe", recipe, GAN_RECIPES)
        return cls(**{"recipe": recipe, **GAN_RECIPES[recipe], **given})


GAN_RECIPES: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    # Radford et al. 2015 with the loss, the widths and the rates that PyTorch's own example has.
    "dcgan2015": {
        "width": 64,
        "critic_norm": "batch",
        "learning_rate": 2e-4,
        "betas": (0.5, 0.999),
        "average": 0.0,
    },
}


GAN_WEIGHTS = ("fashion",)  # ships with imgtool


@dataclass(frozen=True, kw_only=True)
class SampleGanOptions:
    """Knobs of `sample-gan`."""

    count: int = 64
    start: int = 0  # number of the first sample
    seed: int = 0  # sample i depends on it and on i alone
    seeds: tuple[int, ...] = ()  # instead: one sample of each, its number 0
    classes: tuple[int, ...] = ()  # numbers of those that are asked for, in turn; () for all in turn
    truncation: float = 1.0  # of the latent numbers: below 1 more alike and cleaner
    interpolate: int = 0  # pictures on the way from each sample to the next; 0 for none

    def __post_init__(self) -> None:
        within("count", self.count, 1, 1_000_000)
        within("start", self.start, 0, 1 << 40)
        within("interpolate", self.interpolate, 0, 1000)
        for seed in (self.seed, *self.seeds):
            within("seeds" if self.seeds else "seed", seed, 0, MAX_SEED)
        if not 0 < self.truncation <= 10:
            raise OptionError("truncation", f"must be above 0, at most 10, got {self.truncation:g}")

    @property
    def origins(self) -> list[tuple[int, int]]:
        """Seed and number of each sample."""
        if self.seeds:
            return [(seed, 0) for seed in self.seeds]
        return [(self.seed, index) for index in range(self.start, self.start + self.count)]
