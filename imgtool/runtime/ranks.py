"""Processes that train one network together, as torchrun starts them: each on its own part of every batch."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from imgtool.runtime import processes

Value = TypeVar("Value", float, bool)


@dataclass(frozen=True)
class Ranks:
    """Which process this is, and how many there are. With one, everything here does nothing.

    Attributes:
        rank: from 0; the first one alone writes and talks.
        count: of processes.
        device: of the tensors that are exchanged.
    """

    rank: int = 0
    count: int = 1
    device: torch.device | None = None

    @property
    def first(self) -> bool:
        """Whether this process writes and talks."""
        return self.rank == 0

    def parallel(self, network: nn.Module) -> nn.Module:
        """A network whose gradients are means over all ranks.

        Buffers are left alone, since `share` sends them after a step: a broadcast within it would change what its
        backward pass needs.
        """
        return DistributedDataParallel(network, broadcast_buffers=False) if self.count > 1 else network

    def apart(self, network: nn.Module) -> AbstractContextManager[None]:
        """A block whose backward passes are summed here, to be exchanged with the next one after it."""
        return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()

    def mean(self, tensor: Tensor) -> Tensor:
        """A tensor's mean over all ranks."""
        if self.count == 1:
            return tensor
        summed = tensor.clone()
        distributed.all_reduce(summed)
        return summed / self.count

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Give all ranks the tensors of the first."""
        if self.count > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def told(self, value: Value) -> Value:
        """The value that the first rank has."""
        if self.count == 1:
            return value
        shared = torch.tensor([float(value)], dtype=torch.float64, device=self.device)
        distributed.broadcast(shared, 0)
        return type(value)(shared.item())

    def wait(self) -> None:
        """Until all ranks are here."""
        if self.count > 1:
            distributed.barrier()


ALONE = Ranks()


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """All processes that torchrun started, for as long as the block lasts.

    Args:
        device: of this one; it decides how they talk.
    """
    if processes.count() == 1:
        yield ALONE
        return
    backend = distributed.get_default_backend_for_device(device)
    distributed.init_process_group(backend)
    place = torch.device("cpu") if backend == "gloo" else device
    try:
        yield Ranks(distributed.get_rank(), distributed.get_world_size(), place)
    finally:
        distributed.destroy_process_group()
