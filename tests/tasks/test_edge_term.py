"""Edges kept: the loss is that of the whole map, in tiles too, and a result has the photo's edges."""

import pytest
import torch

from imgtool.nn.hed import HED
from imgtool.runtime.device import select_device
from imgtool.runtime.registry import find_weights
from imgtool.tasks.edge_term import DETECTOR, EDGE_UNIT, edge_term
from imgtool.tasks.load import load_hed


def network_of(decoder, cell):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = HED((3, 4, 5, 6, 7), decoder=decoder, preprocessing="torchvision", cell=cell)
        for name, module in network.named_children():
            torch.nn.init.kaiming_normal_(module.get_parameter("weight"))
            if name.startswith(("side", "fuse")):
                module.get_parameter("weight").data.mul_(0.2)
    return network.eval().requires_grad_(False)


def picture(height, width, seed):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def loss_and_gradient(term, image):
    leaf = image.clone().requires_grad_()
    loss = term.loss(leaf)
    return loss.detach(), torch.autograd.grad(loss, leaf)[0]


def plain(network, content, image, weight):
    """As the definition has it, of a picture whose sides the network takes."""
    leaf = image.clone().requires_grad_()
    wanted, found = (network(each)[:, -1:].sigmoid() for each in (content, leaf))
    loss = weight * EDGE_UNIT * (found - wanted).square().mean()
    return loss.detach(), torch.autograd.grad(loss, leaf)[0]


@pytest.mark.parametrize(("decoder", "cell"), [(0, 1), (3, 2)])
def test_loss_and_gradient_of_the_whole(decoder, cell):
    network, content, image = network_of(decoder, cell), picture(48, 36, 0), picture(48, 36, 1)
    loss, gradient = loss_and_gradient(edge_term(content, network, 2.0), image)
    expected, wanted = plain(network, content, image, 2.0)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))


def test_tiles_are_the_whole():
    network, content, image = network_of(3, 2), picture(330, 35, 0), picture(330, 35, 1)
    (whole, gradient), (tiled, found) = (
        loss_and_gradient(edge_term(content, network, 1.0, tile=tile), image) for tile in (512, 32)
    )
    torch.testing.assert_close(tiled, whole)
    assert float((found - gradient).norm() / gradient.norm()) < 1e-4


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (33, 17)])
def test_sides_that_the_network_does_not_take(size):
    content, image = picture(*size, 0), picture(*size, 1)
    loss, gradient = loss_and_gradient(edge_term(content, network_of(3, 2), 1.0), image)
    assert loss > 0 and gradient.shape == image.shape and gradient.isfinite().all()


def test_nothing_to_lose_at_the_photo():
    content = picture(40, 40, 0)
    loss, gradient = loss_and_gradient(edge_term(content, network_of(3, 2), 1.0), content)
    assert loss == 0 and not gradient.any()


def test_steps_down_the_gradient_of_the_detector_in_the_package():
    """Strokes that are drawn over a square have edges that it has not."""
    network = load_hed(find_weights(DETECTOR), select_device("cpu", "fp32"), gradients=True)
    content = torch.full((1, 3, 64, 64), 0.2)
    content[..., 20:44, 20:44] = 0.8
    strokes = torch.nn.functional.interpolate(picture(8, 8, 3), (64, 64))
    image, term = 0.6 * content + 0.4 * strokes, edge_term(content, network, 1.0)
    first = float(term.loss(image))
    for _ in range(8):
        _, gradient = loss_and_gradient(term, image)
        image = image - 0.005 * gradient / gradient.abs().mean()
    assert float(term.loss(image)) < 0.7 * first
