"""Pictures from a trained generator."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imgtool.errors import OptionError, WeightsError
from imgtool.imaging.picture import Picture
from imgtool.nn.gan import GanShape, Generator
from imgtool.options.gan import SampleGanOptions
from imgtool.runtime.checkpoints import load_into, load_metadata, load_tensors, packed, require_fit
from imgtool.runtime.device import Device
from imgtool.runtime.registry import WeightsFile

GAP = 2  # pixels between the pictures of a grid
BATCH = 64


def latents(seed: int, indices: Sequence[int], count: int, *, truncation: float = 1.0) -> Tensor:
    """Latent numbers of samples; those of sample i depend on the seed and on i alone.

    Args:
        seed: of all samples.
        indices: which samples.
        count: of numbers for each.
        truncation: factor on them.
    Returns:
        (N, count), normally distributed.
    """
    rows = [np.random.default_rng((seed, index)).standard_normal(count, np.float32) for index in indices]
    return torch.from_numpy(np.stack(rows)) * truncation


@torch.inference_mode()
def sample(
    generator: Generator, options: SampleGanOptions, *, device: Device, classes: int = 0
) -> list[NDArray[np.uint8]]:
    """Pictures, (S, S, C) each.

    Args:
        generator: on its device.
        options: see `SampleGanOptions`.
        device: where it is.
        classes: how many it knows.
    Raises:
        OptionError: a class that there is not.
    """
    wanted = options.classes or tuple(range(classes))
    if any(not 0 <= each < classes for each in wanted):
        raise OptionError(
            "classes", f"must be from 0 to {classes - 1}" if classes else "the generator knows none"
        )
    pictures = []
    for start in range(0, options.count, BATCH):
        indices = range(start, min(start + BATCH, options.count))
        z = latents(options.seed, indices, generator.shape.latent, truncation=options.truncation)
        labels = torch.tensor([wanted[index % len(wanted)] for index in indices]) if classes else None
        labels = labels if labels is None else labels.to(device.torch)
        pictures += levels_of(generator(z.to(device.torch), labels).float().cpu())
    return pictures


def levels_of(images: Tensor) -> list[NDArray[np.uint8]]:
    """(N, C, S, S) in [0, 1] as (S, S, C) of bytes each."""
    scaled = (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    return list(scaled.contiguous().numpy())


def grid_of(images: Tensor) -> Picture:
    """Pictures in rows, as square as can be."""
    return grid(levels_of(images))


def grid(pictures: Sequence[NDArray[np.uint8]]) -> Picture:
    """Pictures of one size in rows, as square as can be, on white."""
    size = pictures[0].shape[0]
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    sheet = np.full((rows * (size + GAP) - GAP, columns * (size + GAP) - GAP, 3), 255, np.uint8)
    for index, each in enumerate(pictures):
        top, left = (size + GAP) * (index // columns), (size + GAP) * (index % columns)
        sheet[top : top + size, left : left + size] = each
    return Picture(sheet)


def model_of(generator: Generator, classes: Sequence[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What a file of a generator holds, and says about itself."""
    about: dict[str, Any] = {"shape": generator.shape.as_dict(), "classes": list(classes)}
    metadata = {"format": "pt", "network": "gan", "preprocessing": "none", "gan": json.dumps(about)}
    floats = {name: each for name, each in generator.state_dict().items() if each.is_floating_point()}
    return packed(floats, "fp16"), metadata


def load_generator(weights: WeightsFile, device: Device) -> tuple[Generator, tuple[str, ...]]:
    """A generator as `train-gan` left it, and the names of its classes.

    Raises:
        WeightsError: the weights are of another network, or do not fit.
    """
    if weights.network != "gan":
        found = weights.network or "an unknown network"
        raise WeightsError(f"{weights.name} holds {found}, expected gan", hint="imgtool weights list")
    try:
        about = json.loads(load_metadata(weights).get("gan", "{}"))
        shape = GanShape.of(about["shape"])
        names = tuple(str(name) for name in about.get("classes", ()))
        if len(names) != shape.classes:
            raise ValueError(f"it names {len(names)} classes of {shape.classes}")
        with torch.device("meta"):  # whatever it claims takes no memory yet
            claimed = Generator(shape)
    except (LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise WeightsError(f"{weights.name} is no generator: {reason}") from error
    tensors = load_tensors(weights)
    counts = {
        name: torch.zeros((), dtype=each.dtype)
        for name, each in claimed.state_dict().items()
        if not each.is_floating_point()
    }
    require_fit(claimed, {**counts, **tensors}, name=weights.name)
    generator = Generator(shape)
    load_into(generator, {**counts, **tensors}, name=weights.name)
    return generator.requires_grad_(False).eval().to(device.torch), names
