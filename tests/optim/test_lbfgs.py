"""L-BFGS: torch's where it should be the same, scipy's bounded one where it should get to the same place."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from imgtool.optim.lbfgs import LBFGS, identity
from imgtool.optim.pyramid import pyramid_precondition

UNBOUNDED = {"low": -torch.inf, "high": torch.inf}


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def quadratic(size, *, condition=30.0, seed=0):
    """x -> (x - m)^T A (x - m) / 2 with eigenvalues from 1 to `condition`."""
    axes, _ = torch.linalg.qr(random(size, size, seed=seed))
    matrix = (
        axes @ torch.diag(torch.logspace(0, float(np.log10(condition)), size, dtype=torch.float64)) @ axes.T
    )
    middle = random(size, seed=seed + 1) + 0.5
    return lambda x: (x.flatten() - middle) @ matrix @ (x.flatten() - middle) / 2


def valley(x):
    """Rosenbrock's, chained through all variables, with a milder bend."""
    return (10 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def gradient_of(function, point):
    leaf = point.detach().requires_grad_()
    return torch.autograd.grad(function(leaf), leaf)[0]


def walk(optimizer, function, point, steps):
    """The points that an optimizer visits, the start left out."""
    for _ in range(steps):
        point = optimizer.step(point, gradient_of(function, point))
        yield point


@pytest.mark.parametrize("history", [1, 3, 10])
@pytest.mark.parametrize(
    ("function", "start"),
    [(quadratic(12), random(12, seed=5)), (valley, 1 + 0.1 * random(8, seed=2))],
    ids=["quadratic", "valley"],
)
def test_takes_the_steps_of_torch(function, start, history):
    theirs = start.clone().requires_grad_()
    reference = torch.optim.LBFGS(
        [theirs], max_iter=1, history_size=history, tolerance_grad=0, tolerance_change=0
    )

    def closure():
        reference.zero_grad()
        loss = function(theirs)
        loss.backward()
        return loss

    # torch's first step has the length that makes the sum of absolute changes 1.
    assert gradient_of(function, start).abs().sum() > 1
    ours = LBFGS(**UNBOUNDED, history=history, first_step=1 / start.numel())
    for count, point in enumerate(walk(ours, function, start, 25), start=1):
        reference.step(closure)
        torch.testing.assert_close(point, theirs.detach(), rtol=1e-7, atol=1e-9, msg=f"step {count} differs")


def test_minimises_a_valley():
    *_, last = walk(LBFGS(**UNBOUNDED), valley, 1 + 0.1 * random(8, seed=2), 80)
    torch.testing.assert_close(last, torch.ones(8, dtype=torch.float64), atol=1e-6, rtol=0)


@pytest.mark.parametrize("condition", [3, 30, 300])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("precondition", [identity, pyramid_precondition])
def test_finds_the_bounded_minimum(condition, seed, precondition):
    function, shape = quadratic(30, condition=condition, seed=seed), (1, 1, 5, 6)
    start = torch.full(shape, 0.5, dtype=torch.float64)

    def both(x):
        point = torch.from_numpy(x)
        return float(function(point)), gradient_of(function, point).numpy()

    expected = minimize(
        both, np.full(30, 0.5), jac=True, method="L-BFGS-B", bounds=[(0, 1)] * 30, options={"ftol": 0}
    )
    best = min(
        float(function(point)) for point in walk(LBFGS(precondition=precondition), function, start, 150)
    )
    assert 5 < np.isin(expected.x, (0, 1)).sum() < 30  # some rest against the box, some do not
    assert best == pytest.approx(expected.fun, rel=1e-5)


def test_a_preconditioner_that_knows_the_curvature_needs_fewer_steps():
    scales = torch.logspace(0, 4, 40, dtype=torch.float64)

    def function(x):
        return (scales * (x - 0.3) ** 2).sum() / 2

    start = torch.full((40,), 0.6, dtype=torch.float64)
    *_, plain = walk(LBFGS(), function, start, 12)
    *_, helped = walk(LBFGS(precondition=lambda gradient: gradient / scales), function, start, 12)
    assert function(helped) < 1e-9 < function(plain)


@pytest.mark.parametrize("low, high", [(0.0, 1.0), (-2.0, 0.5)])
def test_never_leaves_the_box(low, high):
    """Whatever it is told: here noise of wild sizes."""
    optimizer, point = LBFGS(low=low, high=high), torch.full((50,), low, dtype=torch.float64)
    for seed in range(60):
        point = optimizer.step(point, random(50, seed=seed) * 10.0 ** (seed % 9 - 4))
        assert low <= point.min() and point.max() <= high


@pytest.mark.parametrize("precondition", [identity, pyramid_precondition])
def test_first_step_has_the_length_asked_for(precondition):
    point, gradient = torch.full((1, 3, 8, 9), 0.5), random(1, 3, 8, 9).float()
    moved = LBFGS(precondition=precondition, first_step=0.03).step(point, gradient) - point
    assert float(moved.abs().mean()) == pytest.approx(0.03, rel=1e-5)
    assert (moved * gradient).sum() < 0


def test_a_blind_step_is_taken_again_shorter():
    function, start = quadratic(10), random(10, seed=3)
    optimizer = LBFGS(**UNBOUNDED, first_step=1.0)
    assert not optimizer.is_blind
    far = optimizer.step(start, gradient_of(function, start))
    assert optimizer.is_blind
    near = optimizer.step_shorter(0.25)
    torch.testing.assert_close(near - start, 0.25 * (far - start))
    optimizer.step(near, gradient_of(function, near))
    assert not optimizer.is_blind


def test_concave_functions_teach_no_curvature():
    """Of -x^2 every pair is useless: steps stay as long as the first, and go down."""
    optimizer, point = LBFGS(**UNBOUNDED, first_step=0.02), random(20)
    for _ in range(10):
        following = optimizer.step(point, -2 * point)
        assert float((following - point).abs().mean()) == pytest.approx(0.02)
        assert following.norm() > point.norm()
        point = following


def test_a_useless_pair_leaves_the_others():
    function = quadratic(10)
    optimizer, start = LBFGS(**UNBOUNDED), random(10, seed=3)
    *_, point = walk(optimizer, function, start, 5)
    kept = list(optimizer.pairs)
    here = gradient_of(function, point)
    optimizer.step(point, here)
    count = len(optimizer.pairs)
    optimizer.step(point + 0.1 * here, here - 0.1 * here)  # uphill, and flatter there
    assert kept and len(optimizer.pairs) == count


def test_standing_still_and_no_gradient():
    point = torch.full((5,), 0.5)
    optimizer = LBFGS()
    for _ in range(3):
        assert torch.equal(optimizer.step(point, torch.zeros(5)), point)


def test_arguments_are_left_alone():
    function = quadratic(6)
    optimizer, point = LBFGS(), torch.full((6,), 0.5, dtype=torch.float64)
    for _ in range(4):
        gradient = gradient_of(function, point)
        copies = point.clone(), gradient.clone()
        following = optimizer.step(point, gradient)
        assert torch.equal(point, copies[0]) and torch.equal(gradient, copies[1])
        assert following is not point
        point = following


def test_history_is_bounded():
    optimizer = LBFGS(history=4)
    *_, _ = walk(optimizer, quadratic(10), torch.full((10,), 0.5, dtype=torch.float64), 12)
    assert len(optimizer.pairs) == 4
