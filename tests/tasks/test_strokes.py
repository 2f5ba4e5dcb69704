"""Strokes of a wanted width: the size of the style picture, and where the pyramid begins."""

from dataclasses import replace

import pytest
import torch

from imgtool.errors import OptionError
from imgtool.nn.vgg import VGG
from imgtool.options.strokes import scales_for, steps_for
from imgtool.options.stylize import StylizeOptions
from imgtool.tasks import stylize as module
from imgtool.tasks.style_objective import Style


def test_the_style_picture_has_a_size_of_its_own(monkeypatch):
    """Whatever the size of the result; at coarser scales it is smaller with it."""
    made = []

    class Objective:
        def __init__(self, content, styles, options, *_):
            made.append(max(content.shape[-2:]) * options.style_scale)

        def settle(self):
            pass

    monkeypatch.setattr(module, "_objective", Objective)
    content, network = torch.rand(1, 3, 60, 80), VGG("vgg19", ("conv1_1",))
    for size in (64, 128, 256):
        options = StylizeOptions(size=size, stroke=3.0, steps=(0,))
        module.stylize(content, [Style(content)], options, network=network)
    assert made == [96, 192] * 3


def test_without_a_stroke_it_grows_with_the_result():
    options = StylizeOptions(style_scale=1.5)
    assert options.for_size(512) is options
    assert StylizeOptions(stroke=8.0).for_size(512) == StylizeOptions()  # what is the default there


def test_larger_strokes_take_more_scales():
    assert [scales_for(stroke, None) for stroke in (1, 4, 8, 16, 64)] == [2, 2, 2, 3, 5]
    assert scales_for(64, 256) == 3  # from 64 px
    assert scales_for(8, 32) == 1


def test_finer_scales_have_fewer_steps():
    assert steps_for(2, (50, 100)) == (50, 100)
    assert steps_for(5, (50, 100)) == (50, 100, 50, 25, 13)
    assert steps_for(3, (500,)) == (500, 250, 125)
    assert steps_for(1, (50, 100)) == (100,)


def test_a_preview_and_its_final_begin_alike():
    """The same shares of their sizes, the final with more scales behind."""
    preview = StylizeOptions.of_recipe(size=512, stroke=8.0)
    final = StylizeOptions.of_recipe(size=4096, stroke=64.0)
    assert 512 / 2**preview.scales == 4096 / 2**final.scales
    assert final.steps[: preview.scales] == preview.steps
    own = StylizeOptions.of_recipe(size=4096, stroke=64.0, scales=2, steps=(7,))
    assert (own.scales, own.steps) == (2, (7,))
    assert StylizeOptions.of_recipe(size=4096, stroke=64.0, steps=(1, 2, 3)).scales == 3
    assert StylizeOptions.of_recipe(size=4096, stroke=64.0, time=9.0).steps_per_scale[0] > 1000


def test_strokes_are_said_once():
    with pytest.raises(OptionError, match="--stroke: says how wide strokes are, as --style-scale does"):
        StylizeOptions(stroke=8.0, style_scale=1.5)
    for stroke in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(OptionError, match="--stroke: must be above 0"):
            StylizeOptions.of_recipe(stroke=stroke)
    assert replace(StylizeOptions(), stroke=8.0).style_scale == 1
