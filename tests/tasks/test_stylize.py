"""Repainting: the best picture is kept, the same comes again, and nothing ends without one."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from imgtool.imaging.color import luma
from imgtool.imaging.io import read_picture
from imgtool.imaging.tensors import fit, resize, to_image
from imgtool.nn.vgg import VGG
from imgtool.options.stylize import StylizeOptions
from imgtool.runtime.device import select_device
from imgtool.runtime.registry import find_weights
from imgtool.tasks import stylize as module
from imgtool.tasks.load import activations_name, load_vgg
from imgtool.tasks.style_objective import Style, StyleObjective
from imgtool.tasks.stylize import memory_needed, stylize

EXAMPLES = Path(__file__).parents[2] / "examples"
# Content far below style: with random weights their balance means nothing.
OPTIONS = StylizeOptions(
    size=32,
    steps=(10,),
    scales=1,
    content_layers={"conv2_1": 1.0},
    style_layers={"conv1_1": 1.0, "conv2_1": 1.0},
    margin=0,
    content_weight=0.05,
)


def picture(height=32, width=24, seed=0, low=0.0, high=1.0):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, max(1, height // 4), max(1, width // 4), generator=generator)
    return low + (high - low) * resize(coarse, (height, width))


CONTENT, STYLE = picture(seed=1), picture(40, 40, seed=2)
NOISE = torch.rand(1, 3, 32, 24, generator=torch.Generator().manual_seed(3)).round()


class Failing(nn.Module):
    """A network whose features are NaN at some evaluations (from 1; content and style come before)."""

    def __init__(self, network, fails, before=2):
        super().__init__()
        self.network, self.fails, self.calls = network, fails, -before

    def feature_scale(self, layer):
        return 1.0

    def stream(self, image):
        self.calls += 1
        for name, layer in self.network.stream(image):
            yield name, layer * torch.nan if self.fails(self.calls) else layer


def same(first, second):
    return torch.equal(first.image, second.image)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("init", ["content", "noise", "style"])
def test_the_objective_falls(network, optimizer, init):
    options = replace(OPTIONS, optimizer=optimizer, init=init, steps=(25,))
    result = stylize(CONTENT, [Style(STYLE)], options, network=network)
    totals = [step.total for step in result.history]
    assert min(totals) < 0.5 * totals[0]
    assert result.image.shape == (1, 3, 32, 24) and result.image.dtype == torch.float32
    assert result.image.min() >= 0 and result.image.max() <= 1
    assert (result.steps, result.interrupted, result.diverged) == ((25,), None, False)


def test_the_best_picture_is_returned(network, monkeypatch):
    """Also when every later step is worse."""
    good, proper = 3, module._optimizer(OPTIONS, module.FIRST_STEP)

    class Straying:
        steps = 0

        def step(self, point, gradient):
            self.steps += 1
            return proper.step(point, gradient) if self.steps < good else NOISE

    monkeypatch.setattr(module, "_optimizer", lambda *_: Straying())
    result = stylize(CONTENT, [Style(STYLE)], OPTIONS, network=network)
    totals = [step.total for step in result.history]
    assert totals.index(min(totals)) == good - 1
    objective = StyleObjective(CONTENT, [Style(STYLE)], OPTIONS, network)
    assert float(objective(result.image).total) == pytest.approx(min(totals), rel=1e-5)


def test_on_step_is_told_of_every_evaluation(network):
    told = []
    options = replace(OPTIONS, scales=2, steps=(3, 4))
    result = stylize(
        CONTENT, [Style(STYLE)], options, network=network, on_step=lambda *step: told.append(step)
    )
    assert [step.number for step, _ in told] == list(range(1, 8))
    assert [(step.scale, step.of_scale) for step, _ in told] == [(0, 1), (0, 2), (0, 3)] + [
        (1, index) for index in range(1, 5)
    ]
    assert [image.shape[-2:] for _, image in told] == [(16, 12)] * 3 + [(32, 24)] * 4
    assert tuple(step for step, _ in told) == result.history
    assert result.steps == (3, 4)


def test_the_picture_told_is_the_best_so_far(network):
    best = []
    stylize(
        CONTENT, [Style(STYLE)], OPTIONS, network=network, on_step=lambda _, image: best.append(image.clone())
    )
    objective = StyleObjective(CONTENT, [Style(STYLE)], OPTIONS, network)
    totals = [float(objective(image).total) for image in best]
    assert totals == sorted(totals, reverse=True)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_same_options_same_bytes(network, optimizer):
    options = replace(OPTIONS, optimizer=optimizer, init="noise", scales=2)
    assert same(*(stylize(CONTENT, [Style(STYLE)], options, network=network) for _ in range(2)))


def test_seed_of_the_noise(network):
    options = replace(OPTIONS, init="noise", steps=(0,), seed=5)
    first, again = (stylize(CONTENT, [Style(STYLE)], options, network=network) for _ in range(2))
    other = stylize(CONTENT, [Style(STYLE)], replace(options, seed=6), network=network)
    assert same(first, again) and not same(first, other)
    assert 0.05 < first.image.std() < 0.2


@pytest.mark.parametrize("at", [1, 4, 6, 7, 9, 12])
def test_interrupted_work_is_kept_and_comes_again(network, at):
    def stop(step, _):
        if step.number == at:
            raise KeyboardInterrupt

    options = replace(OPTIONS, scales=2, steps=(6, 6))
    result = stylize(CONTENT, [Style(STYLE)], options, network=network, on_step=stop)
    assert isinstance(result.interrupted, KeyboardInterrupt)
    assert sum(result.steps) == at and result.image.shape == (1, 3, 32, 24)
    assert len(result.steps) == options.scales
    again = stylize(CONTENT, [Style(STYLE)], replace(options, steps=result.steps), network=network)
    assert same(result, again)


def test_interrupted_before_the_first_step(network):
    class Stopping(Failing):
        def stream(self, image):
            raise KeyboardInterrupt

    result = stylize(CONTENT, [Style(STYLE)], OPTIONS, network=Stopping(network, None))
    assert result.interrupted and torch.equal(result.image, CONTENT)


@pytest.mark.parametrize("seconds", [-5.0, 0.0, 0.3])
def test_a_deadline_ends_it_with_a_picture_that_comes_again(network, seconds):
    options = replace(OPTIONS, scales=2, steps=(100_000,))
    deadline = time.monotonic() + seconds
    result = stylize(CONTENT, [Style(STYLE)], options, network=network, deadline=deadline)
    assert len(result.steps) == 2 and min(result.steps) >= 1
    assert sum(result.steps) < 1000
    again = stylize(CONTENT, [Style(STYLE)], replace(options, steps=result.steps), network=network)
    assert same(result, again)


def test_each_scale_has_its_share_of_the_time(network):
    options = replace(OPTIONS, scales=3, steps=(100_000,))
    result = stylize(CONTENT, [Style(STYLE)], options, network=network, deadline=time.monotonic() + 0.6)
    assert len(result.steps) == 3 and min(result.steps) >= 1


@pytest.mark.parametrize("at", [1, 2, 5, 10])
def test_one_nan_is_survived(network, at):
    failing = Failing(network, lambda call: call == at)
    result = stylize(CONTENT, [Style(STYLE)], OPTIONS, network=failing)
    assert not result.diverged and result.steps == (10,)
    assert torch.isfinite(result.image).all()
    assert len(result.history) == 9
    assert min(step.total for step in result.history) < result.history[0].total or at == 10


@pytest.mark.parametrize("since", [1, 4])
def test_nan_forever_ends_with_the_last_good_picture(network, since):
    kept = []
    failing = Failing(network, lambda call: call >= since)
    result = stylize(
        CONTENT,
        [Style(STYLE)],
        replace(OPTIONS, steps=(50,)),
        network=failing,
        on_step=lambda _, image: kept.append(image),
    )
    assert result.diverged and result.steps[0] < 10
    assert torch.equal(result.image, kept[-1] if kept else CONTENT)


def test_a_nan_gradient_counts_too(network):
    class Cliff(nn.Module):
        """Finite values whose slope is not."""

        def __init__(self):
            super().__init__()
            self.network = network

        def feature_scale(self, layer):
            return 1.0

        def stream(self, image):
            for name, layer in network.stream(image):
                yield name, layer + (layer * 0).sqrt().sum()

    result = stylize(CONTENT, [Style(STYLE)], OPTIONS, network=Cliff())
    assert result.diverged and torch.equal(result.image, CONTENT) and result.history == ()


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_after_a_nan_steps_are_shorter(network, optimizer):
    """Beyond some distance everything is NaN: only a shorter step gets anywhere."""

    class Steep(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def feature_scale(self, layer):
            return 1.0

        def stream(self, image):
            far = image.shape == CONTENT.shape and (image - CONTENT).abs().mean() > 0.6 * module.FIRST_STEP
            for name, layer in network.stream(image):
                yield name, layer * (torch.nan if far else 1)

    options = replace(OPTIONS, optimizer=optimizer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ADAM_RATE", module.FIRST_STEP)
        result = stylize(CONTENT, [Style(STYLE)], options, network=Steep())
    assert len(result.history) >= 2
    assert min(step.total for step in result.history) < result.history[0].total


def test_a_start_near_the_end_is_bettered(network):
    """The first step is far too long there."""
    start = stylize(CONTENT, [Style(STYLE)], replace(OPTIONS, steps=(40,)), network=network).image
    few = replace(OPTIONS, steps=(8,))
    result = stylize(CONTENT, [Style(STYLE)], few, network=network, init=start, first_step=0.1)
    first, *later = (step.total for step in result.history)
    assert later[0] > 2 * first and later[1] > first and min(later) < first


@pytest.mark.parametrize("scales", [1, 2, 3, 5])
def test_scales(network, scales):
    result = stylize(CONTENT, [Style(STYLE)], replace(OPTIONS, scales=scales, steps=(2,)), network=network)
    assert result.steps == (2,) * scales and result.image.shape == (1, 3, 32, 24)


@pytest.mark.parametrize(
    ("content", "style"),
    [
        ((1, 1), (8, 8)),
        ((1, 40), (8, 8)),
        ((40, 1), (1, 1)),
        ((9, 7), (1, 50)),
        ((32, 24), (3, 3)),
        ((8, 8), (90, 70)),
    ],
    ids=str,
)
@pytest.mark.parametrize("margin", [0, 16])
def test_any_shapes(content, style, margin):
    network = VGG("vgg19", ("conv1_1", "conv2_1"), margin=margin)
    options = replace(OPTIONS, scales=2, steps=(3,), size=None, margin=margin)
    result = stylize(picture(*content), [Style(picture(*style))], options, network=network)
    assert result.image.shape[-2:] == content
    assert torch.isfinite(result.image).all() and not result.diverged


@pytest.mark.parametrize("size", [16, 32, 48, None])
def test_size_of_the_result(network, size):
    result = stylize(CONTENT, [Style(STYLE)], replace(OPTIONS, size=size, steps=(1,)), network=network)
    assert tuple(result.image.shape[-2:]) == (fit((32, 24), size) if size else (32, 24))


def test_a_given_start(network):
    start = picture(16, 12, seed=9)
    result = stylize(CONTENT, [Style(STYLE)], replace(OPTIONS, steps=(0,)), network=network, init=start)
    torch.testing.assert_close(result.image, resize(start, (32, 24)))
    assert result.steps == (0,) and result.history == ()


def redness(image):
    return image[:, 0] - image[:, 2]


@pytest.fixture
def halves():
    """Masks of the left and the right half."""
    left = torch.zeros(1, 1, 32, 48)
    left[..., :24] = 1
    return left, 1 - left


def test_two_regions_take_two_styles(network, halves):
    """A reddish style for the left half and a bluish one for the right."""
    content = picture(32, 48, seed=3, low=0.3, high=0.7)
    red, blue = picture(32, 32, seed=4), picture(32, 32, seed=5)
    red[:, 2] *= 0.2
    blue[:, 0] *= 0.2
    styles = [Style(red, content_mask=halves[0]), Style(blue, content_mask=halves[1])]
    options = replace(OPTIONS, size=48, steps=(30,), tv_weight=0.0)
    image = stylize(content, styles, options, network=network).image
    change = redness(image) - redness(content)
    assert change[..., :20].mean() > 0.1 > -0.1 > change[..., 28:].mean()


def test_what_no_mask_covers_stays(network, halves):
    content = picture(32, 48, seed=3)
    style = Style(picture(32, 32, seed=4), content_mask=halves[0])
    options = replace(OPTIONS, size=48, tv_weight=0.0)
    image = stylize(content, [style], options, network=network).image
    moved = (image - content).abs()
    assert moved[..., :20].mean() > 5 * moved[..., 34:].mean()


def test_colors_are_kept(network):
    content = picture(seed=3, low=0.3, high=0.7)
    options = replace(OPTIONS, preserve_color=True, steps=(20,))
    image = stylize(content, [Style(STYLE)], options, network=network).image
    chroma, before = image - luma(image), content - luma(content)
    inside = ((image > 0) & (image < 1)).all(1, keepdim=True).expand_as(image)
    torch.testing.assert_close(chroma[inside], before[inside], atol=1e-5, rtol=0)
    assert inside.float().mean() > 0.5
    assert (luma(image) - luma(content)).abs().mean() > 0.02


def test_half_precision_gets_to_the_same_place(network):
    half = VGG("vgg19", ("conv1_1", "conv2_1"))
    half.load_state_dict(network.state_dict())
    for convolution in half.children():
        convolution.bfloat16()
    options = replace(OPTIONS, steps=(25,))
    exact, rounded = (stylize(CONTENT, [Style(STYLE)], options, network=one) for one in (network, half))
    assert rounded.image.dtype == torch.float32
    objective = StyleObjective(CONTENT, [Style(STYLE)], options, network)
    start, end, coarse = (float(objective(one).total) for one in (CONTENT, exact.image, rounded.image))
    assert coarse < end + 0.05 * (start - end)


def test_pictures_are_left_alone(network):
    content, style = CONTENT.clone(), STYLE.clone()
    stylize(content, [Style(style)], replace(OPTIONS, preserve_color=True), network=network)
    assert torch.equal(content, CONTENT) and torch.equal(style, STYLE)


def test_memory_grows_with_the_picture():
    small, large = (memory_needed((side, side), OPTIONS, torch.float32) for side in (256, 512))
    assert 3 < large / small <= 4
    assert memory_needed((512, 512), OPTIONS, torch.bfloat16) < large
    assert memory_needed((512, 512), replace(OPTIONS, history=100), torch.float32) > large


def test_large_pictures_may_be_worked_on_in_tiles(network, monkeypatch):
    content, options = picture(160, 128, seed=4), replace(OPTIONS, size=None, steps=(3,))
    whole = stylize(content, [Style(STYLE)], options, network=network)
    made = []

    class Told(module.TiledObjective):
        def __init__(self, content, *arguments, **more):
            made.append(tuple(content.shape[-2:]))
            super().__init__(content, *arguments, **more)

    monkeypatch.setattr(module, "TiledObjective", Told)
    tiled = stylize(content, [Style(STYLE)], replace(options, tile=64), network=network)
    assert made == [(160, 128)]
    assert (tiled.image - whole.image).abs().max() < 2e-3
    stylize(CONTENT, [Style(STYLE)], replace(OPTIONS, tile=64), network=network)
    assert len(made) == 1  # what a tile sees is larger than that picture


def test_tiles_take_less_memory():
    whole, tiled, small = (
        memory_needed((3000, 4000), replace(OPTIONS, tile=tile, history=2), torch.bfloat16, [(600, 800)])
        for tile in (None, 512, 256)
    )
    assert small < tiled < 3e9 < whole


def test_nan_to_the_end_of_few_steps_is_told(network):
    result = stylize(
        CONTENT, [Style(STYLE)], replace(OPTIONS, steps=(2,)), network=Failing(network, lambda _: True)
    )
    assert result.diverged and not result.history


@pytest.mark.weights
@pytest.mark.parametrize("name", ["vgg19", "vgg16"])
def test_each_network_repaints_and_keeps_texture(name):
    """The balance of the terms holds for weights whose features differ by orders of magnitude."""
    options = StylizeOptions.of_recipe(network=name, size=96, scales=1, steps=(25,))
    vgg = load_vgg(
        find_weights(name),
        {*options.content_layers, *options.style_layers},
        select_device("cpu", "fp32"),
        margin=16,
    )
    photo, painting = (torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(s)) for s in (1, 2))
    photo = torch.nn.functional.avg_pool2d(photo, 9, 1, 4)
    result = stylize(photo, [Style(painting)], options, network=vgg)
    first, last = result.history[0], result.history[-1]
    assert first.style > 10 * first.tv and last.style < first.style / 3
    assert (result.image - photo).abs().mean() > 0.02
    assert result.image.std() > photo.std()


@pytest.mark.weights
@pytest.mark.parametrize("name", ["vgg19", "vgg16"])
def test_published_networks_are_rescaled_to_activations_of_one(name):
    """On a photo that was not among those measured, filters differ, but no layer is far from one."""
    weights = find_weights(name)
    activations = find_weights(activations_name(weights))
    layers = [f"conv{block}_1" for block in range(1, 6)]
    vgg = load_vgg(weights, layers, select_device("cpu", "fp32"), activations=activations)
    photo = resize(to_image(read_picture(EXAMPLES / "coffee.jpg").pixels), (128, 192))
    for layer, features in vgg(photo).items():
        assert 0.3 < float(features.mean()) < 3, layer


def test_weights_that_nobody_measured_are_known_as_such(random_vgg19):
    assert activations_name(find_weights(str(random_vgg19))) is None
