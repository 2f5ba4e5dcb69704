"""What `--content-mask auto` of `imgtool stylize` stands for: regions found in each photo."""

from collections.abc import Sequence
from typing import Any

from imgtool.cli.session import Session
from imgtool.cli.style_masks import AUTO, is_auto
from imgtool.imaging.picture import Picture
from imgtool.imaging.tensors import to_image, to_picture
from imgtool.runtime.registry import registry
from imgtool.tasks.load import load_segmenter
from imgtool.tasks.style_objective import Style
from imgtool.tasks.style_regions import (
    REGIONS,
    FindRegions,
    color_regions,
    in_regions,
    require_regions,
    segmented,
)


class Regions:
    """How regions are found, if they are to be.

    Args:
        session: by which weights are found.
        values: of the command, by parameter name.
        styles: how many there are.
    Raises:
        WeightsError: the weights for masks cannot be had.
        OptionError: they do not tell as many regions.
    """

    def __init__(self, session: Session, values: dict[str, Any], styles: int) -> None:
        self.name = values["mask_weights"]
        self.find: FindRegions | None = color_regions if is_auto(values) else None
        self.count = REGIONS
        if self.name:
            segmenter = load_segmenter(session.find_weights(self.name, "mask_weights"), session.device)
            require_regions(segmenter, styles)
            self.find, self.count = segmented(segmenter), len(segmenter.classes)

    def placed(self, styles: Sequence[Style], picture: Picture, size: tuple[int, int]) -> Sequence[Style]:
        """The styles, each where it belongs in a result of (height, width)."""
        if self.find is None:
            return styles
        return in_regions(styles, to_image(picture.pixels), size, self.find, count=self.count)

    def shown(self, styles: Sequence[Style]) -> list[tuple[str, Picture]]:
        """The masks that were found, with titles."""
        masks = [style.content_mask for style in styles if style.content_mask is not None and self.find]
        return [
            (f"region {number}", to_picture(mask.expand(-1, 3, -1, -1)))
            for number, mask in enumerate(masks, start=1)
        ]

    def typed(self) -> dict[str, Any]:
        """The options for a recipe, by parameter name; a file of weights is an ingredient."""
        masks = {"content_mask": [AUTO]} if self.find else {}
        return {**masks, "mask_weights": self.name} if self.name in registry() else masks
