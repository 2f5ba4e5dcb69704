"""What can be set about `stylize`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from imgtool.errors import OptionError
from imgtool.options.checks import MAX_SEED, at_least, choice, share, weighted, within
from imgtool.options.strokes import MAX_SCALES, STROKES_ACROSS, scales_for, steps_for

# Convolutions in each of the five blocks: Simonyan & Zisserman 2014, table 1, columns D and E.
VGG_CONVOLUTIONS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
# The architecture behind each set of weights that `stylize` takes by name.
STYLE_NETWORKS = {"vgg19": "vgg19", "vgg16": "vgg16", "vgg19-torchvision": "vgg19"}
POOLS = ("max", "average")
OPTIMIZERS = ("lbfgs", "adam")
INITS = ("content", "noise", "style")
LEAST_TILE = 64  # pixels; below, nearly all work would be on what tiles see around them
UNLIMITED = 1_000_000  # steps, when `time` alone is given


def vgg_layers(network: str) -> tuple[str, ...]:
    """The convolutions of a VGG in order, from "conv1_1" to "conv5_3" or "conv5_4"."""
    return tuple(
        f"conv{block}_{index}"
        for block, count in enumerate(VGG_CONVOLUTIONS[network], start=1)
        for index in range(1, count + 1)
    )


def style_layers() -> dict[str, float]:
    """The layers of Gatys et al.: the first of each block."""
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
    strength: float = 1.0  # share of the distance of Gram matrices from photo to style that is to be closed
    keep_edges: float = 0.0  # weight of the difference from the photo's edge map; 0 for none
    content_layers: Mapping[str, float] = field(default_factory=lambda: {"conv4_2": 1.0})
    style_layers: Mapping[str, float] = field(default_factory=style_layers)
    normalize: bool = True
    pool: str = "max"
    optimizer: str = "lbfgs"
    precondition: bool = True  # step on all levels of a pyramid at once instead of on bare pixels
    bounded: bool = True  # keep every step inside [0, 1]
    rescale: bool = False  # filters with a mean activation of 1, losses as means: Gatys et al.'s own
    exact: bool = False  # fp32, unless another precision is asked for
    margin: int = 16  # pixels by which pictures are mirrored outwards for the network, a multiple of 16
    tile: int | None = None  # side in pixels of the parts of larger pictures; None for the whole at once
    history: int = 10  # pairs that L-BFGS remembers
    init: str = "content"  # one of INITS; anything else names a picture
    style_scale: float = 1.0  # size of the style picture's longest side against the result's
    stroke: float | None = None  # width of strokes in pixels of the result; None leaves it to `style_scale`
    preserve_color: bool = False
    temporal_weight: float = 1.0  # of the difference from the frame before, moved along, in a film
    frame_steps: int = 30  # of each frame after the first, at full size alone
    seed: int = 0

    def __post_init__(self) -> None:
        choice("network", self.network, STYLE_NETWORKS)
        choice("pool", self.pool, POOLS)
        choice("optimizer", self.optimizer, OPTIMIZERS)
        choice("recipe", self.recipe, STYLIZE_RECIPES)
        if self.size is not None:
            at_least("size", self.size, 1)
        within("scales", self.scales, 1, MAX_SCALES)
        within("seed", self.seed, 0, MAX_SEED)
        at_least("history", self.history, 1)
        if self.tile is not None:
            at_least("tile", self.tile, LEAST_TILE)
        for count in self.steps:
            at_least("steps", count, 0)
        if not 1 <= len(self.steps) <= self.scales:
            raise OptionError(
                "steps", f"{len(self.steps)} numbers for --scales {self.scales}, expected one each"
            )
        for name in ("content_weight", "style_weight", "tv_weight"):
            at_least(name, getattr(self, name), 0)
        share("strength", self.strength)
        for name in ("keep_edges", "temporal_weight", "frame_steps"):
            at_least(name, getattr(self, name), 0)
        if self.content_weight == self.style_weight == self.tv_weight == 0:
            raise OptionError("style_weight", "all weights are 0, so there is nothing to optimise")
        for name in ("time", "style_scale", "stroke"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise OptionError(name, f"must be a number, got {value!r}")
            if value is not None and not (0 < value < math.inf):
                raise OptionError(name, f"must be above 0, got {value:g}")
        if self.stroke is not None and self.style_scale != 1:
            raise OptionError("stroke", "says how wide strokes are, as --style-scale does; give one of them")
        known = vgg_layers(STYLE_NETWORKS[self.network])
        for name in ("content_layers", "style_layers"):
            weighted(name, getattr(self, name), known)

    @property
    def steps_per_scale(self) -> tuple[int, ...]:
        """Steps of each scale, coarse to fine."""
        return self.steps[:1] * (self.scales - len(self.steps)) + self.steps

    def for_size(self, longest: int) -> Self:
        """The same for a result whose longest side is known, with its strokes told by `style_scale`."""
        if self.stroke is None:
            return self
        return replace(self, stroke=None, style_scale=STROKES_ACROSS * self.stroke / longest)

    @property
    def of_later_frames(self) -> Self:
        """For the frames of a film after the first, which begin with the one before: no coarser scales."""
        steps = UNLIMITED if self.time is not None else self.frame_steps
        return replace(self, scales=1, steps=(steps,))

    @classmethod
    def of_recipe(cls, recipe: str = "default", **given: Any) -> Self:
        """The options of a named recipe, but for those that are given.

        A time alone means as many steps as fit; several numbers of steps mean as many scales, and a stroke as many as
        it takes.
        """
        choice("recipe", recipe, STYLIZE_RECIPES)
        numbers = len(given.get("steps", ()))
        if numbers > 1 and given.setdefault("scales", numbers) != numbers:
            raise OptionError(
                "steps", f"{numbers} numbers for {given['scales']} scales; give one, or one each"
            )
        if given.get("time") is not None:
            given.setdefault("steps", (UNLIMITED,))
        if given.get("stroke") is not None and "scales" not in given:
            given["scales"] = scales_for(given["stroke"], given.get("size", cls.size))
            given.setdefault(
                "steps", steps_for(given["scales"], STYLIZE_RECIPES[recipe].get("steps", cls.steps))
            )
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
