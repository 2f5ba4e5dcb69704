"""Penalties on the roughness of a picture, and on what comes again in it."""

import torch
from torch import Tensor
from torch.nn import functional


def total_variation(image: Tensor) -> Tensor:
    """Mean squared difference of neighbouring pixels, down and across (anisotropic, L2).

    The square, unlike Mahendran & Vedaldi's root, leaves strokes' edges to the style loss and takes speckle first.

    Args:
        image: (N, C, H, W); a picture of one row or column has no variation along it.
    Returns:
        A scalar, at least 0.
    Reference:
        Mahendran & Vedaldi 2015, eq. 3 with beta = 2. https://arxiv.org/abs/1412.0035
    """
    down = (image[..., 1:, :] - image[..., :-1, :]).square().sum()
    across = (image[..., :, 1:] - image[..., :, :-1]).square().sum()
    return (down + across) / image.numel()


@torch.no_grad()
def total_variation_gradient(image: Tensor) -> Tensor:
    """The gradient of `total_variation`, with one further picture in memory instead of five; (N, C, H, W)."""
    gradient = torch.zeros_like(image)
    for axis in (-2, -1):
        length = image.shape[axis] - 1
        first, second = image.narrow(axis, 0, length), image.narrow(axis, 1, length)
        difference = second - first
        gradient.narrow(axis, 1, length).add_(difference)
        gradient.narrow(axis, 0, length).sub_(difference)
    return gradient.mul_(2 / image.numel())


def lattice(image: Tensor, period: int, window: int) -> Tensor:
    """Energy of what comes again after a period across and down: the grid that strided networks leave in a picture.

    In each window, the mean of the pixels at each of the places modulo the period; the variance of these means; its
    mean over windows. The same of the steps from pixel to pixel, for edges that keep to the grid. Strokes fall on
    all places alike and average out, the more the larger the window is; in small ones a grid that turns from light
    to dark between two areas counts as well.

    Args:
        image: (N, C, H, W), H and W multiples of the period, at least twice it.
        period: in pixels.
        window: side of the windows in pixels, about; the picture is divided into as many as fit.
    Returns:
        A scalar, at least 0, in the square of the picture's units.
    """
    down = (image[..., period:, :] - image[..., period - 1 : -1, :]).abs()
    across = (image[..., period:] - image[..., period - 1 : -1]).abs()
    of_values, *of_steps = (_unlike(each, period, window) for each in (image, down, across))
    return of_values + torch.stack(of_steps).mean()


def _unlike(image: Tensor, period: int, window: int) -> Tensor:
    """The variance of the means of the places modulo a period, in windows."""
    places = functional.pixel_unshuffle(image, period)
    down, across = (max(side // window, 1) for side in image.shape[-2:])
    means = functional.adaptive_avg_pool2d(places, (down, across))
    return means.view(len(image), -1, period**2, down, across).var(dim=2, correction=0).mean()
