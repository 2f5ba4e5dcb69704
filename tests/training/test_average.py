import copy

import pytest
import torch
from torch import nn

from imgtool.training.average import Averaged, MovingAverage, decayed


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
        self.optimizer = torch.optim.AdamW(decayed(self.network.parameters(), 0.1))
        self.average = MovingAverage(self.network, 0.9)

    def step(self, number, **more):
        self.descend(self.network(torch.ones(1, 2)).square().sum(), 0.1, number, **more)


def test_network_average_and_optimiser_go_on_together():
    whole, cut = _Line(0), _Line(1)
    for number in range(3):
        whole.step(number)
    cut.load_state(copy.deepcopy(whole.state()))
    for line in (whole, cut):
        line.step(3)
    for ours, theirs in ((whole.network, cut.network), (whole.average.network, cut.average.network)):
        assert torch.equal(ours.weight, theirs.weight)
    assert not torch.equal(whole.network.weight, whole.average.network.weight)


def test_a_long_gradient_is_cut_and_factors_count():
    line = _Line(0)
    weight, bias = line.network.weight, line.network.bias
    line.optimizer = torch.optim.SGD([{"params": [weight], "factor": 2.0}, {"params": [bias]}])
    before = [each.detach().clone() for each in (weight, bias)]
    line.step(0, longest=3e-3)
    slope = 3e-3 / 3**0.5  # of each of the three numbers, as all inputs are 1
    for each, old, rate in zip((weight, bias), before, (0.2, 0.1), strict=True):
        torch.testing.assert_close(
            (each.detach() - old).abs(), torch.full_like(old, rate * slope), rtol=1e-3, atol=0
        )


def test_biases_do_not_decay():
    weights, biases = decayed(nn.Linear(2, 3).parameters(), 0.5)
    assert [each.shape for each in weights["params"]] == [(3, 2)] and weights["weight_decay"] == 0.5
    assert [each.shape for each in biases["params"]] == [(3,)] and biases["weight_decay"] == 0.0
