"""The preconditioner: symmetric, positive, and the sum over levels that it claims to be."""

import pytest
import torch
from torch.nn import functional

from imgtool.optim.pyramid import GAIN, LEVELS, pyramid_precondition

SIZES = [(1, 1), (1, 2), (2, 1), (1, 9), (2, 2), (3, 3), (5, 4), (7, 13), (16, 16), (33, 20)]


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("levels", [2, 3, LEVELS, 12])
def test_symmetric_and_positive(size, levels):
    for seed in range(4):
        u, v = random(1, 3, *size, seed=seed), random(1, 3, *size, seed=seed + 100)
        pu, pv = (pyramid_precondition(one, levels=levels) for one in (u, v))
        torch.testing.assert_close((pu * v).sum(), (u * pv).sum())
        assert (pu * u).sum() >= (u * u).sum() > 0
        assert pu.shape == u.shape


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_one_level_is_the_identity(size):
    gradient = random(1, 3, *size)
    assert torch.equal(pyramid_precondition(gradient, levels=1), gradient)


def enlargement(size):
    """The matrix that enlarges a picture of half the `size` (rounded up) to it."""
    half = tuple(-(-side // 2) for side in size)
    basis = torch.eye(half[0] * half[1], dtype=torch.float64).view(-1, 1, *half)
    return functional.interpolate(basis, size=size, mode="bilinear").flatten(1).T, half


@pytest.mark.parametrize("size", [(5, 4), (7, 6), (1, 9), (8, 8)], ids=str)
@pytest.mark.parametrize("levels", [2, 3, 4])
def test_is_the_sum_over_levels(size, levels):
    """sum of gain^2k U_k U_k^T, with each U_k as a plain matrix."""
    places = size[0] * size[1]
    total, down, here = torch.eye(places, dtype=torch.float64), torch.eye(places, dtype=torch.float64), size
    for level in range(1, levels):
        if max(here) == 1:
            break
        matrix, here = enlargement(here)
        down = down @ matrix
        total = total + 0.7 ** (2 * level) * down @ down.T
    basis = torch.eye(places, dtype=torch.float64).view(-1, 1, *size)
    ours = pyramid_precondition(basis, levels=levels, gain=0.7).flatten(1)
    torch.testing.assert_close(ours, total)


def test_is_linear_and_keeps_channels_apart():
    first, second = random(2, 3, 9, 7), random(2, 3, 9, 7, seed=1)
    torch.testing.assert_close(
        pyramid_precondition(2 * first - second),
        2 * pyramid_precondition(first) - pyramid_precondition(second),
    )
    torch.testing.assert_close(pyramid_precondition(first)[1:, 2:], pyramid_precondition(first[1:, 2:]))


def test_broad_colours_move_further_than_texture():
    flat = torch.ones(1, 1, 64, 64, dtype=torch.float64)
    texture = flat.clone()
    texture[..., ::2] = -1
    gains = [float(pyramid_precondition(one).norm() / one.norm()) for one in (flat, texture)]
    assert gains[0] > 20 * gains[1]
    assert (
        0.5 <= GAIN < 1
    )  # the coarsest level weighs most, and the sum stays bounded by 1 / (1 - 4 gain^2 ...)


def test_fp32_and_no_graph():
    gradient = random(1, 3, 15, 17).float().requires_grad_()
    with torch.no_grad():
        result = pyramid_precondition(gradient)
    assert result.dtype == torch.float32 and not result.requires_grad
