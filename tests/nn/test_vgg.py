"""VGG features against plain modules, numbers by hand, and for the real weights a convolution of scipy."""

from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.ndimage import correlate
from torch import nn
from torch.nn import functional

from imgtool.nn.vgg import VGG, average_pool, max_pool
from imgtool.options.stylize import VGG_CONVOLUTIONS, vgg_layers
from imgtool.runtime.registry import find_weights

# Simonyan & Zisserman 2014, table 1, columns D and E, typed again.
PLAN = {
    "vgg16": [64, 64, "P", 128, 128, "P", *[256] * 3, "P", *[512] * 3, "P", *[512] * 3],
    "vgg19": [64, 64, "P", 128, 128, "P", *[256] * 4, "P", *[512] * 4, "P", *[512] * 4],
}
ALL = {name: vgg_layers(name) for name in VGG_CONVOLUTIONS}


def network(name="vgg19", layers=("conv1_1", "conv2_1"), **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return VGG(name, layers, **options).eval()


def picture(height, width, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, height, width, generator=generator, dtype=torch.float64).to(dtype)


@pytest.fixture(scope="module", params=PLAN)
def whole(request):
    """A network with all its layers; making one takes long."""
    return request.param, network(request.param, ALL[request.param])


def plain_features(vgg, name, image):
    """Features by layer through torch.nn modules with the same weights; `image` is already normalised."""
    pooling = {max_pool: nn.MaxPool2d, average_pool: nn.AvgPool2d}[vgg.pool]
    names, found, features = iter(ALL[name]), {}, image
    for width in PLAN[name]:
        if width == "P":
            features = pooling(2, 2, ceil_mode=True)(features)
            continue
        layer = next(names)
        convolution = nn.Conv2d(features.shape[1], width, 3, padding=1, device="meta")
        convolution.weight, convolution.bias = vgg.get_submodule(layer).parameters()
        with torch.no_grad():
            features = found[layer] = nn.Sequential(convolution, nn.ReLU())(features)
    return found


@pytest.mark.parametrize("pool", [max_pool, average_pool])
@pytest.mark.parametrize("size", [(16, 32), (15, 17)], ids=str)
def test_every_layer_equals_plain_modules(whole, pool, size, monkeypatch):
    name, vgg = whole
    monkeypatch.setattr(vgg, "pool", pool)
    image = picture(*size)
    features = vgg(image)
    plain = plain_features(vgg, name, vgg.normalise(image))
    assert list(features) == list(ALL[name]) and len(plain) == sum(VGG_CONVOLUTIONS[name])
    for layer, expected in plain.items():
        torch.testing.assert_close(features[layer], expected, rtol=1e-4, atol=1e-5, msg=f"{layer} differs")
    assert features[ALL[name][-1]].std() > 0


def test_caffe_preprocessing_by_hand():
    image = torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1)
    blue, green, red = network(preprocessing="caffe").normalise(image).flatten().tolist()
    assert (blue, green, red) == pytest.approx((0 - 103.939, 127.5 - 116.779, 255 - 123.68), abs=1e-4)


def test_torchvision_preprocessing_by_hand():
    image = torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1)
    red, green, blue = network(preprocessing="torchvision").normalise(image).flatten().tolist()
    expected = ((1 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0 - 0.406) / 0.225)
    assert (red, green, blue) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (2, 3), (16, 16), (33, 1)], ids=str)
