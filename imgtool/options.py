"""What can be set about each task: one frozen dataclass a task, each default written here and nowhere else.

No torch here: a wrong value is refused before anything heavy is loaded.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from imgtool.errors import OptionError

# Convolutions in each of the five blocks: Simonyan & Zisserman 2014, table 1, columns D and E.
VGG_CONVOLUTIONS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
# The architecture behind each set of weights that `stylize` takes by name.
STYLE_NETWORKS = {"vgg19": "vgg19", "vgg16": "vgg16", "vgg19-torchvision": "vgg19"}
POOLS = ("max", "average")
OPTIMIZERS = ("lbfgs", "adam")
INITS = ("content", "noise", "style")
MAX_SCALES = 16
MAX_SEED = 2**63 - 1
UNLIMITED = 1_000_000  # steps, when `time` alone is given


def vgg_layers(network: str) -> tuple[str, ...]:
    """The convolutions of a VGG in order, from "conv1_1" to "conv5_3" or "conv5_4"."""
    return tuple(
        f"conv{block}_{index}"
        for block, count in enumerate(VGG_CONVOLUTIONS[network], start=1)
        for index in range(1, count + 1)
    )


def _style_layers() -> dict[str, float]:
    return {f"conv{block}_1": 1.0 for block in range(1, 6)}


@dataclass(frozen=True, kw_only=True)
class StylizeOptions:
    """Knobs of `stylize`.

    With `normalize` the terms are means over features, so that one weight means the same at every size, and
    weights of 1 are the balance that was measured best; without, they are the sums of Gatys et al. (2016), or
    with `rescale` the means of their code.
    """

    recipe: str = "default"  # a key of STYLIZE_RECIPES: where the defaults of the other fields come from
    network: str = "vgg19"  # a key of STYLE_NETWORKS
    size: int | None = 512  # longest side of the result in pixels; None keeps the photo's
    steps: tuple[int, ...] = (50, 100)  # gradient steps, coarse to fine; the first is of all coarser scales
    scales: int = 2  # each doubles the one before; the last is the full size
    time: float | None = None  # seconds for everything; None leaves `steps` in charge
    content_weight: float = 1.0
    style_weight: float = 1.0
    tv_weight: float = 1.0
    content_layers: Mapping[str, float] = field(default_factory=lambda: {"conv4_2": 1.0})
    style_layers: Mapping[str, float] = field(default_factory=_style_layers)
    normalize: bool = True
    pool: str = "max"
    optimizer: str = "lbfgs"
    precondition: bool = True  # step on all levels of a pyramid at once instead of on bare pixels
    bounded: bool = True  # keep every step inside [0, 1]
    rescale: bool = False  # filters with a mean activation of 1, losses as means: Gatys et al.'s own
    exact: bool = False  # fp32, unless another precision is asked for
    margin: int = 16  # pixels by which pictures are mirrored outwards for the network, a multiple of 16
    history: int = 10  # pairs that L-BFGS remembers
    init: str = "content"  # one of INITS; anything else names a picture
    style_scale: float = 1.0  # size of the style picture's longest side against the result's
    preserve_color: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        _choice("network", self.network, STYLE_NETWORKS)
        _choice("pool", self.pool, POOLS)
        _choice("optimizer", self.optimizer, OPTIMIZERS)
        _choice("recipe", self.recipe, STYLIZE_RECIPES)
        if self.size is not None:
            _at_least("size", self.size, 1)
        _within("scales", self.scales, 1, MAX_SCALES)
        _within("seed", self.seed, 0, MAX_SEED)
        _at_least("history", self.history, 1)
        for count in self.steps:
            _at_least("steps", count, 0)
        if not 1 <= len(self.steps) <= self.scales:
            raise OptionError(
                "steps", f"{len(self.steps)} numbers for --scales {self.scales}, expected one each"
            )
        for name in ("content_weight", "style_weight", "tv_weight"):
            _at_least(name, getattr(self, name), 0)
        if self.content_weight == self.style_weight == self.tv_weight == 0:
            raise OptionError("style_weight", "all weights are 0, so there is nothing to optimise")
        for name in ("time", "style_scale"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise OptionError(name, f"must be a number, got {value!r}")
            if value is not None and not (0 < value < math.inf):
                raise OptionError(name, f"must be above 0, got {value:g}")
        known = vgg_layers(STYLE_NETWORKS[self.network])
        for name in ("content_layers", "style_layers"):
            _layers(name, getattr(self, name), known)

    @property
    def steps_per_scale(self) -> tuple[int, ...]:
        """Steps of each scale, coarse to fine."""
        return self.steps[:1] * (self.scales - len(self.steps)) + self.steps

    @classmethod
    def of_recipe(cls, recipe: str = "default", **given: Any) -> Self:
        """The options of a named recipe, but for those that are given.

        A time alone means as many steps as fit; several numbers of steps mean as many scales.
        """
        _choice("recipe", recipe, STYLIZE_RECIPES)
        numbers = len(given.get("steps", ()))
        if numbers > 1 and given.setdefault("scales", numbers) != numbers:
            raise OptionError(
                "steps", f"{numbers} numbers for {given['scales']} scales; give one, or one each"
            )
        if given.get("time") is not None:
            given.setdefault("steps", (UNLIMITED,))
        if "scales" in given:
            steps = STYLIZE_RECIPES[recipe].get("steps", cls.steps)
            given.setdefault("steps", steps[-max(1, given["scales"]) :])
        return cls(**{"recipe": recipe, **STYLIZE_RECIPES[recipe], **given})


# Fields that only a recipe sets: they go together, and are no options of the command.
RECIPE_FIELDS = ("normalize", "precondition", "bounded", "margin", "rescale", "exact")
STYLIZE_RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    # As published: alpha / beta = 1e-3, w_l = 1/5, average pooling, pixels from noise, and a network whose filters
    # have a mean activation of 1, with losses that are means, as in the authors' code. On weights whose activations
    # nobody measured: the sums that the paper prints, for which features are large enough there.
    "gatys2016": {
        "normalize": False,
        "style_weight": 1e3,
        "tv_weight": 0.0,
        "style_layers": {f"conv{block}_1": 0.2 for block in range(1, 6)},
        "pool": "average",
        "init": "noise",
        "scales": 1,
        "steps": (500,),
        "precondition": False,
        "bounded": False,
        "margin": 0,
        "rescale": True,
        "exact": True,
    },
}


EDGE_WEIGHTS = ("hed-lite", "hed")  # the detectors known by name, the default first
EDGE_KINDS = ("average", "fuse", "side1", "side2", "side3", "side4", "side5")


EDGE_TILE = 512  # pixels of a tile's side: larger ones are faster and take more memory


@dataclass(frozen=True, kw_only=True)
class EdgesOptions:
    """Knobs of `edges`."""

    kind: str = "average"  # one of EDGE_KINDS, or "all" of them
    scales: tuple[float, ...] = (1.0,)  # sizes at which the picture is looked at; their maps are averaged
    tile: int | None = None  # pixels of a tile's side; None: one for a whole small picture, else `EDGE_TILE`

    def __post_init__(self) -> None:
        _choice("kind", self.kind, (*EDGE_KINDS, "all"))
        if self.tile is not None:
            _at_least("tile", self.tile, 16)
        if not self.scales:
            raise OptionError("scales", "names no scale")
        for scale in self.scales:
            if not 0.05 <= scale <= 8:
                raise OptionError("scales", f"must be from 0.05 to 8, got {scale:g}")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The maps that are made."""
        return EDGE_KINDS if self.kind == "all" else (self.kind,)


