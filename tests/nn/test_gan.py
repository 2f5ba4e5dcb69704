import pytest
import torch

from imgtool.nn.gan import Discriminator, GanShape, Generator, SwitchableNorm
from imgtool.options.gan import GAN_NORMS

SMALL = {"width": 4, "latent": 6, "channels": 1}


@pytest.mark.parametrize("arch", ["dcgan", "resnet"])
@pytest.mark.parametrize("size", [8, 16, 32, 64])
@pytest.mark.parametrize("classes", [0, 3])
def test_shapes(arch, size, classes):
    shape = GanShape(size=size, arch=arch, classes=classes, **SMALL)
    labels = torch.tensor([0, 2]) if classes else None
    images = Generator(shape)(torch.randn(2, 6), labels)
    assert images.shape == (2, 1, size, size)
    assert images.min() >= 0 and images.max() <= 1
    assert Discriminator(shape)(images, labels).shape == (2,)


@pytest.mark.parametrize("arch", ["dcgan", "resnet"])
@pytest.mark.parametrize("norm", GAN_NORMS)
def test_every_weight_learns(arch, norm):
    torch.manual_seed(0)
    shape = GanShape(
        size=16, arch=arch, norm=norm, critic_norm=norm, attention=True, squeeze=True, classes=2, **SMALL
    )
    generator, critic = Generator(shape), Discriminator(shape)
    if arch == "resnet":  # the share of attention begins at 0, and what it attends to learns once it is more
        for module in (*generator.modules(), *critic.modules()):
            if hasattr(module, "share"):
                torch.nn.init.constant_(module.share, 0.5)
    labels = torch.tensor([0, 1, 1])
    critic(generator(torch.randn(3, 6), labels), labels).square().sum().backward()
    idle = [name for net in (generator, critic) for name, each in net.named_parameters() if each.grad is None]
    assert idle == []


@pytest.mark.parametrize("arch", ["dcgan", "resnet"])
def test_spectral_norm_bounds_the_slope(arch):
    """Miyato et al. 2018: each layer's largest singular value comes to 1."""
    torch.manual_seed(0)
    critic = Discriminator(GanShape(size=16, arch=arch, **SMALL)).train()
    for _ in range(60):
        critic(torch.rand(2, 1, 16, 16))
    critic.eval()
    for module in critic.modules():
        if hasattr(module, "parametrizations"):
            largest = torch.linalg.matrix_norm(module.weight.detach().flatten(1), 2)
            assert float(largest) == pytest.approx(1, abs=0.05)


def test_class_changes_the_picture_and_the_logit():
    torch.manual_seed(0)
    shape = GanShape(size=16, classes=2, **SMALL)
    generator, critic = Generator(shape).eval(), Discriminator(shape).eval()
    z, image = torch.randn(1, 6), torch.rand(1, 1, 16, 16)
    zero, one = torch.tensor([0]), torch.tensor([1])
    assert not torch.equal(generator(z, zero), generator(z, one))
    assert not torch.equal(critic(image, zero), critic(image, one))


def test_switchable_norm_of_each_kind():
    features = torch.randn(4, 3, 5, 5) * 3 + 1
    for mix, other in enumerate(
        (torch.nn.InstanceNorm2d(3), torch.nn.GroupNorm(1, 3), torch.nn.BatchNorm2d(3))
    ):
        norm = SwitchableNorm(3)
        for each in (norm.mean_mix, norm.variance_mix):
            torch.nn.init.constant_(each, -50.0)
            each.data[mix] = 50.0
        torch.testing.assert_close(norm(features), other(features), rtol=1e-3, atol=1e-4)


def test_switchable_norm_remembers_the_batch():
    norm = SwitchableNorm(2)
    norm.mean_mix.data[:] = norm.variance_mix.data[:] = torch.tensor([-50.0, -50.0, 50.0])
    features = torch.randn(8, 2, 6, 6) * 2 + 3
    for _ in range(60):
        norm(features)
    trained = norm(features)
    torch.testing.assert_close(norm.eval()(features), trained, rtol=1e-2, atol=1e-2)


def test_places_on_another_device():
    with torch.device("meta"):
        shape = GanShape(size=32, arch="resnet", attention=True, classes=2, **SMALL)
        labels = torch.zeros(2, dtype=torch.long)
        image = Generator(shape)(torch.randn(2, 6), labels)
        assert Discriminator(shape)(image, labels).device.type == "meta"


@pytest.mark.parametrize(
    "found",
    [
        {"size": 12},
        {"size": 4},
        {"width": 0},
        {"size": "32"},
        {"strange": 1},
        {"latent": 10**6},
        {"size": -8},
    ],
)
def test_hostile_shapes(found):
    with pytest.raises(ValueError):
        GanShape.of({**GanShape().as_dict(), **found})
    assert GanShape.of(GanShape(classes=3).as_dict()) == GanShape(classes=3)


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (3.0, 0.1), (10.0, 0.3)])
def test_switchable_norm_far_from_zero(mean, deviation):
    """In bf16 a difference of squares would have lost the variance."""
    torch.manual_seed(0)
    features = mean + deviation * torch.randn(8, 4, 12, 12)
    exact = SwitchableNorm(4)(features).detach()
    assert 0.9 < float(exact.std()) < 1.1
    with torch.autocast("cpu", torch.bfloat16):
        halved = SwitchableNorm(4)(features.bfloat16()).detach()
    assert halved.dtype == torch.bfloat16 and 0.85 < float(halved.float().std()) < 1.15
