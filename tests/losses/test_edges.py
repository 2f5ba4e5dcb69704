import pytest
import torch

from imgtool.losses.edges import LEAST_SHARE, OUTSIDE, balanced_cross_entropy, soft_cross_entropy


def by_the_equation(logits, consensus, threshold, negative_weight):
    """Equation 2 of Xie & Tu, pixel by pixel, of one picture and output."""
    pairs = [
        (float(p), float(c))
        for p, c in zip(torch.sigmoid(logits).flatten(), consensus.flatten(), strict=True)
    ]
    edges = [p for p, c in pairs if c > threshold]
    others = [p for p, c in pairs if c == 0]
    total = len(edges) + len(others)
    shares = max(len(edges), LEAST_SHARE * total) / total, len(others) / total
    loss = -shares[1] * sum(torch.tensor(p, dtype=torch.float64).log() for p in edges)
    loss -= negative_weight * shares[0] * sum(torch.tensor(1 - p, dtype=torch.float64).log() for p in others)
    return loss / total


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 8, 9, generator=generator)
    shares = torch.tensor([0.0, 0.0, 0.0, 0.2, 0.4, 1.0, OUTSIDE])
    return logits, shares[torch.randint(7, (2, 1, 8, 9), generator=generator)]


def test_equation(batch):
    logits, consensus = batch
    expected = [
        sum(by_the_equation(logits[n, k], consensus[n, 0], 0.3, 1.1) for n in range(2)) / 2 for k in range(3)
    ]
    assert balanced_cross_entropy(logits, consensus) == pytest.approx(torch.tensor(expected), rel=1e-5)


def test_gradient_leaves_out_what_is_disputed_or_outside(batch):
    logits, consensus = batch
    logits.requires_grad_()
    balanced_cross_entropy(logits, consensus).sum().backward()
    silent = ((consensus > 0) & (consensus <= 0.3) | (consensus == OUTSIDE)).expand_as(logits)
    assert (logits.grad[silent] == 0).all()
    assert (logits.grad[(consensus == 0).expand_as(logits)] > 0).all()
    assert (logits.grad[(consensus > 0.3).expand_as(logits)] < 0).all()


def test_edges_weigh_as_much_as_the_rest():
    consensus = torch.zeros(1, 1, 10, 10)
    consensus[..., :2] = 1
    logits = torch.zeros(1, 1, 10, 10, requires_grad=True)
    balanced_cross_entropy(logits, consensus, negative_weight=1).sum().backward()
    assert logits.grad.sum() == pytest.approx(0, abs=1e-7)


def test_a_picture_without_edges_teaches_that_there_are_none():
    logits = torch.zeros(1, 1, 4, 4, requires_grad=True)
    balanced_cross_entropy(logits, torch.zeros(1, 1, 4, 4)).sum().backward()
    assert (logits.grad > 0).all()


def test_all_outside_is_finite():
    assert balanced_cross_entropy(torch.randn(1, 2, 4, 4), torch.full((1, 1, 4, 4), OUTSIDE)).tolist() == [
        0,
        0,
    ]


def test_soft_target_is_the_minimum():
    target = torch.tensor([[[[0.2, 0.9], [0.5, 0.7]]]])
    logits = torch.logit(target).requires_grad_()
    soft_cross_entropy(logits, target, torch.ones_like(target)).sum().backward()
    assert logits.grad.abs().max() < 1e-7
