"""A preconditioner for pictures: coarse colours move as fast as fine texture."""

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

LEVELS = 6
# How much less far each coarser level steps than the next finer one; measured flat between 0.6 and 0.7.
GAIN = 0.65


def pyramid_precondition(gradient: Tensor, *, levels: int = LEVELS, gain: float = GAIN) -> Tensor:
    """Gradient smoothed at all scales at once: the sum over levels k of gain^2k U_k U_k^T.

    U_k enlarges a level of 1 / 2^k of the size bilinearly to full size and U_k^T is its exact adjoint, so the map
    is symmetric and positive. Minimising over pixels with it is the same as minimising over the levels of a
    Laplacian pyramid, without storing the levels.

    Args:
        gradient: (N, C, H, W).
        levels: number of levels; 1 gives the gradient back.
        gain: weight of each level against the next finer one, above 0.
    Returns:
        (N, C, H, W).
    """
    size = tuple(gradient.shape[-2:])
    if levels == 1 or max(size) == 1:
        return gradient
    enlarge = partial(functional.interpolate, size=size, mode="bilinear")
    half = gradient.new_zeros((*gradient.shape[:2], *(-(-side // 2) for side in size)), requires_grad=True)
    with torch.enable_grad():
        (shrunk,) = torch.autograd.grad(enlarge(half), half, gradient)  # the adjoint of enlarging
    coarse = enlarge(pyramid_precondition(shrunk, levels=levels - 1, gain=gain))
    return coarse.mul_(gain**2).add_(gradient)
