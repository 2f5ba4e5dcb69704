"""Adam for pictures, one gradient a step like `LBFGS`."""

import torch
from torch import Tensor


class Adam:
    """torch's Adam inside the box [0, 1].

    Args:
        rate: learning rate, in units of the picture's range.
    Reference:
        Kingma & Ba 2015. https://arxiv.org/abs/1412.6980
    """

    def __init__(self, *, rate: float = 0.03) -> None:
        self.rate = rate
        self.point: Tensor | None = None

    def step(self, point: Tensor, gradient: Tensor) -> Tensor:
        """The next point, a new tensor of the same shape in [0, 1]."""
        if self.point is None:
            self.point = point.clone()
            self.adam = torch.optim.Adam([self.point], lr=self.rate)
        self.point.grad = gradient
        self.adam.step()
        return self.point.clamp_(0, 1).clone()
