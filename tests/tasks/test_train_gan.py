import numpy as np
import pytest
import torch

from imgtool.data.differentiable import changed
from imgtool.data.picture_set import PictureSet
from imgtool.errors import DeviceError, OptionError, WeightsError
from imgtool.nn.gan import GanShape
from imgtool.options.gan import GAN_LOSSES, SampleGanOptions, TrainGanOptions
from imgtool.runtime.checkpoints import save_tensors
from imgtool.runtime.device import Device
from imgtool.runtime.given import given_weights
from imgtool.tasks.sample_gan import between, class_numbers, latents, load_generator, sample
from imgtool.tasks.train_gan import WHOLE, GanTrainee, Part

CPU = Device(torch.device("cpu"), torch.float32, "test")
BF16 = Device(torch.device("cpu"), torch.bfloat16, "test")
TINY = {"size": 8, "width": 6, "latent": 5, "batch": 6}


def bars(count=24):
    """Bright bars, upright (class 0) and lying (class 1)."""
    pixels = np.zeros((count, 8, 8, 1), np.uint8)
    for index in range(count):
        place = slice(index % 6, index % 6 + 2)
        pixels[index][(slice(None), place) if index % 2 else (place, slice(None))] = 220
    return PictureSet(pixels, np.arange(count) % 2, ("lying", "upright"), ())


def trainee_of(device=CPU, **given):
    options = TrainGanOptions.of_recipe(**{**TINY, **given})
    known = bars()
    pictures = known if options.classes else PictureSet(known.pixels, known.labels, (), ())
    shape = GanShape(
        size=8,
        channels=1,
        latent=5,
        width=6,
        classes=2 if options.classes else 0,
        norm=options.norm,
        critic_norm=options.critic_norm,
        arch=options.arch,
    )
    torch.manual_seed(options.seed)
    return GanTrainee(pictures, options, shape=shape, device=device, on_parts=told.append)


told = []  # parts that trainees said a batch is cut into


def run(trainee, steps):
    return [trainee.step(number, 0.0) for number in steps]


@pytest.mark.parametrize("device", [CPU, BF16])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"recipe": "dcgan2015"},
        {"loss": "wgan-gp", "critic_norm": "layer", "critic_steps": 2},
        {
            "loss": "nonsaturating",
            "r1": 0.1,
            "penalty_every": 2,
            "classes": True,
            "augment": ("color", "shift", "cutout"),
        },
        {"arch": "resnet", "norm": "switchable"},
    ],
)
def test_goes_on_to_the_same_bits(kept, given, device):
    whole = trainee_of(device, **given)
    run(whole, range(6))
    first, second = trainee_of(device, **given), trainee_of(device, **given)
    run(first, range(3))
    second.load_state(kept(first.state()))
    run(second, range(3, 6))
    for ours, theirs in zip(flat(second.state()), flat(whole.state()), strict=True):
        assert torch.equal(ours, theirs)


def scarce(trainee, most):
    """Let the discriminator have memory for so many pictures at a time."""
    plain = trainee.critic.forward

    def forward(image, labels=None):
        if len(image) > most:
            raise torch.OutOfMemoryError("out of memory")
        return plain(image, labels)

    trainee.critic.forward = forward
    return trainee


def test_short_memory_means_the_same(monkeypatch):
    """Where nothing looks at a whole batch, gradients of its parts add up to its own."""
    plain = {"norm": "layer", "critic_norm": "layer", "loss": "nonsaturating"}
    whole, cut = trainee_of(**plain), scarce(trainee_of(**plain), 4)
    same_numbers(monkeypatch)
    told.clear()
    for number in range(3):
        ours, theirs = whole.step(number, 0.0), cut.step(number, 0.0)
        torch.testing.assert_close(ours["D"], theirs["D"])
        torch.testing.assert_close(ours["slope G"], theirs["slope G"], rtol=1e-3, atol=1e-6)
    assert told == [2, 3] and cut.state()["parts"] == 3
    for one, other in zip(whole.generator.parameters(), cut.generator.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-3)


