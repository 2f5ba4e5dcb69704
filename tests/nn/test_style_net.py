import pytest
import torch
from torch.nn import functional

from imgtool.nn.style_net import ConditionalNorm, Statistics, StyleNet, _smooth


@pytest.fixture
def network():
    """Of two styles that differ."""
    torch.manual_seed(0)
    network = StyleNet(2, width=4, blocks=2).eval().requires_grad_(False)
    for name, parameter in network.named_parameters():
        if name.endswith(("norm.scale", "norm.shift")):
            parameter.add_(0.4 * torch.randn(parameter.shape))
    return network


@pytest.fixture
def image():
    return torch.rand(1, 3, 32, 44, generator=torch.Generator().manual_seed(1))


FIRST, SECOND = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])


def test_result_is_an_image_of_the_same_size(network, image):
    result = network(image, FIRST)
    assert result.shape == image.shape and result.dtype == torch.float32
    assert result.min() >= 0 and result.max() <= 1


def test_norm_by_the_definition():
    """Equation 5 of Dumoulin et al.: z = gamma_s (x - mean) / deviation + beta_s."""
    norm = ConditionalNorm(2, 3)
    torch.nn.init.normal_(norm.scale)
    torch.nn.init.normal_(norm.shift)
    features = torch.randn(1, 3, 6, 7)
    mean, deviation = features.mean((2, 3), keepdim=True), features.std((2, 3), keepdim=True, correction=0)
    expected = norm.scale[1].view(1, 3, 1, 1) * (features - mean) / deviation + norm.shift[1].view(1, 3, 1, 1)
    torch.testing.assert_close(norm(features, SECOND), expected, atol=1e-4, rtol=1e-4)


def test_given_statistics_are_those_of_the_whole():
    norm, features = ConditionalNorm(2, 3), torch.randn(1, 3, 9, 8)
    given = Statistics(features.mean((0, 2, 3)), features.var((0, 2, 3), correction=0))
    torch.testing.assert_close(norm(features, FIRST, given), norm(features, FIRST))
    torch.testing.assert_close(norm(features[:, :, :4], FIRST, given), norm(features, FIRST)[:, :, :4])


def test_styles_differ_and_blend(network, image):
    one, other = network(image, FIRST), network(image, SECOND)
    assert (one - other).abs().mean() > 0.01
    mixed = network(image, torch.tensor([0.5, 0.5]))
    assert (mixed - one).abs().mean() < (other - one).abs().mean()
    assert not torch.allclose(mixed, one) and not torch.allclose(mixed, other)


def test_mirrored_picture_has_a_mirrored_border(network):
    """Zeros around features would draw a frame: a plain picture has a plain result, up to its border."""
    result = network(torch.full((1, 3, 32, 32), 0.7), FIRST)
    pattern = functional.pixel_unshuffle(result, 2)
    assert (pattern[..., 1:, 1:].amax((2, 3)) - pattern[..., 1:, 1:].amin((2, 3))).max() < 1e-5


def test_no_checkerboard_in_what_is_plain(network):
    """Whatever the last layer draws in a square of pixels, their averages are alike."""
    squares = torch.rand(1, 12, 1, 1, generator=torch.Generator().manual_seed(2)).expand(1, 12, 8, 8)
    smooth = _smooth(functional.pixel_shuffle(squares, 2))[..., 2:, 2:]
    assert (smooth.amax((2, 3)) - smooth.amin((2, 3))).max() < 1e-6


def test_shape_is_read_from_weights(network):
    again = StyleNet.shaped_as(network.state_dict())
    assert (again.styles, again.width, again.blocks) == (2, 4, 2)
    again.load_state_dict(network.state_dict())
    with pytest.raises(KeyError):
        StyleNet.shaped_as({})
