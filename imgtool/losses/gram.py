"""Content and style losses of neural style transfer, after Gatys, Ecker & Bethge (2016)."""

from typing import Any

import torch
from torch import Tensor

# A bf16 product of many thousand places is rounded once per chunk, and chunks are summed in fp32.
CHUNKS = 16


class _Gram(torch.autograd.Function):
    """Gram matrix whose products run in the features' own type and whose sum is kept in fp32.

    Autograd of a plain matmul would upcast the features for an fp32 Gram (a quarter of a whole evaluation), and
    would multiply twice in the backward pass although dG is symmetric here.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        places = _places(features)  # (N, H*W, C)
        ctx.save_for_backward(features)
        return _sum_of_products(places) / places.shape[1]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (features,) = ctx.saved_tensors
        batch, channels, height, width = features.shape
        places = _places(features)
        symmetric = ((grad + grad.mT) / (height * width)).to(features.dtype)
        product: Tensor = places @ symmetric
        return product.view(batch, height, width, channels).permute(0, 3, 1, 2)


def _places(features: Tensor) -> Tensor:
    """(N, C, H, W) as (N, H*W, C): a view where the memory is channels_last."""
    return features.permute(0, 2, 3, 1).flatten(1, 2)


def _sum_of_products(places: Tensor) -> Tensor:
    """Sum over places of the outer products: (N, P, C) -> (N, C, C), at least fp32."""
    exact = torch.promote_types(places.dtype, torch.float32)
    if places.dtype == exact:
        return places.mT @ places
    whole = places.shape[1] - places.shape[1] % CHUNKS
    total = (places[:, whole:].mT @ places[:, whole:]).to(exact)
    if whole:
        batch, _, channels = places.shape
        chunks = places[:, :whole].reshape(batch, CHUNKS, whole // CHUNKS, channels)
        total = total + (chunks.mT @ chunks).to(exact).sum(1)
    return total


def gram_matrix(features: Tensor) -> Tensor:
    """Channel correlations of a feature map, per place.

    Divided by H * W, so that pictures of different sizes can be compared; not by C * H * W as in Johnson et al.
    (2016), so that layers keep their weight.

    Args:
        features: (N, C, H, W), any real range; bf16 and fp16 are multiplied as they are and summed in fp32.
    Returns:
        (N, C, C), symmetric, fp32 or wider.
    Reference:
        Gatys et al. 2016, eq. 3. https://doi.org/10.1109/CVPR.2016.265
    Example:
        >>> gram_matrix(torch.ones(1, 2, 3, 3))[0]
        tensor([[1., 1.],
                [1., 1.]])
    """
    gram: Tensor = _Gram.apply(features)
    return gram


def style_loss(gram: Tensor, target: Tensor) -> Tensor:
    """Squared distance of two Gram matrices, E_l of the paper.

    With G and A per place, the paper's 1 / (4 N^2 M^2) becomes 1 / (4 N^2); the two agree when content and style
    have as many places, and only the per-place form makes sense when they have not.

    Args:
        gram, target: (N, C, C) from `gram_matrix`.
    Returns:
        A scalar, at least 0.
    Reference:
        Gatys et al. 2016, eq. 4.
    """
    return (gram - target).square().mean() / 4


def content_loss(features: Tensor, target: Tensor) -> Tensor:
    """Half the sum of squared differences of two feature maps, summed in fp32 or wider.

    Args:
        features, target: (N, C, H, W).
    Returns:
        A scalar, at least 0. It grows with the picture; divide by `features.numel()` for a mean.
    Reference:
        Gatys et al. 2016, eq. 1.
    """
    difference = features - target
    return difference.to(torch.promote_types(difference.dtype, torch.float32)).square().sum() / 2
