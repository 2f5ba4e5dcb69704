import pytest
import torch
from torch import nn

from imgtool.training.average import MovingAverage


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
