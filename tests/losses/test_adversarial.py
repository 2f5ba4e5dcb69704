import math

import pytest
import torch

from imgtool.losses.adversarial import discriminator_loss, generator_loss, gradient_penalty, r1_penalty

REAL, FAKE = torch.tensor([2.0, -0.5]), torch.tensor([-1.5, 0.25])


def sigma(x):
    return 1 / (1 + math.exp(-x))


def mean(values):
    return sum(values) / len(values)


def test_cross_entropy_of_goodfellow():
    expected = mean([-math.log(sigma(x)) for x in REAL.tolist()])
    expected += mean([-math.log(1 - sigma(x)) for x in FAKE.tolist()])
    for kind in ("minimax", "nonsaturating"):
        assert float(discriminator_loss(kind, REAL, FAKE)) == pytest.approx(expected, rel=1e-6)
    minimax = mean([math.log(1 - sigma(x)) for x in FAKE.tolist()])
    assert float(generator_loss("minimax", FAKE)) == pytest.approx(minimax, rel=1e-6)
    other = mean([-math.log(sigma(x)) for x in FAKE.tolist()])
    assert float(generator_loss("nonsaturating", FAKE)) == pytest.approx(other, rel=1e-6)


def test_the_others():
    assert float(discriminator_loss("hinge", REAL, FAKE)) == pytest.approx(mean([0, 1.5]) + mean([0, 1.25]))
    assert float(generator_loss("hinge", FAKE)) == pytest.approx(0.625)
    squares = (mean([1, 2.25]) + mean([2.25, 0.0625])) / 2
    assert float(discriminator_loss("lsgan", REAL, FAKE)) == pytest.approx(squares)
    assert float(generator_loss("lsgan", FAKE)) == pytest.approx(mean([6.25, 0.5625]) / 2)
    assert float(discriminator_loss("wgan-gp", REAL, FAKE)) == pytest.approx(-0.625 - 0.75)
    assert float(generator_loss("wgan-gp", FAKE)) == pytest.approx(0.625)


@pytest.mark.parametrize("kind", ["minimax", "nonsaturating", "lsgan", "hinge", "wgan-gp"])
def test_both_pull_where_they_should(kind):
    real, fake = (torch.full((3,), 0.3, requires_grad=True) for _ in range(2))
    discriminator_loss(kind, real, fake).backward()
    assert (real.grad < 0).all() and (fake.grad > 0).all()  # a smaller loss: real up, fake down
    logits = torch.zeros(3, requires_grad=True)
    generator_loss(kind, logits).backward()
    assert (logits.grad < 0).all()


def test_minimax_gives_a_losing_generator_little():
    """Which is why the other loss is used: Goodfellow et al. 2014, section 3."""
    slopes = {}
    for kind in ("minimax", "nonsaturating"):
        logits = torch.full((1,), -8.0, requires_grad=True)
        generator_loss(kind, logits).backward()
        slopes[kind] = abs(float(logits.grad))
    assert slopes["minimax"] < 1e-3 < 0.9 < slopes["nonsaturating"]


def test_penalties_of_a_linear_critic():
    weight = torch.tensor([[3.0, 4.0], [0.0, 0.0]]).view(1, 1, 2, 2)  # its slope has length 5 everywhere
    images = torch.rand(4, 1, 2, 2, requires_grad=True)
    logits = (images * weight).sum(dim=(1, 2, 3))
    assert float(r1_penalty(logits, images)) == pytest.approx(12.5)
    shares = torch.rand(4, 1, 1, 1)
    penalty = gradient_penalty(
        lambda image: (image * weight).sum(dim=(1, 2, 3)), images.detach(), images * 2, shares
    )
    assert float(penalty) == pytest.approx(16.0)


def test_penalty_trains_the_critic():
    layer = torch.nn.Linear(4, 1)
    images = torch.rand(3, 1, 2, 2, requires_grad=True)
    r1_penalty(layer(images.flatten(1)).squeeze(1), images).backward()
    torch.testing.assert_close(layer.weight.grad, layer.weight.detach())  # of half the squared norm
