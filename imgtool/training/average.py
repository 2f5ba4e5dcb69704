"""Moving average of a network's weights: what is trained trembles, its average does not."""

import copy
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


class MovingAverage:
    """A copy of a network that follows it.

    Early on the average forgets faster, so that it does not remember the random start.

    Args:
        network: the network to follow; the copy is made now.
        decay: share of the average that stays at each update.
    Reference:
        Polyak & Juditsky 1992; Tarvainen & Valpola 2017, https://arxiv.org/abs/1703.01780
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards the network as it is after `step` steps, the first being 1."""
        weight = 1 - min(self.decay, step / (step + 10))
        ours, theirs = self.network.state_dict(), network.state_dict()
        for name, value in ours.items():
            if value.is_floating_point():
                value.lerp_(theirs[name], weight)
            else:
                value.copy_(theirs[name])


class Averaged(Generic[Network]):
    """What is trained and followed by an average: its state, for `imgtool.training.loop.Trainee`.

    Attributes:
        network: that is trained.
        average: that follows it.
        optimizer: of its weights.
    """

    network: Network
    average: MovingAverage
    optimizer: torch.optim.Optimizer

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
