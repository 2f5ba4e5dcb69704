"""Pictures from a trained generator."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imgtool.errors import OptionError
from imgtool.nn.gan import GanShape, Generator
from imgtool.options.gan import SampleGanOptions
from imgtool.runtime.checkpoints import described
from imgtool.runtime.device import Device, step_down
from imgtool.runtime.registry import WeightsFile
from imgtool.tasks.load import load_described

SAME = 1e-2  # radians; below, fp32 does not know the plane in which to turn


def latents(seed: int, indices: Sequence[int], count: int) -> Tensor:
    """Latent numbers of samples; those of sample i depend on the seed and on i alone.

    Args:
        seed: of all samples.
        indices: which samples.
        count: of numbers for each.
    Returns:
        (N, count), normally distributed.
    """
    return torch.cat([_latent((seed, index), count) for index in indices])


def _latent(origin: tuple[int, int], count: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(origin).standard_normal((1, count), np.float32))


def class_numbers(asked: str, names: Sequence[str]) -> tuple[int, ...]:
    """The numbers of classes that are asked for, with commas between them: by name, by number, or by #number.

    A name that looks like a number is a name, so that only #number always is one.

    Raises:
        OptionError: there is none of that name or number.
    """
    words = [word.strip() for word in asked.split(",") if word.strip()]
    if words and not names:
        raise OptionError("classes", "the generator knows none")
    known = {f"#{number}": number for number in range(len(names))}
    known |= {str(number): number for number in range(len(names))}
    known |= {name.lower(): number for number, name in enumerate(names)}
    for word in words:
        if word.lower() not in known:
            shown = ", ".join(f"{number} {name}" for number, name in enumerate(names))
            raise OptionError("classes", f"no {word!r}; there is {shown}")
    return tuple(known[word.lower()] for word in words)


def sample(
    generator: Generator, options: SampleGanOptions, *, device: Device, classes: int = 0
) -> Iterator[NDArray[np.uint8]]:
    """Pictures, (S, S, C) each, in turn; each is made alone, so that its bytes do not depend on the others.

    Args:
        generator: on its device.
        options: see `SampleGanOptions`; with `interpolate` the pictures of a walk that ends where it began.
        device: where it is.
        classes: how many it knows.
    """
    wanted = options.classes or tuple(range(classes))
    origins = options.origins
    points = [_latent(origin, generator.shape.latent) * options.truncation for origin in origins]
    labels = (
        [wanted[(options.start + index) % len(wanted)] for index in range(len(points))] if classes else None
    )
    return _drawn(generator, points, labels, options.interpolate, device)


@torch.inference_mode()
def _drawn(
    generator: Generator, points: Sequence[Tensor], labels: Sequence[int] | None, steps: int, device: Device
) -> Iterator[NDArray[np.uint8]]:
    for index, point in enumerate(points):
        after = (index + 1) % len(points)
        for turn in range(max(1, steps)):
            share = turn / max(1, steps)
            label = None if labels is None else _label(labels[index], labels[after], share, generator)
            latent = between(point, points[after], share).to(device.torch)
            images = generator(latent, label if label is None else label.to(device.torch))
            yield levels_of(images.float().cpu())[0]


def _label(start: int, end: int, share: float, generator: Generator) -> Tensor:
    """A class, or shares of two of them on the way from one to the other."""
    if share == 0 or start == end:
        return torch.tensor([start])
    shares = torch.zeros(1, generator.shape.classes)
    shares[0, start], shares[0, end] = 1 - share, share
    return shares


def between(start: Tensor, end: Tensor, share: float) -> Tensor:
    """Latent numbers on the great circle from one point to another, as long as they would be in a straight line.

    Normal numbers in many dimensions lie near a sphere; the straight way leads through its middle, where a generator
    has seen nothing.

    Reference:
        White 2016, Sampling generative networks, https://arxiv.org/abs/1609.04468
    """
    if share == 0:
        return start
    cosine = torch.nn.functional.cosine_similarity(start, end).clamp(-1, 1)
    angle = torch.arccos(cosine)
    if float(angle) < SAME or float(angle) > math.pi - SAME:
        return torch.lerp(start, end, share)
    return (torch.sin((1 - share) * angle) * start + torch.sin(share * angle) * end) / torch.sin(angle)


def in_batches(make: Callable[[slice], Tensor], count: int, sizes: Sequence[int]) -> Tensor:
    """What `make` returns for all of `count` samples, one batch after the other; in smaller ones if memory runs out.

    Args:
        make: the result for some of the samples, of which the first axis has as many.
        count: of samples.
        sizes: of batches, from the one wanted to the smallest.
    Raises:
        DeviceError: memory ran out with all of them.
    """

    def run(size: int) -> Tensor:
        return torch.cat([make(slice(start, start + size)) for start in range(0, count, size)])

    return step_down(run, sizes, say=lambda _: None, hint="a smaller --width or --size")


def levels_of(images: Tensor) -> list[NDArray[np.uint8]]:
    """(N, C, S, S) in [0, 1] as (S, S, C) of bytes each."""
    scaled = (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    return list(scaled.contiguous().numpy())


def model_of(generator: Generator, classes: Sequence[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What a file of a generator holds, and says about itself."""
    about: dict[str, Any] = {"shape": generator.shape.as_dict(), "classes": list(classes)}
    return described(generator, "gan", gan=about)


def load_generator(weights: WeightsFile, device: Device) -> tuple[Generator, tuple[str, ...]]:
    """A generator as `train-gan` left it, and the names of its classes.

    Raises:
        WeightsError: the weights are of another network, or do not fit.
    """
    generator, about = load_described(weights, "gan", _generator_of)
    return generator.to(device.torch), tuple(about.get("classes", ()))


def _generator_of(about: Mapping[str, Any]) -> Generator:
    """The network that a file describes.

    Raises:
        ValueError, LookupError, TypeError: it describes none.
    """
    shape, names = GanShape.of(about["shape"]), about.get("classes", ())
    if len(names) != shape.classes or not all(isinstance(name, str) for name in names):
        raise ValueError(f"it names {len(names)} classes of {shape.classes}")
    return Generator(shape)