def test_sizes(whole, size):
    for layer, features in whole[1](picture(*size)).items():
        block = int(layer[4])
        stride = 2 ** (block - 1)
        assert features.shape == (
            1,
            (64, 128, 256, 512, 512)[block - 1],
            *(-(-side // stride) for side in size),
        )
        assert torch.isfinite(features).all() and (features >= 0).all()


def test_pooling_by_hand():
    """An identity in front of the pooling: what conv2_1 is given is known."""
    for pool, expected in (("max", [4.0, 5.0]), ("average", [2.5, 5.0])):
        vgg = network(layers=("conv2_1",), pool=pool)
        for convolution in vgg.children():
            nn.init.zeros_(convolution.bias)
            nn.init.dirac_(convolution.weight)
        image = torch.zeros(1, 3, 2, 3)
        image[0, 2] = torch.tensor([[1.0, 2, 5], [3, 4, 5]])
        given = (image / vgg.scale + vgg.mean).float()  # undone by normalise, which turns blue to the front
        assert vgg(given)["conv2_1"][0, 0].flatten().tolist() == pytest.approx(expected, abs=1e-4)


def test_only_what_is_asked_for():
    vgg = network(layers=("conv2_2", "conv1_1"))
    assert set(vgg(picture(8, 8))) == {"conv2_2", "conv1_1"}
    assert list(vgg.state_dict()) == [
        f"{layer}.{part}"
        for layer in ("conv1_1", "conv1_2", "conv2_1", "conv2_2")
        for part in ("weight", "bias")
    ]


@pytest.mark.parametrize("asked", [("conv1_1", "conv1_2", "conv2_1"), ("conv1_2",), ("conv2_1", "conv2_2")])
def test_asking_for_more_changes_nothing(asked):
    """Where a layer is not asked for its ReLU works in place; what is kept must not be touched by it."""
    image, everything = picture(9, 7), network(layers=("conv1_1", "conv1_2", "conv2_1", "conv2_2"))
    some = network(layers=asked)
    some.load_state_dict({key: everything.state_dict()[key] for key in some.state_dict()})
    expected = everything(image)
    for layer, features in some(image).items():
        assert torch.equal(features, expected[layer])


def test_gradient_reaches_the_picture():
    """Against finite differences."""
    vgg = network(layers=("conv1_1", "conv2_1")).double()
    image = picture(4, 5, dtype=torch.float64).requires_grad_()

    def total(image):
        return sum((features / 100).tanh().mean() for features in vgg(image).values())

    (gradient,) = torch.autograd.grad(total(image), image)
    direction = picture(4, 5, seed=1, dtype=torch.float64) - 0.5
    step = 1e-7 * direction
    with torch.no_grad():
        slope = (total(image + step) - total(image - step)) / 2e-7
    assert float(slope) == pytest.approx(float((gradient * direction).sum()), rel=1e-5)


def test_is_frozen():
    assert not any(parameter.requires_grad for parameter in network().parameters())


def test_the_picture_is_left_alone():
    image = picture(6, 6)
    before = image.clone()
    network(preprocessing="torchvision")(image)
    assert torch.equal(image, before)


def test_half_precision_network_normalises_in_fp32():
    """124 / 255 in bf16 would be off by a level; the picture comes in fp32 and is rounded once."""
    image = picture(8, 8)
    half = network()
    for convolution in half.children():
        convolution.bfloat16()
    assert torch.equal(half.normalise(image), network().normalise(image).bfloat16())
    features = half(image)["conv2_1"]
    exact = network()(image)["conv2_1"]
    assert features.dtype == torch.bfloat16
    assert (features - exact).norm() / exact.norm() < 0.02


@pytest.mark.parametrize("layers", [("conv6_1",), ("relu1_1",), ("conv1_1", "conv3_4"), ()])
def test_unknown_layers_are_refused(layers):
    with pytest.raises(ValueError, match=r"vgg16 has no layer|no layer asked for"):
        VGG("vgg16", layers)


def test_batches_are_independent():
    vgg, first, second = network(), picture(7, 6), picture(7, 6, seed=1)
    both = vgg(torch.cat([first, second]))
    for layer, features in vgg(second).items():
        torch.testing.assert_close(both[layer][1:], features)


# Mean, deviation and share of active values that a float64 network of numpy alone (sliding windows, einsum)
# gives for `synthetic(32, 32)`.
PINNED = {
    "conv1_1": (52.276, 77.9, 0.5009),
    "conv2_1": (300.49, 457.33, 0.5174),
    "conv3_1": (359.77, 654.08, 0.4755),
    "conv4_1": (1765.1, 2487.1, 0.5486),
    "conv4_2": (1055.4, 2025.9, 0.4016),
    "conv5_1": (236.36, 508.05, 0.3613),
    "conv5_4": (7.9354, 30.572, 0.1191),
}


def synthetic(height, width):
    """A ramp, a step and a checkerboard, as (1, 3, H, W) in [0, 1]."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    ramp, step = (x * 7 + y * 3) % 32 / 31, (y >= height // 2) * 0.8 + 0.1
    return torch.stack([ramp, step, (x // 4 + y // 4) % 2]).double()[None]


@pytest.fixture(scope="module")
def tensors():
    """The real weights as (name -> array), and the network that has them."""
    path = find_weights("vgg19").path
    vgg = network("vgg19", tuple(PINNED))
    vgg.load_state_dict(
        {name: tensor for name, tensor in load_file(path).items() if name in vgg.state_dict()}
    )
    return {name: array.double().numpy() for name, array in load_file(path).items()}, vgg


@pytest.mark.weights
def test_real_weights_give_the_pinned_statistics(tensors):
    features = tensors[1](synthetic(32, 32).float())
    for layer, (mean, deviation, active) in PINNED.items():
        found = features[layer]
        assert float(found.mean()) == pytest.approx(mean, rel=2e-4), layer
        assert float(found.std(correction=0)) == pytest.approx(deviation, rel=2e-4), layer
        assert float((found > 0).double().mean()) == pytest.approx(active, abs=2e-4), layer


@pytest.mark.weights
def test_real_weights_by_scipy(tensors):
    """conv1_1, conv1_2, the pooling and a few maps of conv2_1, by scipy's correlation from sRGB on."""
    arrays, vgg = tensors

    def convolved(maps, layer, count):
        kernels, biases = arrays[f"{layer}.weight"][:count], arrays[f"{layer}.bias"][:count]
        sums = [sum(map(partial(correlate, mode="constant"), maps, kernel)) for kernel in kernels]
        return np.maximum(np.stack(sums) + biases[:, None, None], 0)

    red, green, blue = synthetic(6, 8)[0].numpy() * 255
    maps = [blue - 103.939, green - 116.779, red - 123.68]
    first = convolved(maps, "conv1_1", 64)
    second = convolved(first, "conv1_2", 64)
    pooled = second.reshape(64, 3, 2, 4, 2).max((2, 4))
    features = vgg(synthetic(6, 8).float())
    np.testing.assert_allclose(features["conv1_1"][0], first, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(
        features["conv2_1"][0, :5], convolved(pooled, "conv2_1", 5), rtol=1e-4, atol=1e-2
    )


@pytest.mark.weights
def test_real_first_layer_sees_edges(tensors):
    """Some maps are dark on both sides of a step and bright along it; some of them only when it stands."""
    image = torch.zeros(1, 3, 16, 16)
    image[..., 8:] = 1
    upright, lying = (tensors[1](picture)["conv1_1"][0] for picture in (image, image.mT))
    flat = torch.maximum(upright[:, 8, 2], upright[:, 8, 13])
    along = upright[:, 8, 7:9].amax(1)
    assert (along > 5 * flat + 50).sum() >= 3
    assert (along - lying[:, 7:9, 8].amax(1)).abs().max() > 100


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 9), (32, 33), (40, 24)], ids=str)
def test_margin_keeps_sizes(size):
    wanted = ("conv1_1", "conv2_1", "conv3_1")
    plain, framed = network(layers=wanted)(picture(*size)), network(layers=wanted, margin=16)(picture(*size))
    assert {name: one.shape for name, one in plain.items()} == {
        name: one.shape for name, one in framed.items()
    }


