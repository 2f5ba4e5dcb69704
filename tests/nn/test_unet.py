import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from imgtool.nn.unet import MAX_WIDTH, UNet


def network_of(channels=1, classes=2, *, width=2, depth=2, norm=True, seed=0):
    torch.manual_seed(seed)
    network = UNet(channels, classes, width=width, depth=depth, norm=norm).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.3)
    return network.requires_grad_(False)


def image_of(network, least=1, *, count=1, seed=1):
    side = network.output_side(least) + 2 * network.halo
    random = torch.Generator().manual_seed(seed)
    return torch.randn(count, network.channels, side, side, generator=random)


@pytest.mark.parametrize(("depth", "halo"), [(1, 8), (2, 20), (3, 44), (4, 92)])
def test_halo(depth, halo):
    """Figure 1 of the paper: 572 pixels go in, 388 come out."""
    network = UNet(width=1, depth=depth)
    assert (network.halo, network.stride) == (halo, 2**depth)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_output_sides_are_all_that_there_are(depth):
    """By the arithmetic of convolutions and poolings, level by level."""
    network = UNet(width=1, depth=depth)

    def comes_out(side):
        sides = []
        for level in range(depth + 1):
            if level:
                if side % 2:
                    return None
                side //= 2
            side -= 4
            if side < 1:
                return None
            sides.append(side)
        for _ in range(depth):
            side = 2 * side - 4
        return side if side > 0 else None

    legal = {}
    for side in range(1, 2 * network.halo + 80):
        if (found := comes_out(side)) is not None:
            assert found == side - 2 * network.halo
            legal[found] = side
    for least in range(-3, max(legal) + 1):
        expected = min((side for side in legal if side >= least), default=None)
        assert network.output_side(least) == expected, least
    if depth == 4:
        assert {side % 16 for side in legal} == {4}


def test_the_papers_sizes():
    with torch.device("meta"):
        network = UNet(1, 2, width=64, depth=4, norm=False)
    assert 388 + 2 * network.halo == 572
    assert network.output_side(388) == 388
    assert sum(each.numel() for each in network.parameters()) == 31_030_658


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_misfits_are_refused(depth):
    network = network_of(depth=depth)
    fitting = network.output_side(1) + 2 * network.halo
    network(torch.rand(1, 1, fitting, fitting + network.stride))
    for side in (1, 2 * network.halo, fitting - 1, fitting + 1, fitting + network.stride - 1):
        with pytest.raises(ValueError, match=f"a side of {side} pixels does not fit, expected"):
            network(torch.rand(1, 1, fitting, side))


def test_expected_side_of_a_refusal_fits():
    network = network_of(depth=2)
    with pytest.raises(ValueError, match="expected for example") as raised:
        network(torch.rand(1, 1, 43, 43))
    side = int(str(raised.value).split()[-1])
    network(torch.rand(1, 1, side, side))


