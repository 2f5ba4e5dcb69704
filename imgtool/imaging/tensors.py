"""Pictures as tensors and back."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from imgtool.imaging.picture import Picture


def to_image(pixels: np.ndarray) -> Tensor:
    """Pixels as an image: (H, W, C) or (H, W) of uint8 or uint16 -> (1, C, H, W) fp32 in [0, 1]."""
    planes = np.atleast_3d(pixels).transpose(2, 0, 1)[None]
    image = planes.astype(np.float32, order="C")
    image /= np.float32(np.iinfo(pixels.dtype).max)
    return torch.from_numpy(image)


def to_pixels(image: Tensor) -> np.ndarray:
    """An image as 8-bit pixels, clamped and rounded: (1, C, H, W) in [0, 1] -> (H, W, C) uint8."""
    levels = image[0].detach().float().clamp(0, 1).mul_(255).round_().to(torch.uint8)
    return np.ascontiguousarray(levels.permute(1, 2, 0).cpu().numpy())


def to_picture(image: Tensor, alpha: Tensor | None = None) -> Picture:
    """An image (1, 3, H, W) in [0, 1], and its alpha (1, 1, H, W) if it has one, as a picture to be written."""
    return Picture(pixels=to_pixels(image), alpha=None if alpha is None else to_pixels(alpha)[..., 0])


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Image at another (height, width), bicubic and free of aliases; fp32 in [0, 1] as before."""
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    return functional.interpolate(image, size, mode="bicubic", antialias=True).clamp(0, 1)


def fit(size: tuple[int, int], longest: float | None) -> tuple[int, int]:
    """(height, width) of the same shape with a longest side of so many pixels, none below 1; as it is for None."""
    if longest is None:
        return size
    scale = longest / max(size)
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width
