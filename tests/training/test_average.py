import copy

import pytest
import torch
from torch import nn

from imgtool.training.average import Averaged, MovingAverage


def test_forgets_the_start_and_then_remembers():
    network = nn.Linear(1, 1)
    network.weight.data.fill_(-100)
    average = MovingAverage(network, decay=0.9)
    network.weight.data.fill_(5)
    for step in range(1, 200):
        average.update(network, step)
    assert average.network.weight.item() == pytest.approx(5, abs=1e-3)
    network.weight.data.fill_(6)
    average.update(network, 200)
    assert average.network.weight.item() == pytest.approx(5.1, abs=1e-3)


def test_counts_are_copied():
    network = nn.BatchNorm1d(2)
    average = MovingAverage(network, decay=0.9)
    network(torch.rand(4, 2))
    average.update(network, 1)
    assert average.network.num_batches_tracked == 1


class _Line(Averaged[nn.Linear]):
    def __init__(self, seed):
        torch.manual_seed(seed)
        self.network = nn.Linear(2, 1)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=0.1)
        self.average = MovingAverage(self.network, 0.9)

    def step(self, number):
        self.optimizer.zero_grad()
        self.network(torch.ones(1, 2)).square().sum().backward()
        self.optimizer.step()
        self.average.update(self.network, number)


def test_network_average_and_optimiser_go_on_together():
    whole, cut = _Line(0), _Line(1)
    for number in (1, 2, 3):
        whole.step(number)
    cut.load_state(copy.deepcopy(whole.state()))
    for line in (whole, cut):
        line.step(4)
    for ours, theirs in ((whole.network, cut.network), (whole.average.network, cut.average.network)):
        assert torch.equal(ours.weight, theirs.weight)
    assert not torch.equal(whole.network.weight, whole.average.network.weight)
