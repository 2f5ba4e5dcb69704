import pytest
import torch

from imgtool.nn.captcha_reader import FRAME, CaptchaReader, rows, standardised

SMALL = {"widths": (4, 6, 6, 8), "hidden": 5}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return CaptchaReader(7, **SMALL).eval()


def images(count=2, height=60, width=160, seed=1):
    return torch.rand(count, 1, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("width", [8, 16, 152, 160, 320])
def test_a_frame_is_eight_pixels(network, width):
    assert network(images(width=width)).shape == (2, width // FRAME, 7)


@pytest.mark.parametrize("height", [16, 17, 31, 60, 61, 97])
def test_any_even_height(height):
    height += height % 2
    network = CaptchaReader(3, height=height, **SMALL).eval()
    assert network(images(height=height, width=24)).shape == (2, 3, 3)
    assert network.flat.in_features == 8 * rows(height)


def test_size_of_the_default():
    count = sum(each.numel() for each in CaptchaReader(33).parameters())
    assert 0.5e6 < count < 1.4e6  # in halves below 3 MB


@pytest.mark.parametrize("shape", [(1, 1, 60, 12), (1, 1, 58, 16), (1, 1, 62, 16)])
def test_refuses_what_does_not_fit(network, shape):
    with pytest.raises(ValueError, match="a multiple of 8"):
        network(torch.zeros(shape))


def test_brightness_and_contrast_do_not_matter(network):
    image = images()
    with torch.no_grad():
        assert torch.allclose(network(image), network(0.3 * image + 0.5), atol=1e-4)


def test_standardised():
    found = standardised(images(count=3))
    assert torch.allclose(found.mean(dim=(1, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(found.std(dim=(1, 2, 3)), torch.ones(3), atol=1e-3)
    assert (standardised(torch.full((1, 1, 4, 4), 0.7)) == 0).all()


def test_pictures_are_read_apart(network):
    image = images(count=3)
    with torch.no_grad():
        together = network(image)
        for index in range(3):
            assert torch.allclose(together[index], network(image[index : index + 1])[0], atol=1e-5)


def test_an_early_frame_sees_the_whole_line(network):
    """By the recurrent layers; the early head sees its surroundings alone."""
    image = images(count=1).requires_grad_()
    early, after = network.heads(network.frames(image))
    (gradient,) = torch.autograd.grad(after[0, 0].sum(), image, retain_graph=True)
    assert gradient[..., -FRAME:].abs().max() > 0
    # What all pixels share, mean and deviation, is taken out of the gradient by an image that is normal already.
    (near,) = torch.autograd.grad(early[0, 0].sum(), image)
    assert near[..., -FRAME:].abs().max() < 1e-2 * near[..., :FRAME].abs().max()


def test_bf16_agrees(network):
    image = images()
    with torch.no_grad():
        expected = network(image)
        with torch.autocast("cpu", torch.bfloat16):
            frames = network.frames(image)
        found = network.heads(frames)[1]
    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, atol=0.05)


def test_learns_on_the_meta_device():
    with torch.device("meta"):
        network = CaptchaReader(7, **SMALL)
        early, after = network.heads(network.frames(torch.zeros(2, 1, 60, 40)))
        (early.sum() + after.sum()).backward()
    assert all(each.grad is not None for each in network.parameters())


def test_shaped_as_its_weights(network):
    again = CaptchaReader.shaped_as(network.state_dict(), height=60)
    assert (again.widths, again.hidden, again.classes) == (network.widths, 5, 7)
    again.load_state_dict(network.state_dict())


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("conv0.weight", (0, 4, 3, 3)),
        ("conv2.weight", (5000, 6, 3, 3)),
        ("head.weight", (7, 1 << 20)),
        ("head.weight", (1, 10)),
    ],
)
def test_refuses_weights_of_other_sizes(network, name, shape):
    tensors = {**network.state_dict(), name: torch.empty(shape, device="meta")}
    with pytest.raises(ValueError):
        CaptchaReader.shaped_as(tensors, height=60)


@pytest.mark.parametrize("height", [0, -60, 7, 100_000])
def test_refuses_senseless_heights(network, height):
    with pytest.raises(ValueError, match="height"):
        CaptchaReader.shaped_as(network.state_dict(), height=height)


def test_refuses_weights_of_another_network():
    with pytest.raises(LookupError):
        CaptchaReader.shaped_as({"fuse.weight": torch.zeros(1)}, height=60)
