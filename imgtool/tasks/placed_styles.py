"""Styles made ready for one photo: on the device and in its colours; and what style files cannot be used for."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from imgtool.errors import OptionError
from imgtool.imaging.color import match_color
from imgtool.imaging.tensors import fit
from imgtool.options.stylize import StylizeOptions
from imgtool.runtime.device import Device
from imgtool.runtime.registry import WeightsFile
from imgtool.tasks.style_file import Measured
from imgtool.tasks.style_objective import Style


def placed(style: Style, palette: Tensor | None, device: torch.device) -> Style:
    """A style on the device, in the colours of `palette` if there is one."""
    image, saved = style.image, style.saved
    if image is not None and palette is not None:
        image = match_color(image, palette.cpu())
    content_mask, style_mask = (
        None if mask is None else mask.to(device) for mask in (style.content_mask, style.style_mask)
    )
    return replace(
        style,
        image=None if image is None else image.to(device),
        content_mask=content_mask,
        style_mask=style_mask,
        saved=None if saved is None else saved.to(device),
    )


def require_same_network(
    styles: Sequence[Style], options: StylizeOptions, weights: WeightsFile, device: Device
) -> None:
    """Refuse style files that were measured by another network than the one that will be used.

    Raises:
        OptionError: names the first.
    """
    measured = Measured.by(weights, device, pool=options.pool, rescaled=options.rescale)
    for style in styles:
        if style.saved is not None:
            style.saved.require(measured, options.style_layers)


def require_pictures(styles: Sequence[Style], options: StylizeOptions) -> None:
    """Refuse what takes the picture itself where a style file is given instead.

    Raises:
        OptionError: names the first such option.
    """
    for number, style in enumerate(styles):
        if style.saved is None:
            continue
        for name, takes in (
            ("preserve_color", options.preserve_color),
            ("init", options.init == "style" and not number),
            ("style_mask", style.style_mask is not None),
        ):
            if takes:
                raise OptionError(name, f"takes the style picture itself, which {style.saved.name} has not")


def require_sides(styles: Sequence[Style], options: StylizeOptions, size: tuple[int, int]) -> None:
    """Refuse style files that say nothing about strokes as large as some scale needs them.

    Raises:
        OptionError: names the first.
    """
    scales = [fit(size, max(size) / 2**halvings) for halvings in range(options.scales)]
    for style in styles:
        if style.saved is not None:
            style.saved.require_sides([max(each) * options.style_scale for each in scales])
