"""What is trained, and the moving average that follows it: what is trained trembles, its average does not."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

DIRECTIONS = ("._u", "._v")  # of spectral normalisation: means of them would not be of length 1

Network = TypeVar("Network", bound=nn.Module)


class MovingAverage(Generic[Network]):
    """A copy of a network that follows it.

    Early on the average forgets faster, so that it does not remember the random start.

    Args:
        network: the network to follow; the copy is made now.
        decay: share of the average that stays at each update.
    Reference:
        Polyak & Juditsky 1992; Tarvainen & Valpola 2017, https://arxiv.org/abs/1703.01780
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: Network, step: int) -> None:
        """Move towards the network as it is after `step` steps, the first being 1."""
        weight = 1 - min(self.decay, step / (step + 10))
        ours, theirs = self.network.state_dict(), network.state_dict()
        for name, value in ours.items():
            if value.is_floating_point() and not name.endswith(DIRECTIONS):
                value.lerp_(theirs[name], weight)
            else:
                value.copy_(theirs[name])


class Averaged(Generic[Network]):
    """A network that is trained by one optimiser and followed by an average.

    The part of an `imgtool.training.loop.Trainee` that all of these have in common: a step down, and the state.

    Attributes:
        network: that is trained.
        average: that follows it.
        optimizer: of its weights.
    """

    network: Network
    average: MovingAverage[Network]
    optimizer: torch.optim.Optimizer

    def descend(self, loss: Tensor, rate: float, number: int, *, longest: float | None = None) -> None:
        """Step `number`, from 0, down the slope of a loss; the average follows.

        Args:
            loss: a scalar.
            rate: the learning rate; a group of weights with a "factor" takes so many times that.
            number: of the step.
            longest: norm to which a longer gradient is cut.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("factor", 1.0)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if longest is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), longest)
        self.optimizer.step()
        self.average.update(self.network, number + 1)

    def state(self) -> dict[str, Any]:
        """Network, average and optimiser."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.network.load_state_dict(state["network"])
        self.average.network.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])


def decayed(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Weights in two groups for an optimiser: matrices and kernels decay, biases and scales do not."""
    given = list(parameters)
    return [
        {"params": [each for each in given if each.dim() > 1], "weight_decay": weight_decay},
        {"params": [each for each in given if each.dim() <= 1], "weight_decay": 0.0},
    ]
