"""Penalties on the roughness of a picture."""

from torch import Tensor


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
