"""What can be set about `save-style`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from imgtool.options.checks import choice, weighted, within
from imgtool.options.stylize import POOLS, STYLE_NETWORKS, style_layers, vgg_layers

SUFFIX = "imgstyle"
LEAST_SIDE, MOST_SIDE = 32, 8192  # pixels


@dataclass(frozen=True, kw_only=True)
class StyleFileOptions:
    """Knobs of `save-style`; layers, pool and network are those of the `stylize` that will read the file."""

    size: int = 2048  # the largest longest side in pixels at which a style picture is measured
    network: str = "vgg19"  # a key of STYLE_NETWORKS
    style_layers: Mapping[str, float] = field(default_factory=style_layers)
    pool: str = "max"

    def __post_init__(self) -> None:
        within("size", self.size, LEAST_SIDE, MOST_SIDE)
        choice("network", self.network, STYLE_NETWORKS)
        choice("pool", self.pool, POOLS)
        weighted("style_layers", self.style_layers, vgg_layers(STYLE_NETWORKS[self.network]))