def same_numbers(monkeypatch):
    """Let a part of a batch have its part of the latent numbers of the whole."""

    def fakes(self, count, random, labels, network=None):
        which = random.initial_seed()
        z = torch.randn(6, 5, generator=torch.Generator().manual_seed(which))
        return (network or self.generator)(z[current[0].of(6)], labels)

    current = []

    def random(self, number, turn, part):
        current[:] = [part]
        return torch.Generator().manual_seed(100 * number + turn + 1)

    monkeypatch.setattr(GanTrainee, "_fakes", fakes)
    monkeypatch.setattr(GanTrainee, "_random", random)


def test_memory_that_is_too_short_for_one_picture():
    with pytest.raises(DeviceError, match="out of memory"):
        scarce(trainee_of(), 0).step(0, 0.0)


def test_parts_share_a_batch():
    trainee = trainee_of()
    parts = torch.cat([trainee.batch(2, Part(index, 4))[0] for index in range(4)])
    assert torch.equal(parts, trainee.batch(2)[0])


def test_averaged_weights_of_spectral_normalisation_have_its_norm():
    trainee = trainee_of(norm="spectral", learning_rate=0.05, average=0.999)
    run(trainee, range(60))
    for layer in trainee.average.network.modules():
        if hasattr(layer, "parametrizations"):
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2) < 1.5


def test_penalties_have_their_weights_and_are_told_between():
    trainee = trainee_of(loss="wgan-gp", critic_norm="layer", r1=2.0, penalty_every=4, gradient_penalty=3.0)
    for number in range(3):
        told = trainee._critic_losses(trainee.batch(number), number, trainee._random(number, 0, WHOLE))
        expected = told["D"] + 3 * told["GP"] + (8 * told["R1"] if number == 0 else 0)
        torch.testing.assert_close(told["loss"], expected)
        assert ("R1" in told) == (number == 0)
    assert all({"R1", "GP"} <= each.keys() for each in run(trainee, range(3)))
    lazy = trainee_of(loss="wgan-gp", critic_norm="layer", gradient_penalty_every=2)
    assert "GP" not in lazy._critic_losses(lazy.batch(1), 1, lazy._random(1, 0, WHOLE))


def test_a_batch_of_one_says_nothing_about_variety():
    assert "variety" not in trainee_of(batch=1, norm="layer").step(0, 0.0)


def test_samples_where_memory_suffices_for_few(monkeypatch):
    trainee = trainee_of()
    whole = next(iter(trainee.samples().values()))
    monkeypatch.setattr("imgtool.tasks.train_gan.SHOWN", 64)
    forward = trainee.average.network.forward

    def short(z, labels=None):
        if len(z) > 8:
            raise RuntimeError("CUDA out of memory")
        return forward(z, labels)

    trainee.average.network.forward = short
    again = next(iter(trainee.samples().values()))
    assert np.abs(again.pixels.astype(int) - whole.pixels).max() <= 1


def test_calmer_steps_are_remembered(kept):
    trainee = trainee_of()
    trainee.calm(0.5)
    other = trainee_of()
    other.load_state(kept(trainee.state()))
    other.step(0, 0.0)
    assert other.optimizer.param_groups[0]["lr"] == 0.5 * other.options.learning_rate


def test_rates_fall_at_the_end():
    trainee = trainee_of(decay=0.5, critic_rate=2.0)
    for progress, expected in ((0.0, 1.0), (0.5, 1.0), (0.75, 0.55)):
        trainee.step(0, progress)
        assert trainee.critic_optimizer.param_groups[0]["lr"] == pytest.approx(
            2 * trainee.options.learning_rate * expected
        )


def flat(state):
    if isinstance(state, torch.Tensor):
        return [state]
    if isinstance(state, dict | list):
        items = state.values() if isinstance(state, dict) else state
        return [tensor for each in items for tensor in flat(each)]
    return []