def test_margin_is_a_mirror():
    """As the plain network sees the picture that is mirrored by hand."""
    image, vgg = picture(32, 48), network()
    mirrored = functional.pad(image, (16, 16, 16, 16), mode="reflect")
    expected = vgg(mirrored)
    for layer, features in network(margin=16)(image).items():
        stride = 2 ** (int(layer[4]) - 1)
        window = slice(16 // stride, -16 // stride)
        torch.testing.assert_close(features, expected[layer][..., window, window])


def test_margin_gradient():
    vgg = network(layers=("conv1_1", "conv2_1"), margin=16).double()
    image = picture(20, 18, dtype=torch.float64).requires_grad_()

    def total(image):
        return sum((features / 100).tanh().mean() for features in vgg(image).values())

    (gradient,) = torch.autograd.grad(total(image), image)
    direction = picture(20, 18, seed=1, dtype=torch.float64) - 0.5
    with torch.no_grad():
        slope = (total(image + 1e-7 * direction) - total(image - 1e-7 * direction)) / 2e-7
    assert float(slope) == pytest.approx(float((gradient * direction).sum()), rel=1e-5)


def test_max_pooling_has_the_gradient_of_torch():
    """Ties included: flat regions are many in a picture, and bf16 makes more."""
    features = torch.randint(0, 3, (1, 4, 7, 9), generator=torch.Generator().manual_seed(0)).double()
    weights = torch.randn(1, 4, 4, 5, generator=torch.Generator().manual_seed(1)).double()
    ours, theirs = features.clone().requires_grad_(), features.clone().requires_grad_()
    (max_pool(ours) * weights).sum().backward()
    (functional.max_pool2d(theirs, 2, ceil_mode=True) * weights).sum().backward()
    assert torch.equal(ours.grad, theirs.grad)


@pytest.mark.parametrize("pool", ["max", "average"])
def test_rescaling_changes_nothing_but_the_size_of_features(pool):
    """Divided by the means that were measured, layer by layer; and then the mean is one (Gatys et al. 2016)."""
    layers = ("conv1_1", "conv1_2", "conv2_1", "conv2_2")
    plain, scaled = (network(layers=layers, pool=pool).double() for _ in range(2))
    image = picture(17, 14, dtype=torch.float64)
    before = plain(image)
    means = {layer: features.mean((0, 2, 3)) for layer, features in before.items()}
    means["conv1_2"][5] = 0  # as of a filter that no photo woke
    scaled.rescale(means)
    for layer, features in scaled(image).items():
        factor = torch.where(means[layer] > 0, means[layer], 1.0)
        torch.testing.assert_close(features * factor.view(1, -1, 1, 1), before[layer])
        mean = features.mean((0, 2, 3))[means[layer] > 0]
        torch.testing.assert_close(mean, torch.ones_like(mean))
