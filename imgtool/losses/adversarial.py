"""Losses of generative adversarial networks: what the discriminator and the generator minimise.

D is the discriminator's logit; sigma the logistic function.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus


def discriminator_loss(kind: str, real: Tensor, fake: Tensor) -> Tensor:
    """What the discriminator minimises, without penalties.

    Args:
        kind: "minimax" and "nonsaturating": -log sigma(D(x)) - log(1 - sigma(D(G(z)))) (Goodfellow et al. 2014);
            "lsgan": ((D(x) - 1)^2 + D(G(z))^2) / 2 (Mao et al. 2016); "hinge": max(0, 1 - D(x)) + max(0, 1 + D(G(z)))
            (Lim & Ye 2017); "wgan-gp": D(G(z)) - D(x) (Arjovsky et al. 2017).
        real: (N,) logits of real pictures.
        fake: (N,) logits of generated ones.
    Returns:
        The mean, a scalar.
    """
    if kind == "hinge":
        return relu(1 - real).mean() + relu(1 + fake).mean()
    if kind == "lsgan":
        return 0.5 * ((real - 1).square().mean() + fake.square().mean())
    if kind == "wgan-gp":
        return fake.mean() - real.mean()
    return softplus(-real).mean() + softplus(fake).mean()


def generator_loss(kind: str, fake: Tensor) -> Tensor:
    """What the generator minimises.

    Args:
        kind: "minimax": log(1 - sigma(D(G(z)))), whose gradient vanishes while D wins; "nonsaturating":
            -log sigma(D(G(z))); "lsgan": (D(G(z)) - 1)^2 / 2; "hinge" and "wgan-gp": -D(G(z)).
        fake: (N,) logits of generated pictures.
    Returns:
        The mean, a scalar.
    """
    if kind == "minimax":
        return -softplus(fake).mean()
    if kind == "nonsaturating":
        return softplus(-fake).mean()
    if kind == "lsgan":
        return 0.5 * (fake - 1).square().mean()
    return -fake.mean()


def r1_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """Half the mean squared slope of the discriminator at real pictures.

    Args:
        logits: (N,), computed from `images`.
        images: (N, C, H, W), which require a gradient.
    Reference:
        Mescheder et al. 2018, eq. 9. https://arxiv.org/abs/1801.04406
    """
    return 0.5 * _slopes(logits, images).square().sum(dim=1).mean()


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, shares: Tensor
) -> Tensor:
    """Mean squared distance from 1 of the critic's slope between real and generated pictures.

    Args:
        critic: pictures to logits (N,).
        real: (N, C, H, W).
        fake: likewise.
        shares: (N, 1, 1, 1) in [0, 1], where between the two.
    Reference:
        Gulrajani et al. 2017, eq. 3. https://arxiv.org/abs/1704.00028
    """
    between = torch.lerp(real, fake.detach(), shares).requires_grad_()
    lengths: Tensor = _slopes(critic(between), between).norm(dim=1)
    return (lengths - 1).square().mean()


def _slopes(logits: Tensor, images: Tensor) -> Tensor:
    slopes: Tensor = torch.autograd.grad(logits.sum(), images, create_graph=True)[0]
    flat: Tensor = slopes.flatten(1)
    return flat
