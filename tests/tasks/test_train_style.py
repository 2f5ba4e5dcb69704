import numpy as np
import pytest
import torch

from imgtool.nn.vgg import VGG
from imgtool.options.fast_style import TrainStyleOptions
from imgtool.runtime.device import Device
from imgtool.tasks.fast_objective import NamedStyle
from imgtool.tasks.fast_style import Painter
from imgtool.tasks.train_style import StyleTrainee, new_network, started_from

CPU = Device(torch.device("cpu"), torch.float32, "test")
BF16 = Device(torch.device("cpu"), torch.bfloat16, "test")
TINY = {
    **{"crop": 32, "photo_size": 40, "style_size": 40, "width": 4, "blocks": 1},
    **{"content_layers": {"conv2_1": 1.0}, "style_layers": {"conv1_1": 1.0}},
}


def photos(count):
    return np.random.default_rng(0).integers(0, 256, (count, 40, 40, 3), np.uint8)


def trainee_of(device=CPU, styles=2, **given):
    random = torch.Generator().manual_seed(0)
    named = [
        NamedStyle(f"s{index}", torch.rand(1, 3, 40, 40, generator=random) ** 3) for index in range(styles)
    ]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        judge = VGG("vgg19", ("conv1_1", "conv2_1")).to(device.dtype).eval()
    options = TrainStyleOptions(**{**TINY, **given})
    network = new_network(styles, options)
    return StyleTrainee(photos(5), photos(7)[5:], named, options, network=network, judge=judge, device=device)


def run(trainee, steps):
    return [trainee.step(number, 0.5) for number in steps]


def flat(state):
    if isinstance(state, torch.Tensor):
        return [state]
    if isinstance(state, dict | list):
        return [
            each for item in (state.values() if isinstance(state, dict) else state) for each in flat(item)
        ]
    return []


@pytest.mark.parametrize("device", [CPU, BF16])
def test_goes_on_to_the_same_bits(kept, device):
    whole, first, second = (trainee_of(device) for _ in range(3))
    run(whole, range(4))
    run(first, range(2))
    second.load_state(kept(first.state()))
    run(second, range(2, 4))
    for ours, theirs in zip(flat(second.state()), flat(whole.state()), strict=True):
        assert torch.equal(ours, theirs)


def test_objective_falls_on_what_is_held_out():
    trainee = trainee_of(learning_rate=5e-3, average=0.8, content_weight=0.1)
    before = trainee.score()["-objective"]
    run(trainee, range(40))
    assert trainee.score()["-objective"] > before + 0.1


def test_every_photo_once_before_any_again():
    trainee = trainee_of(batch=2, crop=32, photo_size=40)
    seen = np.concatenate([trainee.batch(number) for number in range(5)])
    found = [number for crop in seen for number in range(5) if inside(crop, trainee.photos[number])]
    assert sorted(found[:5]) == sorted(found[5:]) == list(range(5))


def inside(crop, photo):
    """Whether a crop, perhaps mirrored, is of a photo."""
    return any(
        np.array_equal(each, photo[top : top + 32, left : left + 32])
        for each in (crop, crop[:, ::-1])
        for top in range(9)
        for left in range(9)
    )


def test_a_style_has_parameters_of_its_own():
    """Those of one alone change when only its loss counts."""
    trainee = trainee_of()
    trainee.mixes = trainee.mixes[:1].repeat(2, 1)
    before = trainee.network.first_norm.scale.detach().clone()
    run(trainee, range(2))
    after = trainee.network.first_norm.scale
    assert not torch.equal(after[0], before[0]) and torch.equal(after[1], before[1])


def test_samples_show_photos_and_styles():
    sheet = trainee_of().samples()["samples"]
    assert sheet.pixels.shape == (2 * 44 - 4, 3 * 44 - 4, 3)


def test_grey_photos():
    trainee = trainee_of()
    trainee.photos = trainee.photos[..., :1]
    assert np.isfinite(list(trainee.step(0, 0.0).values())).all()


def test_new_style_begins_as_the_mean_of_all():
    trainee = trainee_of()
    run(trainee, range(3))
    start = Painter(trainee.network, ("a", "b"))
    other = started_from(new_network(2, trainee.options), ("b", "c"), start)
    ours, theirs = other.state_dict(), trainee.network.state_dict()
    assert torch.equal(ours["down.weight"], theirs["down.weight"])
    scales = theirs["block1a_norm.scale"]
    torch.testing.assert_close(ours["block1a_norm.scale"], torch.stack([scales[1], scales.mean(dim=0)]))
