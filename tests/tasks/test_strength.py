"""Strength: how much of the distance between the Gram matrices of photo and style is closed."""

from dataclasses import replace

import pytest
import torch

from imgtool.errors import OptionError
from imgtool.imaging.tensors import resize
from imgtool.nn.vgg import VGG
from imgtool.options.stylize import StylizeOptions
from imgtool.tasks.style_objective import Style, StyleObjective
from imgtool.tasks.stylize import stylize
from imgtool.tasks.tiled_objective import TiledObjective

OPTIONS = StylizeOptions(
    size=32,
    steps=(15,),
    scales=1,
    content_layers={"conv2_1": 1.0},
    style_layers={"conv1_1": 1.0, "conv2_1": 1.0},
    margin=0,
    content_weight=0.02,
    tv_weight=0.0,
)


def picture(seed, height=32, width=24):
    coarse = torch.rand(1, 3, height // 4, width // 4, generator=torch.Generator().manual_seed(seed))
    return resize(coarse, (height, width))


CONTENT, STYLE = picture(1), picture(2, 40, 40)


def left(network, image):
    """The share of the distance to the style that an image leaves."""
    objective = StyleObjective(CONTENT, [Style(STYLE)], OPTIONS, network)
    return float((objective(image).style / objective(CONTENT).style).sqrt())


@pytest.mark.parametrize("strength", [0.25, 0.5, 0.75])
def test_each_strength_closes_its_share(network, strength):
    result = stylize(CONTENT, [Style(STYLE)], replace(OPTIONS, strength=strength), network=network)
    assert 0.97 * (1 - strength) < left(network, result.image) < 1 - strength + 0.06


def test_what_is_reached_pulls_no_more(network):
    objective = StyleObjective(CONTENT, [Style(STYLE)], replace(OPTIONS, strength=0.5), network)
    image = stylize(CONTENT, [Style(STYLE)], replace(OPTIONS, content_weight=0.0), network=network).image
    assert left(network, image) < 0.5
    image.requires_grad_()
    style = objective(image).style
    assert float(style.detach()) == 0 and torch.autograd.grad(style, image)[0].abs().max() == 0


def test_a_photo_that_is_the_style(network):
    objective = StyleObjective(STYLE, [Style(STYLE)], replace(OPTIONS, strength=0.5), network)
    image = STYLE.clone().requires_grad_()
    assert torch.isfinite(torch.autograd.grad(objective(image).total, image)[0]).all()


def test_nothing_is_the_photo_and_no_work(network):
    options = replace(OPTIONS, strength=0.0, init="noise", preserve_color=True, scales=2, steps=(3,))
    result = stylize(CONTENT, [Style(STYLE)], options, network=network)
    assert torch.equal(result.image, CONTENT) and result.steps == (0, 0) and result.history == ()


def test_little_moves_little(network):
    """Smoothness alone would move the photo, whatever the strength."""
    options = replace(OPTIONS, strength=0.001, tv_weight=1e-3, content_weight=1.0)
    result = stylize(CONTENT, [Style(STYLE)], options, network=network)
    full = stylize(CONTENT, [Style(STYLE)], replace(options, strength=1.0), network=network)
    assert (result.image - CONTENT).abs().mean() < 0.05 * (full.image - CONTENT).abs().mean()


def test_all_is_as_without(network):
    first, second = (
        StyleObjective(CONTENT, [Style(STYLE)], options, network)(CONTENT)
        for options in (OPTIONS, replace(OPTIONS, strength=1.0))
    )
    assert [float(term) for term in first[:4]] == [float(term) for term in second[:4]]


def test_regions_begin_where_their_own_part_of_the_photo_is(network):
    mask = torch.zeros(1, 1, 32, 24)
    mask[..., :12] = 1
    options = replace(OPTIONS, strength=1e-6, tv_weight=0.0)
    objective = StyleObjective(CONTENT, [Style(STYLE, content_mask=mask)], options, network)
    full = StyleObjective(CONTENT, [Style(STYLE, content_mask=mask)], replace(options, strength=1.0), network)
    assert float(objective(CONTENT).style) < 1e-9 * float(full(CONTENT).style)


def test_tiles_are_asked_for_the_same():
    network = VGG("vgg19", ("conv1_1", "conv2_1"), margin=16).double()
    content, image = (picture(seed, 48, 32).double() for seed in (3, 4))
    options = replace(OPTIONS, strength=0.3)
    whole = StyleObjective(content, [Style(STYLE.double())], options, network)(image)
    tiled = TiledObjective(content, [Style(STYLE.double())], options, network, tile=32)(image)
    for one, other in zip(whole, tiled, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_refuses(strength):
    with pytest.raises(OptionError, match="--strength: must be from 0 to 1"):
        replace(OPTIONS, strength=strength)
