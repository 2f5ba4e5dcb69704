"""Gram matrices and the losses of Gatys et al. (2016) against a plain float64 reading of their equations."""

import pytest
import torch

from imgtool.losses import gram as module
from imgtool.losses.gram import content_loss, gram_matrix, style_loss

SHAPES = [(1, 3, 4, 5), (2, 5, 3, 3), (1, 1, 1, 1), (3, 4, 1, 7), (1, 6, 7, 1), (1, 2, 5, 7), (2, 8, 4, 4)]


def random(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def plain_gram(features):
    """Eq. 3 for each picture, per place."""
    return torch.einsum("nchw,ndhw->ncd", features, features) / features[0, 0].numel()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
def test_gram_is_the_plain_sum(shape, layout):
    features = random(*shape).to(memory_format=layout)
    torch.testing.assert_close(gram_matrix(features), plain_gram(features))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
def test_gram_gradient(shape, layout):
    features = random(*shape).to(memory_format=layout).requires_grad_()
    weights = random(shape[0], shape[1], shape[1], seed=1)  # not symmetric
    (ours,) = torch.autograd.grad((gram_matrix(features) * weights).sum(), features)
    (plain,) = torch.autograd.grad((plain_gram(features) * weights).sum(), features)
    torch.testing.assert_close(ours, plain)
    assert ours.shape == features.shape


@pytest.mark.parametrize("shape", [(1, 3, 2, 3), (2, 2, 3, 3), (1, 2, 1, 5)], ids=str)
def test_gradcheck(shape):
    features = random(*shape).requires_grad_()
    assert torch.autograd.gradcheck(gram_matrix, features)
    target = random(shape[0], shape[1], shape[1], seed=1)
    assert torch.autograd.gradcheck(lambda x: style_loss(gram_matrix(x), target), features)
    other = random(*shape, seed=1)
    assert torch.autograd.gradcheck(lambda x: content_loss(x, other), features)


@pytest.mark.parametrize("places", [1, 2, 15, 16, 17, 31, 33, 1009, 4096])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
def test_half_precision_is_close(places, dtype):
    """The chunks and what is left of them: every place counts once, and rounding stays that of one."""
    features = random(2, 12, 1, places, dtype=dtype).relu()
    exact = plain_gram(features.double())
    ours = gram_matrix(features)
    assert ours.dtype == torch.float32
    rounding = torch.finfo(dtype).eps
    # Of many places, chunks are rounded apart and their errors cancel.
    assert (ours - exact).norm() / exact.norm() < (0.1 if places > 1000 else 0.3) * rounding


def test_half_precision_sums_in_fp32():
    """4096 equal products would stop growing in a bf16 sum at 256."""
    features = torch.ones(1, 2, 64, 64, dtype=torch.bfloat16)
    assert torch.equal(gram_matrix(features), torch.ones(1, 2, 2))
    assert 64 * 64 % module.CHUNKS == 0


@pytest.mark.parametrize("places", [5, 16, 100])
def test_half_precision_gradient_is_close(places):
    features = random(2, 12, 1, places, dtype=torch.bfloat16).requires_grad_()
    weights = random(2, 12, 12, seed=1)
    wide = features.detach().double().requires_grad_()
    (exact,) = torch.autograd.grad((plain_gram(wide) * weights).sum(), wide)
    (ours,) = torch.autograd.grad((gram_matrix(features) * weights.float()).sum(), features)
    assert ours.dtype == torch.bfloat16
    assert (ours.double() - exact).norm() / exact.norm() < 2 * torch.finfo(torch.bfloat16).eps


def test_gram_is_symmetric_and_positive():
    gram = gram_matrix(random(2, 6, 5, 5))
    torch.testing.assert_close(gram, gram.mT)
    assert torch.linalg.eigvalsh(gram).min() > 0


def test_gram_forgets_where():
    features = random(1, 4, 3, 5)
    shuffled = features.flatten(2)[..., torch.randperm(15, generator=torch.Generator().manual_seed(1))]
    torch.testing.assert_close(gram_matrix(shuffled.view(1, 4, 5, 3)), gram_matrix(features))


def test_gram_does_not_grow_with_the_picture():
    features = random(1, 4, 3, 5)
    torch.testing.assert_close(gram_matrix(features.repeat(1, 1, 2, 3)), gram_matrix(features))


def plain_content(features, target):
    """Eq. 1: a half of the sum over filters i and places j of (F_ij - P_ij)^2."""
    total = 0.0
    for f, p in zip(features.flatten().tolist(), target.flatten().tolist(), strict=True):
        total += (f - p) ** 2
    return total / 2


def plain_style(features, target):
    """Eq. 4 with eq. 3's unscaled Gram matrices: E = 1 / (4 N^2 M^2) sum (G_ij - A_ij)^2."""
    maps, style = features.flatten(2)[0], target.flatten(2)[0]
    (count, places), total = maps.shape, 0.0
    for i in range(count):
        for j in range(count):
            total += float((maps[i] * maps[j]).sum() - (style[i] * style[j]).sum()) ** 2
    return total / (4 * count**2 * places**2)


def test_content_loss_is_equation_1():
    features, target = random(1, 4, 3, 5), random(1, 4, 3, 5, seed=1)
    assert float(content_loss(features, target)) == pytest.approx(plain_content(features, target), rel=1e-12)
    leaf = features.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(content_loss(leaf, target), leaf)
    torch.testing.assert_close(gradient, features - target)  # eq. 2 without its ReLU


def test_style_loss_is_equation_4():
    features, target = random(1, 4, 3, 5), random(1, 4, 5, 3, seed=1)
    ours = style_loss(gram_matrix(features), gram_matrix(target))
    assert float(ours) == pytest.approx(plain_style(features, target), rel=1e-12)


def test_style_gradient_is_equation_6():
    """dE/dF = 1 / (N^2 M^2) (F^T (G - A))^T, without its ReLU."""
    features, target = random(1, 4, 3, 5).requires_grad_(), random(1, 4, 3, 5, seed=1)
    (ours,) = torch.autograd.grad(style_loss(gram_matrix(features), gram_matrix(target)), features)
    maps, style = features.detach().flatten(2)[0], target.flatten(2)[0]
    difference = maps @ maps.T - style @ style.T
    plain = (maps.T @ difference).T / (4**2 * 15**2)
    torch.testing.assert_close(ours.flatten(2)[0], plain)


def test_losses_vanish_on_their_target():
    features = random(1, 4, 3, 5)
    assert content_loss(features, features) == 0
    assert style_loss(gram_matrix(features), gram_matrix(features)) == 0


def test_content_loss_of_half_precision_sums_in_fp32():
    ones = torch.ones(1, 8, 32, 32, dtype=torch.bfloat16)
    loss = content_loss(ones, torch.zeros_like(ones))
    assert loss.dtype == torch.float32 and loss == 4096
