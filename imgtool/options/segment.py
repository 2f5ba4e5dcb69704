"""What can be set about `segment` and `train-segment`."""

from dataclasses import dataclass

from imgtool.errors import OptionError
from imgtool.options.checks import MAX_SEED, at_least, choice, ends, share, within

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
            choice("kind", kind, SEGMENT_KINDS)
        if not self.kind:
            raise OptionError("kind", "names no kind")
        if self.threshold is not None:
            share("threshold", self.threshold)
        at_least("min_area", self.min_area, 0)
        at_least("tile", self.tile, 1)


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
        choice("optimizer", self.optimizer, ("adam", "sgd"))
        choice("metric", self.metric, SEGMENT_METRICS)
        ends(self.steps, self.time)
        within("width", self.width, 1, 512)
        within("depth", self.depth, 1, 8)
        within("crop", self.crop, 1, 4096)
        within("batch", self.batch, 1, 4096)
        for name in ("learning_rate", "weight_decay", "border_weight", "elastic", "gray", "val"):
            at_least(name, getattr(self, name), 0)
        for name in ("angles", "elastic_spacing", "patience"):
            if getattr(self, name) is not None:
                at_least(name, getattr(self, name), 1)
        for name in ("momentum", "balance", "invert", "average"):
            share(name, getattr(self, name))
        if not 0.1 <= self.border_sigma <= 100:
            raise OptionError("border_sigma", f"must be from 0.1 to 100, got {self.border_sigma:g}")
        within("fold", self.fold, 0, 10_000)
        within("seed", self.seed, 0, MAX_SEED)
        if not self.crop_scales or not all(0.05 <= scale <= 20 for scale in self.crop_scales):
            raise OptionError("crop_scales", "must be numbers from 0.05 to 20")
