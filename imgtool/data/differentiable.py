"""Changes of pictures that gradients pass through, so that a discriminator sees few pictures in many ways.

Reference:
    Zhao et al. 2020, https://arxiv.org/abs/2006.10738
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

SHIFT = 1 / 8  # of the side, at most
CUT = 1 / 2


def changed(images: Tensor, kinds: Sequence[str], random: torch.Generator) -> Tensor:
    """Each picture changed at random, real or not.

    Args:
        images: (N, C, H, W) in [0, 1].
        kinds: "color" (light, saturation, contrast), "shift" (up to an eighth, grey comes in), "cutout" (a square of
            half the side is grey).
        random: of the pictures' device.
    Returns:
        The same shape; values may leave [0, 1].
    """
    for kind in kinds:
        images = {"color": _color, "shift": _shift, "cutout": _cutout}[kind](images, random)
    return images


def _numbers(images: Tensor, random: torch.Generator, count: int = 1) -> list[Tensor]:
    """Columns of (N, 1, 1, 1) from 0 to 1."""
    drawn = torch.rand(
        count, len(images), 1, 1, 1, generator=random, device=images.device, dtype=torch.float32
    )
    return list(drawn.to(images.dtype))


def _color(images: Tensor, random: torch.Generator) -> Tensor:
    light, saturation, contrast = _numbers(images, random, 3)
    images = images + (light - 0.5) / 2  # the paper's pictures go from -1 to 1
    gray = images.mean(dim=1, keepdim=True)
    images = gray + (images - gray) * (saturation * 2)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * (contrast + 0.5)


def _shift(images: Tensor, random: torch.Generator) -> Tensor:
    count, _, height, width = images.shape
    y, x = (
        ((number.view(-1) * 2 - 1) * SHIFT * side).round().long()
        for number, side in zip(_numbers(images, random, 2), (height, width), strict=True)
    )
    reach = max(1, int(SHIFT * max(height, width)))
    framed = pad(images, (reach, reach, reach, reach), value=0.5)
    rows = torch.arange(height, device=images.device) + reach + y[:, None]
    columns = torch.arange(width, device=images.device) + reach + x[:, None]
    which = torch.arange(count, device=images.device)[:, None, None]
    return framed.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)


def _cutout(images: Tensor, random: torch.Generator) -> Tensor:
    height, width = images.shape[2:]
    y, x = _numbers(images, random, 2)
    rows = torch.arange(height, device=images.device).view(1, 1, -1, 1)
    columns = torch.arange(width, device=images.device).view(1, 1, 1, -1)
    inside = ((rows - (y * height)).abs() < height * CUT / 2) & (
        (columns - (x * width)).abs() < width * CUT / 2
    )
    return torch.where(inside, torch.full_like(images, 0.5), images)
