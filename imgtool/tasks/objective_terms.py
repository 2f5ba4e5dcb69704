"""Further terms of the objective of `stylize`: functions of the picture that is made, each with a name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Term:
    """One more loss.

    It sees the whole picture, also where the objective is worked out in tiles. One that needs much memory for its
    gradient finds it tile by tile and returns both by `with_gradient`.

    Attributes:
        name: what reports call it.
        loss: from an image (1, 3, H, W) in [0, 1] to a scalar, weighted and differentiable.
    """

    name: str
    loss: Callable[[Tensor], Tensor]


# The term for a content (1, 3, H, W) in [0, 1], at each of the sizes that are worked at.
MakeTerm = Callable[[Tensor], Term]


def with_gradient(image: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
    """A scalar whose gradient with regard to an image is known already."""
    found: Tensor = _WithGradient.apply(image, value, gradient)
    return found


class _WithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad * ctx.saved_tensors[0], None, None
