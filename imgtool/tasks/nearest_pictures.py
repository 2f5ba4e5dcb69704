"""Training pictures that are nearest to generated ones: a generator that copies is not worth its pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imgtool.metrics.images import nearest
from imgtool.tasks.picture_features import FeatureSpace

COMPARED = 2000  # training pictures whose own neighbours tell what is far


@dataclass(frozen=True)
class Neighbours:
    """What is nearest to each sample.

    Attributes:
        indices: (N,) of training pictures.
        closeness: median distance of samples to them, in distances of training pictures to their nearest other one:
            near 0 where pictures are copied, about 1 where samples lie among the pictures as these among themselves.
    """

    indices: NDArray[np.int64]
    closeness: float


def nearest_pictures(
    samples: Sequence[NDArray[np.uint8]], known: NDArray[np.uint8], space: FeatureSpace
) -> Neighbours:
    """The nearest training picture of each sample, in a space of features.

    Args:
        samples: (S, S, C) each.
        known: (N, S, S, C), two pictures at least.
        space: where they are compared.
    """
    found, features = space(np.stack(samples)), space(known)
    indices = nearest(found, features)
    apart = np.linalg.norm(found - features[indices], axis=1)
    some = features[:COMPARED]
    others = nearest(some, some, apart=True)
    usual = np.median(np.linalg.norm(some - some[others], axis=1))
    return Neighbours(indices, float(np.median(apart) / max(usual, 1e-9)))
