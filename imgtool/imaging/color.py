"""Colours of one picture carried to another."""

import torch
from torch import Tensor

from imgtool.imaging.picture import LUMA


def luma(image: Tensor) -> Tensor:
    """(N, 3, H, W) gamma-coded sRGB -> (N, 1, H, W), both in [0, 1].

    The difference to it is what "colour" means here.
    """
    return torch.einsum("nchw,c->nhw", image, image.new_tensor(LUMA)).unsqueeze(1)


def keep_chroma(image: Tensor, colors: Tensor) -> Tensor:
    """The light of `image` with the colours of `colors`.

    Args:
        image, colors: (1, 3, H, W) in [0, 1].
    Returns:
        (1, 3, H, W) in [0, 1].
    Reference:
        Gatys et al. 2016, "Preserving color in neural artistic style transfer", 3.2. https://arxiv.org/abs/1606.05897
    """
    return (colors + luma(image) - luma(colors)).clamp(0, 1)


def match_color(image: Tensor, palette: Tensor) -> Tensor:
    """`image` with the mean and covariance of the colours of `palette`.

    Args:
        image, palette: (1, 3, H, W) in [0, 1], of any sizes.
    Returns:
        (1, 3, H, W) in [0, 1], clipped where the linear map leaves the range.
    Reference:
        Gatys et al. 2016, https://arxiv.org/abs/1606.05897, 3.1, with the symmetric root of eq. 3.
    """
    source, target = image.flatten(2)[0].double(), palette.flatten(2)[0].double()
    whiten, color = _root(source, -0.5), _root(target, 0.5)
    moved = color @ whiten @ (source - source.mean(1, keepdim=True)) + target.mean(1, keepdim=True)
    return moved.to(image.dtype).reshape(image.shape).clamp(0, 1)


def _root(pixels: Tensor, power: float) -> Tensor:
    """The covariance of colours (3, P) to a power; a grain of variance keeps flat pictures invertible."""
    centred = pixels - pixels.mean(1, keepdim=True)
    values, vectors = torch.linalg.eigh(
        centred @ centred.T / pixels.shape[1] + 1e-5 * torch.eye(3, dtype=pixels.dtype)
    )
    root: Tensor = (vectors * values**power) @ vectors.T
    return root
