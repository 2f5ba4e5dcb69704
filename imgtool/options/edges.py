"""What can be set about `edges` and `train-edges`."""

import math
from dataclasses import dataclass
from typing import Any

from imgtool.errors import OptionError
from imgtool.options.checks import MAX_SEED, RANDOM, at_least, choice, ends, share, within

EDGE_WEIGHTS = ("hed-small", "hed-lite", "hed")  # the detectors known by name, the default first
EDGE_KINDS = ("average", "fuse", "side1", "side2", "side3", "side4", "side5")


EDGE_TILE = 512  # pixels of a tile's side: larger ones are faster and take more memory


@dataclass(frozen=True, kw_only=True)
class EdgesOptions:
    """Knobs of `edges`."""

    kind: str = "average"  # one of EDGE_KINDS, or "all" of them
    scales: tuple[float, ...] = (1.0,)  # sizes at which the picture is looked at; their maps are averaged
    tile: int | None = None  # pixels of a tile's side; None: one for a whole small picture, else `EDGE_TILE`

    def __post_init__(self) -> None:
        choice("kind", self.kind, (*EDGE_KINDS, "all"))
        if self.tile is not None:
            at_least("tile", self.tile, 16)
        if not self.scales:
            raise OptionError("scales", "names no scale")
        for scale in self.scales:
            if not 0.05 <= scale <= 8:
                raise OptionError("scales", f"must be from 0.05 to 8, got {scale:g}")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The maps that are made."""
        return EDGE_KINDS if self.kind == "all" else (self.kind,)


EDGE_STARTS = ("hed", "hed-small", "hed-lite", "vgg16", RANDOM)


@dataclass(frozen=True, kw_only=True)
class TrainEdgesOptions:
    """Knobs of `train-edges`. Defaults follow Xie & Tu (2015) unless a line says otherwise.

    The defaults of a student are in `STUDENT`.
    """

    start: str = "hed"  # the weights to start from: one of EDGE_STARTS, or a file or run
    student: bool = False  # a narrow network with a decoder instead of the VGG-16
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)  # channels of each block of a student
    depths: tuple[int, ...] = (2, 2, 3, 3, 3)  # its convolutions
    cell: int = 1  # side of the squares of pixels that its first block takes as one: 1 or 2
    decoder: int = 0  # channels of its top-down path
    teacher: str | None = None  # weights whose maps are imitated
    teacher_weight: float = 0.1  # of imitation against the annotators' edges at first; falls to 0 in the end
    steps: int | None = 4000
    time: float | None = None  # seconds in all
    batch: int = 2  # crops in a step; the paper takes 10 whole pictures
    crop: int = 320  # pixels of a crop's side, a multiple of 16
    border: int = 16  # pixels along a crop's sides that cost nothing: there the network sees reflections
    learning_rate: float = 2e-5  # at its height, with Adam and a cosine; the paper uses SGD
    side_rate: float = 20.0  # learning rate of sides and fusion against that of the blocks
    weight_decay: float = 2e-4
    freeze: int = 2  # first blocks that stay as they are
    threshold: float = 0.3  # share of annotators above which a pixel is an edge; up to it, it costs nothing
    negative_weight: float = 1.1
    angles: int = 16  # directions a crop may be turned to
    crop_scales: tuple[float, ...] = (0.75, 1.0, 1.5)
    flat: float = 0.03  # share of crops of one plain colour: nothing in it is an edge
    average: float = 0.998  # decay of the moving average of weights
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batch", "angles", "side_rate"):
            at_least(name, getattr(self, name), 1)
        share("average", self.average)
        ends(self.steps, self.time)
        if self.crop < 32 or self.crop % 16:
            raise OptionError("crop", f"must be a multiple of 16 from 32 on, got {self.crop}")
        within("border", self.border, 0, self.crop // 2 - 1)
        within("freeze", self.freeze, 0, 5)
        within("seed", self.seed, 0, MAX_SEED)
        for name in ("widths", "depths"):
            if len(numbers := getattr(self, name)) != 5 or min(numbers) < 1:
                raise OptionError(name, f"must be five numbers from 1 on, got {numbers}")
        within("cell", self.cell, 1, 2)
        if not 0 <= self.threshold < 1:
            raise OptionError("threshold", f"must be from 0 to below 1, got {self.threshold:g}")
        for name in ("learning_rate", "flat", "teacher_weight", "negative_weight", "weight_decay"):
            at_least(name, getattr(self, name), 0)
        if not self.crop_scales or not all(0 < scale < math.inf for scale in self.crop_scales):
            raise OptionError("crop_scales", "must be numbers above 0")


# What differs for a student.
STUDENT: dict[str, Any] = {
    "student": True,
    "start": RANDOM,
    "teacher": "hed",
    "widths": (16, 32, 64, 128, 128),
    "depths": (2, 1, 3, 3, 3),
    "cell": 2,
    "decoder": 16,
    "steps": 10_000,
    "batch": 8,
    "crop": 256,
    "learning_rate": 2e-3,
    "side_rate": 1.0,
    "freeze": 0,
    "average": 0.999,
}
