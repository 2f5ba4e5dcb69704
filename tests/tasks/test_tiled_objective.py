"""The objective tile by tile against the whole: losses and gradients."""

from dataclasses import replace

import pytest
import torch

from imgtool.nn.vgg import VGG
from imgtool.options.stylize import StylizeOptions
from imgtool.tasks.style_objective import Style, StyleObjective
from imgtool.tasks.stylize import _evaluate
from imgtool.tasks.tiled_objective import TiledObjective

LAYERS = {
    "content_layers": {"conv3_1": 1.0},
    "style_layers": {"conv1_1": 1.0, "conv2_1": 0.5, "conv3_2": 1.0},
}
OPTIONS = replace(StylizeOptions(), **LAYERS)


@pytest.fixture(scope="module")
def networks():
    """With a margin and without, in doubles."""
    found = {}
    for margin in (0, 16):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            found[margin] = VGG("vgg19", ("conv1_1", "conv2_1", "conv2_2", "conv3_1"), margin=margin).double()
    return found


def picture(height, width, seed, channels=3):
    random = torch.Generator().manual_seed(seed)
    return torch.rand(1, channels, height, width, generator=random, dtype=torch.float64)


def both(network, size, styles, tile, options=OPTIONS):
    content, image = picture(*size, 0), picture(*size, 1)
    whole = StyleObjective(content, styles, options, network)
    tiled = TiledObjective(content, styles, options, network, tile=tile)
    return _evaluate(whole, image), _evaluate(tiled, image)


@pytest.mark.parametrize("margin", [0, 16])
@pytest.mark.parametrize(("size", "tile"), [((48, 40), 32), ((61, 27), 16), ((1, 70), 48)])
def test_losses_and_gradient_of_the_whole(networks, margin, size, tile):
    (losses, gradient), (ours, found) = both(networks[margin], size, [Style(picture(50, 40, 2))], tile)
    for one, other in zip(ours, losses, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    assert float((found - gradient).norm() / gradient.norm()) < 1e-9


def test_masks_and_mixes(networks):
    left, right = picture(20, 20, 5, 1), picture(30, 20, 6, 1)
    styles = [
        Style(picture(50, 40, 2), 2.0),
        Style(picture(40, 50, 3)),
        Style(picture(40, 40, 4), 1.5, content_mask=left, style_mask=right),
    ]
    (losses, gradient), (ours, found) = both(networks[16], (70, 64), styles, 32)
    torch.testing.assert_close(ours.style, losses.style, rtol=1e-9, atol=0)
    assert float((found - gradient).norm() / gradient.norm()) < 1e-9


def test_fp32_holds_to_1e_4(networks):
    network = networks[16].float()
    content, image = picture(96, 80, 0).float(), picture(96, 80, 1).float()
    styles = [Style(picture(50, 40, 2).float())]
    _, gradient = _evaluate(StyleObjective(content, styles, OPTIONS, network), image)
    _, found = _evaluate(TiledObjective(content, styles, OPTIONS, network, tile=32), image)
    networks[16].double()
    assert float((found - gradient).norm() / gradient.norm()) < 1e-4


@pytest.mark.parametrize("layers", [("conv1_1",), ("conv2_2",), ("conv5_1",)])
def test_reach_is_no_less_than_what_a_place_sees(layers):
    """The gradient of one place of the deepest layer is nothing beyond it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = VGG("vgg19", layers, pool="average")
    image = torch.rand(1, 3, 256, 16, generator=torch.Generator().manual_seed(1)).requires_grad_()
    stride = network.stride(layers[-1])
    features = dict(network.windowed(image))[layers[-1]]
    features[:, :, 128 // stride].sum().backward()
    rows = image.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert 128 - network.reach <= int(rows.min()) and int(rows.max()) < 128 + stride + network.reach
    assert network.reach % 16 == 0


def test_no_smoothness_and_no_content(networks):
    options = replace(OPTIONS, tv_weight=0.0, content_weight=0.0)
    (losses, gradient), (ours, found) = both(networks[0], (48, 48), [Style(picture(50, 40, 2))], 16, options)
    assert float(ours.tv) == 0 == float(losses.tv)
    assert float((found - gradient).norm() / gradient.norm()) < 1e-9