@pytest.mark.parametrize("loss", GAN_LOSSES)
def test_every_loss_trains_both(loss):
    trainee = trainee_of(loss=loss, critic_norm="layer")
    before = [each.clone() for net in (trainee.generator, trainee.critic) for each in net.parameters()]
    told = run(trainee, range(2))[-1]
    after = [each for net in (trainee.generator, trainee.critic) for each in net.parameters()]
    assert all(np.isfinite(list(told.values())))
    assert sum(not torch.equal(one, other) for one, other in zip(before, after, strict=True)) > len(after) / 2


def test_generator_comes_nearer_to_the_pictures():
    trainee = trainee_of(width=12, batch=24, learning_rate=2e-3, average=0.9)
    far = distance(trainee)
    run(trainee, range(200))
    assert distance(trainee) < 0.85 * far


def distance(trainee):
    """Mean squared distance of samples to their nearest picture."""
    images = trainee.average.network(latents(1, range(40), 5)).flatten(1)
    real = torch.from_numpy(trainee.pictures.pixels).flatten(1).float() / 255
    return float((torch.cdist(images, real).amin(dim=1) ** 2).mean())


def test_discriminator_alone_learns_in_its_step():
    trainee = trainee_of()
    before = {name: each.clone() for name, each in trainee.generator.named_parameters()}
    trainee._critic_step(0, 0)
    assert all(torch.equal(each, before[name]) for name, each in trainee.generator.named_parameters())
    critic = [each.clone() for each in trainee.critic.parameters()]
    trainee._generator_step(0)
    assert all(
        torch.equal(one, other) for one, other in zip(critic, trainee.critic.parameters(), strict=True)
    )
    assert all(each.grad is None or not each.requires_grad for each in trainee.critic.parameters())


def test_one_pass_is_two_passes():
    """Spectral norm takes one step of its iteration a pass, so only the evaluation is compared."""
    trainee = trainee_of()
    trainee.critic.eval()
    real, fake = torch.rand(4, 1, 8, 8), torch.rand(4, 1, 8, 8)
    one, other = trainee._judged(real, fake, None)
    torch.testing.assert_close(one, trainee.critic(real))
    torch.testing.assert_close(other, trainee.critic(fake))


def test_every_picture_once_before_any_again():
    trainee = trainee_of(batch=7)
    seen = torch.cat([trainee.batch(number)[0] for number in range(24)]).flatten(1)
    for epoch in range(7):
        rows = seen[epoch * 24 : (epoch + 1) * 24]
        ours = sorted(map(tuple, (rows * 255).round().int().tolist()))
        theirs = sorted(map(tuple, trainee.pictures.pixels.reshape(24, -1).astype(int).tolist()))
        assert ours == theirs


@pytest.mark.parametrize("kind", ["color", "shift", "cutout"])
def test_changes_let_gradients_pass(kind):
    images = torch.rand(5, 3, 16, 16, requires_grad=True)
    random = torch.Generator().manual_seed(0)
    result = changed(images, (kind,), random)
    assert result.shape == images.shape and not torch.equal(result, images)
    result.sum().backward()
    assert images.grad.abs().sum() > 0
    again = changed(images, (kind,), torch.Generator().manual_seed(0))
    assert torch.equal(result, again)


