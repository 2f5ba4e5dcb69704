"""`imgtool.segment`: find cells and other things, from Python."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imgtool.api.inputs import PictureLike, loaded, options_of, raster_given
from imgtool.errors import BadImage
from imgtool.imaging.labels import palette
from imgtool.options.segment import SEGMENT_WEIGHTS, SegmentOptions
from imgtool.tasks.load import load_segmenter
from imgtool.tasks.objects import instances_of
from imgtool.tasks.segment import classes_of, foreground, in_tiles_that_fit, probabilities


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What is where in a picture.

    Attributes:
        probabilities: of each class, (classes, H, W) fp32 in [0, 1].
        classes: their names; the first is background.
        threshold: of the probability of being no background.
        objects: whether the second class is the inside of objects, and the third their rim.
    """

    probabilities: NDArray[np.float32]
    classes: tuple[str, ...]
    threshold: float
    objects: bool

    @property
    def foreground(self) -> NDArray[np.float32]:
        """The probability of being no background, (H, W)."""
        return foreground(self.probabilities)

    def mask(self) -> NDArray[np.uint8]:
        """The class of each pixel, (H, W); of objects, 1 in each of them."""
        mask = classes_of(self.probabilities, self.threshold)
        return np.minimum(mask, 1) if self.objects else mask

    def instances(self, min_area: int = SegmentOptions.min_area) -> NDArray[np.int32]:
        """The objects by number, (H, W), 0 outside of them; those below `min_area` pixels are left out."""
        return instances_of(self.probabilities, self.threshold, objects=self.objects, min_area=min_area)

    def to_pil(self) -> Image.Image:
        """The mask to look at: white on black, or a colour for each of several classes."""
        mask = self.mask()
        if self.objects or len(self.classes) == 2:
            return Image.fromarray(mask * np.uint8(255))
        image = Image.fromarray(mask)
        image.putpalette(palette(len(self.classes)).tobytes())
        return image


def segment(
    image: PictureLike,
    *,
    device: str = "auto",
    precision: str = "auto",
    weights: str | os.PathLike[str] = SEGMENT_WEIGHTS[0],
    **options: Any,
) -> Segmentation:
    """Find the cells of a picture, or what else a model was trained for, as `imgtool segment` does.

    Args:
        image: of any size; an array may also be (H, W) or (H, W, C) of any number type.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: "auto", "fp32", "bf16" or "fp16".
        weights: a name, a file or the folder of a training run.
        **options: `threshold`, `tta` and `tile` of `SegmentOptions`; where memory does not suffice, `tile` is
            halved once.
    Raises:
        BadImage, OptionError, WeightsError, DeviceError: see `imgtool.errors`.
    Example:
        >>> segment("photo.jpg").to_pil().save("mask.png")  # doctest: +SKIP
    """
    given = options_of("segment", SegmentOptions, options)
    segmenter = loaded(load_segmenter, weights, device=device, precision=precision)
    threshold = segmenter.threshold if given.threshold is None else given.threshold
    with raster_given(image) as raster:
        try:
            seen = raster.with_channels(segmenter.network.channels)
            found = in_tiles_that_fit(
                lambda tile: probabilities(seen, segmenter, tile=tile, tta=given.tta),
                seen,
                given,
                segmenter,
                whole=True,
            )
        except ValueError as error:  # other channels than the model's, or numbers that are none
            raise BadImage("image", str(error)) from error
    return Segmentation(found, segmenter.classes, threshold, segmenter.objects)
