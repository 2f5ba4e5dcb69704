"""What can be set about `train-style`, and about `stylize` in one pass."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from imgtool.errors import OptionError
from imgtool.options.checks import MAX_SEED, RANDOM, at_least, ends, share, weighted, within
from imgtool.options.stylize import vgg_layers

STYLE_NET = "style-net"  # what a file of weights calls the network
FAST_STYLES = ("palette",)  # the networks known by name


@dataclass(frozen=True, kw_only=True)
class TrainStyleOptions:
    """Knobs of `train-style`.

    Losses are relative, so that one weight fits every style: content to the energy of the photo's features, style to
    what the photos are away from the style before anything is done.
    """

    style_size: int = 512  # longest side of the style pictures in pixels: how large their strokes are
    photo_size: int = 256  # side of the squares that photos are made to, a multiple of 4
    crop: int = 160  # side of what the network sees of one, in pixels, a multiple of 16
    batch: int = 1  # crops in a step, each in every style
    width: int = 24  # channels at half the size
    blocks: int = 5  # residual blocks
    content_weight: float = 0.4
    style_weight: float = 1.0
    tv_weight: float = 1.0
    lattice_weight: float = 1.0  # against what comes again at the distance of the network's grid
    content_layers: Mapping[str, float] = field(default_factory=lambda: {"conv4_1": 1.0})
    style_layers: Mapping[str, float] = field(
        default_factory=lambda: {f"conv{block}_1": 1.0 for block in range(1, 5)}
    )
    weights: str = "vgg19"  # whose features are compared
    start: str = RANDOM  # or weights of such a network to start from
    learning_rate: float = 2e-3
    average: float = 0.999  # decay of the moving average of the weights
    steps: int | None = 10_000
    time: float | None = None  # seconds in all
    seed: int = 0

    def __post_init__(self) -> None:
        ends(self.steps, self.time)
        for name, low, high in (("style_size", 32, 4096), ("photo_size", 16, 4096), ("crop", 16, 4096)):
            within(name, getattr(self, name), low, high)
        within("batch", self.batch, 1, 256)
        within("width", self.width, 1, 1024)
        within("blocks", self.blocks, 1, 64)
        within("seed", self.seed, 0, MAX_SEED)
        if self.photo_size % 4:
            raise OptionError("photo_size", f"must be a multiple of 4, got {self.photo_size}")
        if self.crop % 16 or self.crop > self.photo_size:
            raise OptionError(
                "crop", f"must be a multiple of 16, at most --photo-size {self.photo_size}, got {self.crop}"
            )
        for name in ("content_weight", "style_weight", "tv_weight", "lattice_weight"):
            at_least(name, getattr(self, name), 0)
        if not 0 < self.learning_rate < math.inf:
            raise OptionError("learning_rate", f"must be above 0, got {self.learning_rate:g}")
        if not 0 <= self.average < 1:
            raise OptionError("average", f"must be from 0 to below 1, got {self.average:g}")
        for name in ("content_layers", "style_layers"):
            weighted(name, getattr(self, name), vgg_layers("vgg19"))


@dataclass(frozen=True, kw_only=True)
class FastStyleOptions:
    """Knobs of `stylize` in one pass."""

    size: int | None = None  # longest side of the result in pixels; None keeps the photo's
    blend: Mapping[str, float] = field(default_factory=dict)  # style -> weight; none: the network's first
    strength: float = 1.0  # from 0, the photo, to 1, the style
    preserve_color: bool = False
    temporal_weight: float = 1.0  # of the frame before, moved along, in a film

    def __post_init__(self) -> None:
        if self.size is not None:
            at_least("size", self.size, 1)
        share("strength", self.strength)
        at_least("temporal_weight", self.temporal_weight, 0)
        for name, weight in self.blend.items():
            if not 0 < weight < math.inf:
                raise OptionError("blend", f"weight of {name} must be above 0, got {weight:g}")
