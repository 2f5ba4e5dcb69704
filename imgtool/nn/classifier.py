"""A small classifier of pictures, whose last features but one tell how alike pictures are."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

SMALLEST = 4  # pixels of a side at which convolutions end
MOST = 256  # channels


@dataclass(frozen=True)
class ClassifierShape:
    """All that decides which tensors a classifier has.

    Attributes:
        size: side of pictures, a power of two.
        channels: 1 for grey, 3 for RGB.
        classes: that it tells apart.
        width: channels at full size; they double with each halving.
        features: numbers that a picture becomes before its class is told from them.
    """

    size: int = 32
    channels: int = 1
    classes: int = 10
    width: int = 32
    features: int = 128

    @property
    def widths(self) -> list[int]:
        """Channels from full size down to `SMALLEST` pixels."""
        halvings = int(math.log2(self.size / SMALLEST))
        return [min(MOST, self.width << step) for step in range(halvings + 1)]

    def as_dict(self) -> dict[str, int]:
        """As JSON holds it."""
        return asdict(self)

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "ClassifierShape":
        """The shape that a file tells.

        Raises:
            ValueError: it is none.
        """
        try:
            shape = cls(**found)
        except TypeError as error:
            raise ValueError(str(error)) from error
        if not all(isinstance(each, int) and 1 <= each <= 8192 for each in asdict(shape).values()):
            raise ValueError("a size is no number from 1 to 8192")
        if shape.size < SMALLEST or shape.size & (shape.size - 1):
            raise ValueError(f"size {shape.size} is no power of two from {SMALLEST} on")
        return shape


class Classifier(nn.Module):
    """Convolutions of 3x3 with batch normalisation, two at each size, then two layers over what is left.

    Attributes:
        shape: which network it is.
    """

    def __init__(self, shape: ClassifierShape) -> None:
        super().__init__()
        self.shape = shape
        layers: list[nn.Module] = []
        before = shape.channels
        for index, after in enumerate(shape.widths):
            if index:
                layers.append(nn.MaxPool2d(2))
            for inputs in (before, after) if index else (before,):
                layers += [
                    nn.Conv2d(inputs, after, 3, padding=1, bias=False),
                    nn.BatchNorm2d(after),
                    nn.ReLU(),
                ]
            before = after
        self.blocks = nn.Sequential(*layers)
        self.inside = nn.Linear(before * SMALLEST * SMALLEST, shape.features)
        self.drop = nn.Dropout(0.3)
        self.last = nn.Linear(shape.features, shape.classes)

    def features(self, image: Tensor) -> Tensor:
        """(N, C, size, size) in [0, 1] to (N, D), none below 0."""
        seen: Tensor = self.inside(self.blocks(image * 2 - 1).flatten(1))
        return seen.relu()

    @torch.no_grad()
    def scale_features(self, factor: float) -> None:
        """Make features so many times as large, factor > 0, and tell the same classes from them."""
        for weights in self.inside.parameters():
            weights.mul_(factor)
        self.last.weight.div_(factor)

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, size, size) in [0, 1] to logits (N, classes)."""
        logits: Tensor = self.last(self.drop(self.features(image)))
        return logits.float()