def test_shift_moves_by_whole_pixels():
    images = torch.full((20, 1, 16, 16), 0.5)  # what comes in from outside is grey, as in the paper
    images[:, 0, 8, 8] = 1
    moved = changed(images, ("shift",), torch.Generator().manual_seed(0))
    places = moved.flatten(1).argmax(dim=1)
    assert ((moved - 0.5).flatten(1).sum(dim=1) == 0.5).all()
    assert len(set(places.tolist())) > 5
    assert ((places // 16 - 8).abs() <= 2).all() and ((places % 16 - 8).abs() <= 2).all()


# Samples


@pytest.fixture
def model(tmp_path):
    def make(**given):
        path = tmp_path / "model.safetensors"
        save_tensors(path, *trainee_of(**given).model())
        return load_generator(given_weights(str(path)), CPU)

    return make


def test_samples_depend_on_seed_and_index_alone(model):
    generator, _ = model()
    many = drawn(generator, count=70, seed=3)
    few = drawn(generator, count=4, start=9, seed=3)
    assert all(map(np.array_equal, few, many[9:13]))
    assert torch.equal(latents(3, [5], 4), latents(3, range(9), 4)[5:6])
    assert not np.array_equal(many[0], drawn(generator, count=1, seed=4)[0])
    assert all(map(np.array_equal, drawn(generator, seeds=(3, 4)), [many[0], drawn(generator, seed=4)[0]]))


def drawn(generator, **given):
    return list(sample(generator, SampleGanOptions(**given), device=CPU))


def test_walk_goes_from_sample_to_sample_and_back(model):
    generator, _ = model()
    walk = drawn(generator, count=3, interpolate=5)
    assert len(walk) == 15
    assert all(map(np.array_equal, walk[::5], drawn(generator, count=3)))
    apart = [
        np.abs(one.astype(int) - other).mean() for one, other in zip(walk, walk[1:] + walk[:1], strict=True)
    ]
    assert max(apart) < 3 * np.mean(apart)


def test_walk_goes_from_class_to_class(model):
    generator, _ = model(classes=True)
    generator.embedding.weight.mul_(100)  # it has learnt nothing of classes
    options = SampleGanOptions(seeds=(1, 1), classes=(0, 1), interpolate=8)
    walk = list(sample(generator, options, device=CPU, classes=2))
    apart = [
        np.abs(one.astype(int) - other).mean() for one, other in zip(walk, walk[1:] + walk[:1], strict=True)
    ]
    assert 0 < max(apart) < 4 * np.mean(apart)


def test_way_between_latents_keeps_their_length():
    one, other = latents(0, [0], 400), latents(0, [1], 400)
    half = between(one, other, 0.5)
    assert 0.9 < float(half.norm() / (one.norm() + other.norm()) * 2) < 1.1
    assert float(torch.lerp(one, other, 0.5).norm()) < 0.8 * float(one.norm())
    torch.testing.assert_close(between(one, one, 0.3), one)
    torch.testing.assert_close(between(one, -one, 0.25), 0.5 * one)


def test_classes(model):
    generator, names = model(classes=True)
    assert names == ("lying", "upright")
    assert len(list(sample(generator, SampleGanOptions(count=3, classes=(1,)), device=CPU, classes=2))) == 3
    assert class_numbers("upright, 0", names) == (1, 0)
    assert class_numbers("2,#2,1", ("1", "2", "3")) == (1, 2, 0)
    with pytest.raises(OptionError, match="no '2'; there is 0 lying, 1 upright"):
        class_numbers("2", names)
    with pytest.raises(OptionError, match="knows none"):
        class_numbers("0", ())


def test_saved_generator_is_the_averaged_one(model):
    trainee = trainee_of()
    generator, _ = model()
    z = latents(0, range(4), 5)
    torch.testing.assert_close(generator(z), trainee.average.network(z), atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ("{}", "shape is missing"),
        ('{"shape": {"size": 9}}', "no power of two"),
        ('{"shape": {"size": 16, "channels": 1, "latent": 5, "width": 6}}', "is missing, expected|expected"),
        ('{"shape": {"size": 8, "classes": 2}, "classes": ["a"]}', "names 1 classes of 2"),
        ("[1]", "is no gan"),
    ],
)
def test_hostile_models(tmp_path, about, message):
    tensors, metadata = trainee_of().model()
    save_tensors(tmp_path / "m.safetensors", tensors, {**metadata, "gan": about})
    with pytest.raises(WeightsError, match=message):
        load_generator(given_weights(str(tmp_path / "m.safetensors")), CPU)
