import pytest
import torch
from safetensors.torch import load_file

from imgtool.nn.alexnet import AlexNet
from imgtool.runtime.registry import find_weights


def test_is_torchvisions_but_for_its_classifier():
    from torchvision.models import alexnet

    torch.manual_seed(0)
    ours, theirs = AlexNet().eval(), alexnet(weights=None).features[:12].eval()
    convolutions = [layer for layer in theirs if isinstance(layer, torch.nn.Conv2d)]
    for number, layer in enumerate(convolutions, start=1):
        ours.get_submodule(f"conv{number}").load_state_dict(layer.state_dict())
    image = torch.rand(2, 3, 64, 64)
    expected = theirs((image - ours.mean) / ours.deviation).mean(dim=(2, 3))
    torch.testing.assert_close(ours(image), expected)


def test_any_size_and_grey():
    network = AlexNet().eval()
    gray = torch.rand(1, 1, 32, 40)
    torch.testing.assert_close(network(gray), network(gray.expand(-1, 3, -1, -1)))
    assert network(torch.rand(2, 3, 8, 8)).shape == (2, 256)


@pytest.mark.weights
def test_real_weights_see_color_and_edges():
    tensors = load_file(find_weights("alexnet").path)
    assert tensors["conv1.weight"].shape == (64, 3, 11, 11)
    network = AlexNet()
    network.load_state_dict(tensors)
    plain, busy = torch.full((1, 3, 64, 64), 0.5), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        seen = [network(image) for image in (plain, plain + 0.05, busy)]
    near, far = (float((seen[0] - other).norm()) for other in seen[1:])
    assert far > 3 * near
