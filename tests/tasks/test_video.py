"""Films: the result of the frame before is carried along, and holds what stands still."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from imgtool.options.stylize import StylizeOptions
from imgtool.tasks import video as module
from imgtool.tasks.style_objective import Style
from imgtool.tasks.stylize import stylize
from imgtool.tasks.video import Before, Carried, carried, steadied, stylize_frame, temporal_term

OPTIONS = StylizeOptions(
    size=48,
    steps=(8,),
    scales=1,
    content_layers={"conv2_1": 1.0},
    style_layers={"conv1_1": 1.0, "conv2_1": 1.0},
    margin=0,
    content_weight=0.05,
)


def scene(height=48, width=64, seed=0):
    blobs = gaussian_filter(np.random.default_rng(seed).standard_normal((3, height, width)), (0, 3, 3))
    blobs = (blobs - blobs.min()) / np.ptp(blobs)
    return torch.from_numpy(blobs.astype(np.float32))[None]


def noisy(image, seed):
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
    return (image + 0.015 * noise).clamp(0, 1)


@pytest.mark.parametrize("size", [(48, 64), (96, 128), (24, 32)])
def test_stillness_carries_the_result_as_it_is(size):
    content, result = scene(), scene(*size, seed=1)
    last = carried(Before(noisy(content, 1), result), noisy(content, 2), size)
    assert torch.equal(last.image, result)
    assert last.trust.min() == 1 and last.goes_on


def test_a_pan_carries_it_along():
    whole, painted = scene(60, 90), scene(60, 90, seed=1)
    last = carried(Before(whole[..., :80], painted[..., :80]), whole[..., 2:82], (60, 80))
    inner = (..., slice(8, -8), slice(8, -8))
    wrong = (last.image - painted[..., 2:82])[inner].abs().mean()
    assert wrong < 0.2 * (painted[..., :80] - painted[..., 2:82])[inner].abs().mean()


def test_a_cut_is_another_scene():
    last = carried(Before(scene(), scene(seed=1)), 1 - scene(seed=5), (48, 64))
    assert not last.goes_on


def test_the_term_counts_what_is_trusted():
    trust = torch.zeros(1, 1, 4, 4)
    trust[..., :2] = 1
    last = Carried(torch.zeros(1, 3, 4, 4), trust)
    term = temporal_term(last, 2.0)(torch.zeros(1, 3, 4, 4))
    assert term.name == "temporal"
    assert float(term.loss(torch.full((1, 3, 4, 4), 0.5))) == pytest.approx(
        module.TEMPORAL_UNIT * 2 * 0.25 / 2
    )


def test_what_stands_still_stands_still_in_the_result(network):
    """A second frame that begins with the first is nearer to it with the term than without."""
    content, style = scene(), [Style(torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(3)))]
    first, second = (noisy(content, seed) for seed in (1, 2))
    one = stylize(first, style, replace(OPTIONS, size=None), network=network).image
    last = carried(Before(first, one), second, (48, 64))
    held, free = (
        stylize_frame(
            second,
            style,
            replace(OPTIONS.of_later_frames, temporal_weight=weight, size=None),
            last,
            network=network,
        )
        for weight in (10.0, 0.0)
    )
    assert (held.image - one).abs().mean() < (free.image - one).abs().mean() / 3
    assert held.history[-1].others["temporal"] > 0


def test_what_is_new_is_painted(network):
    """A part that the frame before does not know neither keeps what was there nor stays as in the film."""
    content, style = scene(), [Style(torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(3)))]
    result, trust = torch.zeros(1, 3, 48, 64), torch.ones(1, 1, 48, 64)
    trust[..., 32:] = 0
    options = replace(OPTIONS.of_later_frames, size=None, temporal_weight=10.0, frame_steps=8)
    made = stylize_frame(content, style, options, Carried(result, trust), network=network).image
    assert made[..., :28].abs().mean() < 0.05
    assert made[..., 36:].mean() > 0.1
    assert (made - content)[..., 36:].abs().mean() > 0.02


def test_one_pass_is_held_by_weight():
    image, before = torch.full((1, 3, 4, 4), 0.6), torch.zeros(1, 3, 4, 4)
    trust = torch.ones(1, 1, 4, 4)
    trust[..., 2:, :] = 0
    last = Carried(before, trust)
    assert torch.equal(steadied(image, last, 0.0), image)
    held = steadied(image, last, 1.0)
    assert 0.05 < float(held[0, 0, 0, 0]) < 0.1 and float(held[0, 0, 3, 0]) == pytest.approx(0.6)
    assert steadied(image, last, 9.0)[0, 0, 0, 0] < 0.02
