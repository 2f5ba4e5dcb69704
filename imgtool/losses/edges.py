"""Class-balanced cross-entropy: what an edge detector minimises."""

import torch
from torch import Tensor
from torch.nn import functional

OUTSIDE = -1.0  # a consensus that says nothing: outside of the picture
LEAST_SHARE = 0.01  # of edges, as which a picture counts that has fewer: without any, it would teach nothing


def balanced_cross_entropy(
    logits: Tensor, consensus: Tensor, *, threshold: float = 0.3, negative_weight: float = 1.1
) -> Tensor:
    """Cross-entropy in which edges, few as they are, weigh as much as all the rest.

    With Y+ the pixels that more than `threshold` of the annotators marked, and Y- those that nobody marked, an output
    costs

        - |Y-| / |Y|  sum over Y+ of log p  -  negative_weight |Y+| / |Y|  sum over Y- of log (1 - p)

    over |Y| = |Y+| + |Y-| pixels of each picture; here it is divided by |Y|, so that it means the same at every size.
    Pixels between the two, about which people disagree, cost nothing (Liu et al. 2017, eq. 1), and neither do those
    outside of the picture. Where |Y+| is below `LEAST_SHARE` of |Y|, it is taken for that.

    Args:
        logits: (N, K, H, W), any real numbers, of K outputs.
        consensus: (N, 1, H, W), the share of annotators in [0, 1], or `OUTSIDE`.
        threshold: the least share that counts as an edge, exclusive.
        negative_weight: 1 in Xie & Tu; 1.1 in Liu et al.
    Returns:
        (K,): the loss of each output, mean over the pictures.
    Reference:
        Xie & Tu 2015, eq. 2, https://arxiv.org/abs/1504.06375; Liu et al. 2017, https://arxiv.org/abs/1612.02103
    """
    positive = (consensus > threshold).float()
    negative = (consensus == 0).float()
    edges, others = (each.sum((-2, -1), keepdim=True) for each in (positive, negative))
    pixels = (edges + others).clamp_min(1)
    edges = torch.maximum(edges, LEAST_SHARE * pixels)
    weight = (positive * others + negative_weight * negative * edges) / pixels.square()
    losses = functional.binary_cross_entropy_with_logits(
        logits.float(), positive.expand(logits.shape), reduction="none"
    )
    return torch.einsum("nkhw,nhw->k", losses, weight[:, 0]) / len(logits)


def soft_cross_entropy(logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Mean cross-entropy against another detector's probabilities: Hinton et al. 2015 for one class.

    Args:
        logits: (N, K, H, W).
        target: (N, 1, H, W) in [0, 1].
        counted: (N, 1, H, W), 1 where a pixel counts and 0 elsewhere.
    Returns:
        (K,).
    """
    losses = functional.binary_cross_entropy_with_logits(
        logits.float(), target.expand(logits.shape), reduction="none"
    )
    return torch.einsum("nkhw,nhw->k", losses, counted[:, 0]) / counted.sum().clamp_min(1)