def by_the_paper(network, image):
    """Figure 1 of Ronneberger et al., written down once more."""

    def double(name, features):
        for part in ("first", "second"):
            convolution = network.get_submodule(f"{name}.{part}")
            features = functional.conv2d(features, convolution.weight, convolution.bias)
            norm = network.get_submodule(f"{name}.{part}_norm")
            if network.norm:
                features = (features - norm.running_mean.view(1, -1, 1, 1)) / torch.sqrt(
                    norm.running_var.view(1, -1, 1, 1) + norm.eps
                ) * norm.weight.view(1, -1, 1, 1) + norm.bias.view(1, -1, 1, 1)
            features = features.clamp(min=0)
        return features

    copies, features = [], double("down0", image)
    for level in range(1, network.depth + 1):
        copies.append(features)
        features = double(f"down{level}", functional.max_pool2d(features, 2))
    for level in reversed(range(network.depth)):
        up = network.get_submodule(f"up{level}")
        features = functional.conv_transpose2d(features, up.weight, up.bias, stride=2)
        cut = (copies[level].shape[-1] - features.shape[-1]) // 2
        copy = copies[level][..., cut : copies[level].shape[-2] - cut, cut : copies[level].shape[-1] - cut]
        features = double(f"merge{level}", torch.cat((copy, features), dim=1))
    return functional.conv2d(features, network.head.weight, network.head.bias)


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("depth", [1, 3])
def test_is_the_network_of_the_paper(norm, depth):
    network = network_of(3, 4, depth=depth, norm=norm)
    image = image_of(network, 20, count=2)
    torch.testing.assert_close(network(image), by_the_paper(network, image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_an_output_sees_its_window_and_all_of_it(depth):
    """The smallest one that begins at a multiple of the stride and in which it is made: what tiles rely on."""
    network = network_of(depth=depth, width=3, norm=False).double()
    for parameter in network.parameters():
        parameter.data.abs_().add_(0.1)  # nothing is cut off by a ReLU
    image = image_of(network, 2 * network.stride).double()
    before = network(image)
    for place in range(before.shape[-1]):
        begin = place // network.stride * network.stride
        output = network.output_side(place - begin + 1)
        end = begin + output + 2 * network.halo
        changed = image.clone()
        changed[..., end:] += 9
        changed[..., :begin] += 9
        assert torch.equal(network(changed)[..., place], before[..., place]), place
        for pixel in (begin, end - 1):
            changed = image.clone()
            changed[..., pixel] += 9
            found = network(changed)[..., begin : begin + output]
            assert not torch.equal(found, before[..., begin : begin + output]), (place, pixel)


def test_an_output_changes_with_a_pixel_at_the_end_of_its_halo():
    network = network_of(depth=1, width=3, norm=False)
    for parameter in network.parameters():
        parameter.data.abs_().add_(0.1)
    image = image_of(network, 2).abs()
    before = network(image)
    changed = image.clone()
    changed[..., 0] += 9
    assert not torch.equal(network(changed)[..., 0], before[..., 0])


@pytest.mark.parametrize("classes", [2, 5])
def test_folding_changes_nothing(classes):
    network = network_of(2, classes)
    image = image_of(network, 12)
    folded = network.folded()
    assert not any("norm" in name for name in folded.state_dict())
    assert folded.norm is False
    torch.testing.assert_close(folded(image), network(image), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(folded.folded()(image), folded(image))
    assert network.norm is True
    assert any("norm" in name for name in network.state_dict())


def test_folding_keeps_a_network_in_training_as_it_is():
    network = network_of().train()
    assert network.folded().training is False
    assert network.training is True


def test_statistics_of_images():
    """Each channel after a normalisation has mean 0 and variance 1 over these images, and stays as it was after."""
    network = network_of(width=4)
    before = {name: each.clone() for name, each in network.state_dict().items()}
    images = image_of(network, 30, count=3) * 7 + 2
    own = network.normalised_by(images)
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())
    assert not own.training
    seen = own.down0.first_norm(own.down0.first(images))
    expected = own.down0.first_norm
    torch.testing.assert_close(seen.mean((0, 2, 3)), expected.bias, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(seen.std((0, 2, 3)), expected.weight.abs(), rtol=1e-3, atol=1e-3)
    deep = own.merge0.second_norm
    assert not torch.allclose(deep.running_mean, network.merge0.second_norm.running_mean)
    in_training = network.train()
    torch.testing.assert_close(own(images), in_training(images), rtol=1e-2, atol=1e-2)


def test_statistics_do_not_remember_earlier_images():
    network = network_of(width=4)
    images = image_of(network, 30, count=2)
    again = network.normalised_by(images * 3 + 5).normalised_by(images)
    for name, each in network.normalised_by(images).state_dict().items():
        assert torch.equal(each, again.state_dict()[name]), name


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("depth", [1, 3])
def test_shape_is_read_from_the_weights(norm, depth):
    network = network_of(3, 4, width=5, depth=depth, norm=norm)
    again = UNet.shaped_as(network.state_dict())
    again.load_state_dict(network.state_dict())
    found = (again.channels, again.classes, again.width, again.depth, again.norm)
    assert found == (3, 4, 5, depth, norm)


class Hostile:
    """The weights of a small network, some of which are of another shape."""

    def __init__(self, **changes):
        self.tensors = {
            **network_of().state_dict(),
            **{name.replace("__", "."): torch.empty(shape, device="meta") for name, shape in changes.items()},
        }


@pytest.mark.parametrize(
    "changes",
    [
        {"down0__first__weight": (0, 1, 3, 3)},
        {"down0__first__weight": (MAX_WIDTH + 1, 1, 3, 3)},
        {"down0__first__weight": (10**6, 10**6, 3, 3)},
        {"down0__first__weight": (2, 0, 3, 3)},
        {"down0__first__weight": (2, 10**6, 3, 3)},
        {"down0__first__weight": ()},
        {"down0__first__weight": (2,)},
        {"head__weight": (1, 2, 1, 1)},
        {"head__weight": (10**6, 2, 1, 1)},
        {"head__weight": ()},
    ],
    ids=str,
)
def test_hostile_shapes_are_refused_before_anything_large_is_made(changes, monkeypatch):
    largest = 0
    plain = torch.empty

    def measured(*size, **options):
        nonlocal largest
        made = plain(*size, **options)
        if made.device.type != "meta":
            largest = max(largest, made.numel())
        return made

    monkeypatch.setattr(torch, "empty", measured)
    with pytest.raises((LookupError, ValueError)):
        UNet.shaped_as(Hostile(**changes).tensors)
    assert largest < 10_000


def test_shape_of_other_weights_is_refused():
    with pytest.raises(LookupError):
        UNet.shaped_as({"layer.weight": torch.zeros(1)})
    without_pooling = {
        name: each for name, each in network_of().state_dict().items() if "down0" in name or "head" in name
    }
    with pytest.raises(ValueError, match="0 poolings"):
        UNet.shaped_as(without_pooling)


def test_all_tensors_are_on_the_networks_device():
    """Fake tensors refuse an operation on two devices."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device("cuda"):
            network = UNet(3, 2, width=2, depth=2)
        found = network(torch.rand(1, 3, 44, 44, device="cuda"))
        assert (found.device.type, tuple(found.shape)) == ("cuda", (1, 2, 4, 4))


def test_whole_step_on_the_meta_device():
    with torch.device("meta"):
        network = UNet(1, 3, width=2, depth=2)
        optimizer = torch.optim.AdamW(network.parameters())
        network(torch.empty(2, 1, 44, 44)).sum().backward()
        optimizer.step()
    assert {each.device.type for each in network.state_dict().values()} == {"meta"}
    assert network_of().to("meta").folded().head.weight.device.type == "meta"


def test_halves_make_logits_in_full():
    network = network_of(norm=False).to(torch.bfloat16)
    found = network(image_of(network, 4))
    assert found.dtype == torch.float32
    assert np.isfinite(found.numpy()).all()