EDGE_STARTS = ("hed", "hed-lite", "vgg16", "random")


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
    teacher_weight: float = (
        0.1  # of imitation against the annotators' edges at first; falls to 0 towards the end
    )
    steps: int | None = 4000
    time: float | None = None  # seconds in all
    batch: int = 2  # crops in a step; the paper takes 10 whole pictures
    crop: int = 320  # pixels of a crop's side, a multiple of 16
    border: int = 16  # pixels along a crop's sides that cost nothing: there the network sees reflections
    learning_rate: float = 2e-5  # at its height, with Adam and a cosine; the paper uses SGD
    side_rate: float = 20.0  # learning rate of sides and fusion against that of the blocks
    weight_decay: float = 2e-4
    freeze: int = 2  # first blocks that stay as they are
    threshold: float = (
        0.3  # share of annotators above which a pixel is an edge; between 0 and it, it costs nothing
    )
    negative_weight: float = 1.1
    angles: int = 16  # directions a crop may be turned to
    crop_scales: tuple[float, ...] = (0.75, 1.0, 1.5)
    flat: float = 0.03  # share of crops of one plain colour: nothing in it is an edge
    average: float = 0.998  # decay of the moving average of weights
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batch", "angles", "average", "learning_rate", "side_rate"):
            _at_least(name, getattr(self, name), 0 if name in ("average", "learning_rate") else 1)
        _ends(self.steps, self.time)
        if self.crop < 32 or self.crop % 16:
            raise OptionError("crop", f"must be a multiple of 16 from 32 on, got {self.crop}")
        _within("border", self.border, 0, self.crop // 2 - 1)
        _within("freeze", self.freeze, 0, 5)
        _within("seed", self.seed, 0, MAX_SEED)
        for name in ("widths", "depths"):
            if len(numbers := getattr(self, name)) != 5 or min(numbers) < 1:
                raise OptionError(name, f"must be five numbers from 1 on, got {numbers}")
        _within("cell", self.cell, 1, 2)
        if not 0 <= self.threshold < 1:
            raise OptionError("threshold", f"must be from 0 to below 1, got {self.threshold:g}")
        for name in ("flat", "teacher_weight", "negative_weight", "weight_decay"):
            _at_least(name, getattr(self, name), 0)
        if not self.crop_scales or not all(0 < scale < math.inf for scale in self.crop_scales):
            raise OptionError("crop_scales", "must be numbers above 0")


# What differs for a student.
STUDENT: dict[str, Any] = {
    "student": True,
    "start": "random",
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


SEGMENT_WEIGHTS = ("nuclei", "membrane")  # the models known by name, the default first
SEGMENT_KINDS = ("mask", "probability", "overlay", "instances", "contours")


@dataclass(frozen=True, kw_only=True)
class SegmentOptions:
    """Knobs of `segment`."""

    kind: tuple[str, ...] = ("mask",)  # of SEGMENT_KINDS
    threshold: float | None = None  # of the probability that a pixel is no background; None: the model's own
    tta: bool = False  # average over the eight flips and turns
    min_area: int = 20  # pixels of an instance; smaller ones are specks
    tile: int = 640  # pixels of a tile's side; larger ones are faster and take more memory

    def __post_init__(self) -> None:
        for kind in self.kind:
            _choice("kind", kind, SEGMENT_KINDS)
        if not self.kind:
            raise OptionError("kind", "names no kind")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise OptionError("threshold", f"must be from 0 to 1, got {self.threshold:g}")
        _at_least("min_area", self.min_area, 0)
        _at_least("tile", self.tile, 1)


SEGMENT_METRICS = ("auto", "dice", "v-rand", "ap")


@dataclass(frozen=True, kw_only=True)
class TrainSegmentOptions:
    """Knobs of `train-segment`. Defaults follow Ronneberger et al. (2015) unless a line says otherwise."""

    objects: bool | None = None  # whether each value of a mask is an object; None: told by how many there are
    width: int = 16  # channels of the first level; 64 in the paper
    depth: int = 4  # poolings
    norm: bool = True  # batch normalisation; not in the paper
    optimizer: str = "adam"  # AdamW; or "sgd", as in the paper
    learning_rate: float = 2e-3  # at its height, with a cosine
    momentum: float = 0.99  # of sgd
    weight_decay: float = 1e-4
    steps: int | None = 4000
    time: float | None = None  # seconds in all
    batch: int = 2  # crops in a step; 1 in the paper
    crop: int = 260  # least pixels of a crop's side in the output
    border_weight: float = 10.0  # w0
    border_sigma: float = 5.0  # pixels
    balance: float = 1.0  # 0: all pixels weigh alike, 1: all classes do
    elastic: float = 10.0  # standard deviation of the displacement on a coarse grid, in pixels
    elastic_spacing: int = 256  # of that grid, in pixels: 3x3 on the paper's tiles
    angles: int = 64  # directions a crop may be turned to
    crop_scales: tuple[float, ...] = (0.8, 0.9, 1.0, 1.1, 1.25)
    gray: float = 0.15  # standard deviation of changes of contrast and light
    invert: float = 0.0  # share of crops that change dark for bright
    average: float = 0.998  # decay of the moving average of weights
    val: float = 0.2  # share of the pairs that is held out to choose by; from 1 on, how many
    fold: int = 0  # which of them: 0 the last ones, 1 those before, ...
    metric: str = "auto"  # what is best: "ap" of objects, else "dice"
    patience: int | None = None  # scorings without a better one, after which it ends
    seed: int = 0

    def __post_init__(self) -> None:
        _choice("optimizer", self.optimizer, ("adam", "sgd"))
        _choice("metric", self.metric, SEGMENT_METRICS)
        _ends(self.steps, self.time)
        _within("width", self.width, 1, 512)
        _within("depth", self.depth, 1, 8)
        _within("crop", self.crop, 1, 4096)
        _within("batch", self.batch, 1, 4096)
        for name in ("learning_rate", "weight_decay", "border_weight", "elastic", "gray", "val"):
            _at_least(name, getattr(self, name), 0)
        for name in ("angles", "elastic_spacing", "patience"):
            if getattr(self, name) is not None:
                _at_least(name, getattr(self, name), 1)
        for name in ("momentum", "balance", "invert", "average"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(name, f"must be from 0 to 1, got {getattr(self, name):g}")
        if not 0.1 <= self.border_sigma <= 100:
            raise OptionError("border_sigma", f"must be from 0.1 to 100, got {self.border_sigma:g}")
        _within("fold", self.fold, 0, 10_000)
        _within("seed", self.seed, 0, MAX_SEED)
        if not self.crop_scales or not all(0.05 <= scale <= 20 for scale in self.crop_scales):
            raise OptionError("crop_scales", "must be numbers from 0.05 to 20")


def _choice(option: str, value: str, known: Mapping[str, object] | tuple[str, ...]) -> None:
    if value not in known:
        raise OptionError(option, f"no {value!r}; choose from {', '.join(known)}")


def _at_least(option: str, value: float, low: float) -> None:
    if not low <= value < 1e18:
        raise OptionError(option, f"must be at least {low:g}, got {str(value)[:20]}")


def _within(option: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise OptionError(option, f"must be from {low} to {high}, got {value}")


def _ends(steps: int | None, time: float | None) -> None:
    """A training has an end."""
    if steps is None and time is None:
        raise OptionError("steps", "neither --steps nor --time says when to end")
    for name, value in (("steps", steps), ("time", time)):
        if value is not None and not 0 < value < math.inf:
            raise OptionError(name, f"must be above 0, got {value:g}")


def _layers(option: str, layers: Mapping[str, float], known: tuple[str, ...]) -> None:
    if not layers:
        raise OptionError(option, "names no layer")
    for name, weight in layers.items():
        if name not in known:
            raise OptionError(option, f"no layer {name!r}; choose from {', '.join(known)}")
        if not 0 < weight < math.inf:
            raise OptionError(option, f"weight of {name} must be above 0, got {weight:g}")
