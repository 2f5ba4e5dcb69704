"""`imgtool.edges`: find edges, from Python."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imgtool.api.inputs import PictureLike, loaded, options_of, picture_of
from imgtool.imaging.levels import levels
from imgtool.imaging.tensors import to_image
from imgtool.imaging.thin import thin_edges
from imgtool.options.edges import EDGE_WEIGHTS, EdgesOptions
from imgtool.tasks.edges import edges_that_fit
from imgtool.tasks.load import load_hed


@dataclass(frozen=True, eq=False)
class EdgeMaps:
    """Where the edges of a picture are.

    Attributes:
        maps: probability of an edge by kind, each (H, W) fp32 in [0, 1].
        alpha: (H, W) in [0, 1], the picture's; None if it had none.
    """

    maps: Mapping[str, NDArray[np.float32]]
    alpha: NDArray[np.float32] | None

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """The map of the kind that was asked for; the first one of all."""
        return next(iter(self.maps.values()))

    def thinned(self) -> NDArray[np.float32]:
        """That map with lines one pixel wide, (H, W)."""
        return thin_edges(self.probabilities)

    def to_pil(self) -> Image.Image:
        """That map as an 8-bit grey picture, white where an edge is likely."""
        return Image.fromarray(levels(self.probabilities))


def edges(
    image: PictureLike,
    *,
    device: str = "auto",
    precision: str = "auto",
    weights: str | os.PathLike[str] = EDGE_WEIGHTS[0],
    **options: Any,
) -> EdgeMaps:
    """Find the edges of a picture, as `imgtool edges` does.

    Args:
        image: of any size.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: "auto", "fp32", "bf16" or "fp16".
        weights: a name, a file or the folder of a training run.
        **options: fields of `EdgesOptions`; where memory does not suffice, `tile` is halved once.
    Raises:
        BadImage, OptionError, WeightsError, DeviceError: see `imgtool.errors`.
    Example:
        >>> edges("photo.jpg", kind="fuse").to_pil().save("edges.png")  # doctest: +SKIP
    """
    given = options_of("edges", EdgesOptions, options)
    picture = picture_of(image, "image")
    network = loaded(load_hed, weights, device=device, precision=precision)
    result, _ = edges_that_fit(picture.pixels, given, network=network)
    alpha = None if picture.alpha is None else to_image(picture.alpha)[0, 0].numpy()
    return EdgeMaps(result.maps, alpha)
