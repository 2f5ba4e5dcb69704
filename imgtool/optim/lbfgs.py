"""L-BFGS for pictures: a preconditioner that sees all scales, and a box that keeps colours displayable."""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

# Cosine between step and change of gradient below which a pair says nothing about curvature.
MIN_CURVATURE = 1e-10
DOT_NUMBERS = 1 << 22  # of a product that are in memory at a time


class _Pair(NamedTuple):
    step: Tensor
    change: Tensor
    curvature: Tensor  # step . change, a positive scalar


def identity(gradient: Tensor) -> Tensor:
    """No preconditioning."""
    return gradient


class LBFGS:
    """Limited-memory BFGS without a line search: one gradient, one step.

    Two things set it apart from `torch.optim.LBFGS`. The initial inverse Hessian is `gamma * P` for a symmetric
    positive `precondition` P, with gamma fitted to the newest pair. And every step is projected onto
    [low, high]: values that rest against the box and are pushed out of it do not pull on the others, and a pair is
    formed from the step that was really taken, so that no work goes into colours that will be clipped.

    Args:
        precondition: P, a linear map of gradients; the identity gives the textbook's method.
        low, high: the box; infinite for none.
        history: pairs kept, at two tensors of the picture's size each.
        first_step: mean absolute change of the very first step, before any curvature is known.
    Reference:
        Nocedal & Wright 2006, algorithm 7.4, https://doi.org/10.1007/978-0-387-40065-5; for the values at the box,
        the active set of Bertsekas 1982, "Projected Newton methods", https://doi.org/10.1137/0320018
    """

    def __init__(
        self,
        *,
        precondition: Callable[[Tensor], Tensor] = identity,
        low: float = 0.0,
        high: float = 1.0,
        history: int = 10,
        first_step: float = 0.02,
    ) -> None:
        self.precondition = precondition
        self.low, self.high = low, high
        self.first_step = first_step
        self.pairs: deque[_Pair] = deque(maxlen=history)
        self.last: tuple[Tensor, Tensor] | None = None

    def step(self, point: Tensor, gradient: Tensor) -> Tensor:
        """The next point.

        Args:
            point: where `gradient` was taken; any shape, within the box.
            gradient: of the objective, same shape. It is kept, and overwritten in the next step: large pictures leave
                no room for another.
        Returns:
            A new tensor of the same shape, within the box.
        """
        if self.last is not None:
            before, slope = self.last
            self._remember(point - before, slope.neg_().add_(gradient))  # which is needed no more
            del before, slope
        self.last = (point, gradient)
        held = ((point <= self.low) & (gradient > 0)) | ((point >= self.high) & (gradient < 0))
        # Held values stay out on both sides of the inverse Hessian; left out on one, no minimum is found.
        direction = self._descent(gradient.masked_fill(held, 0)).masked_fill_(held, 0)
        return torch.sub(point, direction, out=direction).clamp_(self.low, self.high)

    @property
    def is_blind(self) -> bool:
        """Whether the last step had no curvature to go by: its length is that of the very first."""
        return self.last is not None and not self.pairs

    def step_shorter(self, share: float) -> Tensor:
        """The last step once more, which was blind, so many times as long; the next point, as of `step`."""
        assert self.last is not None and self.is_blind
        (point, gradient), self.last = self.last, None
        self.first_step *= share
        return self.step(point, gradient)

    def _remember(self, step: Tensor, change: Tensor) -> None:
        curvature = _dot(step, change)
        if curvature > MIN_CURVATURE * step.norm() * change.norm():
            self.pairs.append(_Pair(step, change, curvature))

    def _descent(self, direction: Tensor) -> Tensor:
        """Inverse Hessian times a gradient, which is overwritten, by the two-loop recursion."""
        if not self.pairs:
            smooth = self.precondition(direction)
            return smooth * (self.first_step / smooth.abs().mean().clamp_min(torch.finfo(smooth.dtype).tiny))
        shares = []
        for pair in reversed(self.pairs):
            share = _dot(pair.step, direction) / pair.curvature
            direction.addcmul_(pair.change, -share)
            shares.append(share)
        newest = self.pairs[-1]
        gamma = newest.curvature / _dot(newest.change, self.precondition(newest.change))
        direction = self.precondition(direction)
        direction *= gamma
        for pair, share in zip(self.pairs, reversed(shares), strict=True):
            direction.addcmul_(pair.step, share - _dot(pair.change, direction) / pair.curvature)
        return direction


def _dot(one: Tensor, other: Tensor) -> Tensor:
    """The scalar product, as exact as `torch.sum`, without the product of whole pictures in memory."""
    parts = (torch.split(each.flatten(), DOT_NUMBERS) for each in (one, other))
    return torch.stack([torch.sum(part * its) for part, its in zip(*parts, strict=True)]).sum()
