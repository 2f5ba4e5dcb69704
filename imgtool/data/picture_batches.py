"""Pictures of a set in the order in which they are trained on, and those that are held out."""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imgtool.data.picture_set import PictureSet


def batch_of(
    pictures: PictureSet, number: int, size: int, *, seed: int, part: slice = slice(None)
) -> tuple[Tensor, Tensor]:
    """Pictures of one step: each once before any comes again, in an order that depends on the seed alone.

    Args:
        pictures: the set.
        number: of the step, from 0.
        size: pictures in a step.
        seed: of the order.
        part: of the step that is wanted.
    Returns:
        (N, C, S, S) in [0, 1], and their classes, (N,).
    """
    count = len(pictures.pixels)
    indices = range(number * size, (number + 1) * size)[part]
    which = [int(_order(seed, index // count, count)[index % count]) for index in indices]
    pixels = torch.from_numpy(pictures.pixels[which])
    return pixels.permute(0, 3, 1, 2).float() / 255, torch.from_numpy(pictures.labels[which])


@lru_cache(maxsize=2)  # a step at the end of a round needs two
def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """The order of one round."""
    return np.random.default_rng((seed, epoch)).permutation(count)


def held_out(pictures: PictureSet, count: int, *, seed: int) -> tuple[PictureSet, PictureSet]:
    """The pictures but `count` of them, and those, chosen by the seed."""
    order = np.random.default_rng((seed, 1)).permutation(len(pictures.pixels))
    parts = np.sort(order[count:]), np.sort(order[:count])
    rest, held = (
        PictureSet(pictures.pixels[part], pictures.labels[part], pictures.classes, pictures.left_out)
        for part in parts
    )
    return rest, held
