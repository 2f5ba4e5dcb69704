"""Cross-entropy in which each pixel has a weight of its own: what a U-Net minimises."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

NEGLIGIBLE = 1e-3  # a weight by which nothing is learned


def border_weights(objects: NDArray[Any], *, height: float = 10.0, sigma: float = 5.0) -> NDArray[np.float32]:
    """The part of the weight map that makes a network keep the gaps between touching objects.

    At each background pixel

        height * exp(-(d1 + d2)^2 / (2 sigma^2))

    with d1 and d2 its distances to the nearest and to the second nearest object (Ronneberger 2015, eq. 2); 0 inside
    of objects. Distances are looked for in a window round each object, out of which the weight is below 1e-3.

    Args:
        objects: (H, W) of whole numbers: 0 is background, each other value one object.
        height: w0 of the paper.
        sigma: in pixels.
    Returns:
        (H, W), at least 0.
    """
    from scipy import ndimage

    weights = np.zeros(objects.shape, np.float32)
    if height <= NEGLIGIBLE:
        return weights
    far = math.ceil(sigma * math.sqrt(2 * math.log(height / NEGLIGIBLE)))
    nearest = np.full((2, *objects.shape), np.inf, np.float32)  # and second nearest
    _, numbers = np.unique(objects, return_inverse=True)
    compact = np.where(objects == 0, 0, numbers.reshape(objects.shape) + 1)
    for index, place in enumerate(ndimage.find_objects(compact), start=1):
        if place is None:
            continue
        window = tuple(slice(max(0, side.start - far), side.stop + far) for side in place)
        distance = ndimage.distance_transform_edt(compact[window] != index).astype(np.float32)
        first, second = nearest[0][window], nearest[1][window]
        np.minimum(second, np.maximum(first, distance), out=second)
        np.minimum(first, distance, out=first)
    both = nearest.sum(axis=0)
    seen = np.isfinite(both) & (objects == 0)
    weights[seen] = height * np.exp(-np.square(both[seen]) / (2 * sigma**2))
    return weights


def weighted_cross_entropy(logits: Tensor, classes: Tensor, weights: Tensor) -> Tensor:
    """Mean of - w(x) log p_class(x)(x) over all pixels (Ronneberger 2015, eq. 1).

    Args:
        logits: (N, K, H, W).
        classes: (N, H, W) whole numbers below K.
        weights: (N, H, W), at least 0.
    Returns:
        A number.
    """
    losses = functional.cross_entropy(logits.float(), classes, reduction="none")
    return (losses * weights).mean()
