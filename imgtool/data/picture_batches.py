"""Pictures of a set in the order in which they are trained on, those that are held out, and some to be shown."""

import hashlib

import numpy as np
import torch
from torch import Tensor

from imgtool.data.order import shuffled
from imgtool.data.picture_set import PictureSet, Pixels


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
    which = [int(shuffled((seed, index // count), count)[index % count]) for index in indices]
    pixels = torch.from_numpy(pictures.pixels[which])
    return pixels.permute(0, 3, 1, 2).float() / 255, torch.from_numpy(pictures.labels[which])


def held_out(pictures: PictureSet, count: int, *, seed: int) -> tuple[PictureSet, PictureSet]:
    """The pictures but `count` of them, and those, chosen by the seed."""
    order = np.random.default_rng((seed, 1)).permutation(len(pictures.pixels))
    parts = np.sort(order[count:]), np.sort(order[:count])
    rest, held = (
        PictureSet(pictures.pixels[part], pictures.labels[part], pictures.classes, pictures.left_out)
        for part in parts
    )
    return rest, held


def some(pictures: PictureSet, count: int, seed: int) -> Pixels:
    """Pictures that show what is in a set: of each class as many, in an order that depends on the seed alone.

    Args:
        pictures: the set.
        count: how many are wanted; of a smaller set all come.
        seed: of the choice.
    Returns:
        (N, S, S, C), N at most `count`.
    """
    order = np.random.default_rng((seed, 2)).permutation(len(pictures.pixels))
    by_class = order[np.argsort(pictures.labels[order], kind="stable")]
    labels = pictures.labels[by_class]
    turn = np.empty(len(order), np.int64)  # which of its class each picture is
    turn[by_class] = np.arange(len(order)) - np.searchsorted(labels, labels)
    return pictures.pixels[order[np.argsort(turn[order], kind="stable")[:count]]]


def fingerprint(pictures: PictureSet) -> str:
    """SHA-256 of all pixels, labels and names of classes: 64 hexadecimal digits, the same on every machine."""
    digest = hashlib.sha256(repr((pictures.pixels.shape, pictures.classes)).encode())
    digest.update(np.ascontiguousarray(pictures.pixels).data)
    digest.update(np.ascontiguousarray(pictures.labels, "<i8").data)
    return digest.hexdigest()
