"""Further terms: in the objective, whole and in tiles, and in what is told of each step."""

from dataclasses import replace

import pytest
import torch

from imgtool.options.stylize import StylizeOptions
from imgtool.tasks.objective_terms import Term, with_gradient
from imgtool.tasks.style_objective import Style, StyleObjective
from imgtool.tasks.stylize import _evaluate, stylize
from imgtool.tasks.tiled_objective import TiledObjective

OPTIONS = StylizeOptions(
    size=32,
    steps=(3,),
    scales=2,
    content_layers={"conv2_1": 1.0},
    style_layers={"conv1_1": 1.0, "conv2_1": 1.0},
    margin=0,
)


def picture(height, width, seed):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def reddish(_):
    return Term("red", lambda image: 1e6 * (image[:, 0] - 1).square().mean())


def known(_):
    """The same, which has its gradient itself."""

    def loss(image):
        red = image.detach()[:, :1] - 1
        gradient = torch.cat((2e6 * red / red.numel(), torch.zeros_like(image[:, 1:])), dim=1)
        return with_gradient(image, 1e6 * red.square().mean(), gradient)

    return Term("red", loss)


def objectives(network, terms):
    content, styles = picture(48, 40, 0), [Style(picture(40, 30, 2))]
    yield StyleObjective(content, styles, OPTIONS, network, terms=terms)
    yield TiledObjective(content, styles, OPTIONS, network, tile=16, terms=terms)


@pytest.mark.parametrize("make", [reddish, known])
def test_a_term_adds_its_loss_and_its_gradient(network, make):
    image, term = picture(48, 40, 1), make(None)
    leaf = image.clone().requires_grad_()
    (own,) = torch.autograd.grad(term.loss(leaf), leaf)
    for plain, more in zip(objectives(network, []), objectives(network, [term]), strict=True):
        (before, without), (after, gradient) = _evaluate(plain, image), _evaluate(more, image)
        assert before.others == {} and list(after.others) == ["red"]
        assert float(after.others["red"]) == pytest.approx(float(term.loss(image)))
        assert float(after.total) == pytest.approx(float(before.total + after.others["red"]), rel=1e-5)
        torch.testing.assert_close(gradient - without, own, rtol=1e-3, atol=1e-3 * float(own.abs().max()))


def test_whole_runs_name_it_and_follow_it(network):
    content, styles = picture(32, 32, 0), [Style(picture(32, 32, 1))]
    sizes = []

    def make(current):
        sizes.append(tuple(current.shape[-2:]))
        return reddish(current)

    plain = stylize(content, styles, OPTIONS, network=network)
    red = stylize(content, styles, OPTIONS, network=network, terms=[make])
    assert sizes == [(16, 16), (32, 32)]
    assert red.image[:, 0].mean() > plain.image[:, 0].mean() + 0.1
    step = red.history[-1]
    assert list(step.losses) == ["content", "style", "tv", "red"]
    assert step.total == sum(step.losses.values())
    assert step.as_dict()["red"] == step.others["red"]
    assert "red" not in plain.history[-1].as_dict()


def test_no_term_changes_nothing(network):
    content, styles = picture(32, 32, 0), [Style(picture(32, 32, 1))]
    options = replace(OPTIONS, scales=1)
    first, second = (
        stylize(content, styles, options, network=network, **more) for more in ({}, {"terms": []})
    )
    assert torch.equal(first.image, second.image)
