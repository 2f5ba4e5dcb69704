"""Adam is torch's Adam, clamped to the box after each step."""

import torch

from imgtool.optim.adam import Adam


def test_takes_the_steps_of_torch():
    generator = torch.Generator().manual_seed(0)
    start = torch.rand(1, 3, 6, 5, generator=generator)
    goal = torch.rand(1, 3, 6, 5, generator=generator) * 2 - 0.5  # in part outside of the box
    theirs = start.clone().requires_grad_()
    reference, ours = torch.optim.Adam([theirs], lr=0.07), Adam(rate=0.07)
    point = start
    for _ in range(40):
        theirs.grad = 2 * (theirs.detach() - goal)
        reference.step()
        with torch.no_grad():
            theirs.clamp_(0, 1)
        before = point.clone()
        following = ours.step(point, 2 * (point - goal))
        assert torch.equal(point, before)
        point = following
        torch.testing.assert_close(point, theirs.detach())
    assert point.min() >= 0 and point.max() <= 1
    assert (point - goal.clamp(0, 1)).abs().max() < 0.1


def test_start_is_left_alone():
    start = torch.full((4,), 0.5)
    optimizer = Adam()
    optimizer.step(optimizer.step(start, torch.ones(4)), torch.ones(4))
    assert (start == 0.5).all()
