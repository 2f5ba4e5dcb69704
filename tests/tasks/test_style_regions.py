"""Regions of a photo: by light and colour from dark to light, soft, without chance; and by a network's classes."""

import numpy as np
import pytest
import torch

from imgtool.errors import OptionError
from imgtool.nn.unet import UNet
from imgtool.tasks import style_regions as module
from imgtool.tasks.segment import Segmenter
from imgtool.tasks.style_objective import Style
from imgtool.tasks.style_regions import REGIONS, color_regions, in_regions, require_regions, segmented


def bands(height=60, width=90, noise=0.02):
    """Light above, dark in the middle, grey below, with grain."""
    image = torch.empty(1, 3, height, width)
    for row, light in enumerate((0.9, 0.1, 0.5)):
        image[..., row * height // 3 : (row + 1) * height // 3, :] = light
    grain = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    return (image + noise * grain).clamp(0, 1)


def middles(mask):
    """What a mask says in the middle of each band."""
    height = mask.shape[-2]
    return [round(float(mask[0, 0, row * height // 3 + height // 6].mean()), 2) for row in range(3)]


def test_from_dark_to_light_and_one_together():
    dark, grey, light = color_regions(bands(), 3)
    assert [middles(mask) for mask in (dark, grey, light)] == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    torch.testing.assert_close(dark + grey + light, torch.ones_like(dark))


def test_no_specks_and_soft_borders():
    image = bands()
    image[0, :, 10, 10] = 0.0  # a dark speck in the light
    dark = color_regions(image, 2)[0]
    assert dark[0, 0, 10, 10] < 0.05
    column = dark[0, 0, :, 45]
    assert ((column > 0.1) & (column < 0.9)).any()


def test_colours_of_one_light_are_told_apart():
    image = torch.full((1, 3, 40, 40), 0.5)
    image[:, 0, :, 20:], image[:, 1, :, 20:] = 0.9, 0.5 - 0.4 * 0.299 / 0.587
    one, other = color_regions(image, 2)
    assert abs(float(one[..., 5].mean() - one[..., 35].mean())) > 0.9
    torch.testing.assert_close(one + other, torch.ones_like(one))


@pytest.mark.parametrize("image", [torch.full((1, 3, 20, 30), 0.4), torch.rand(1, 3, 1, 1)])
def test_a_plain_picture_is_one_region(image):
    masks = color_regions(image, 3)
    torch.testing.assert_close(sum(masks), torch.ones_like(masks[0]))
    assert all(mask.isfinite().all() for mask in masks)


def test_it_knows_no_chance():
    torch.manual_seed(1)
    first = color_regions(bands(), 4)
    torch.manual_seed(2)
    assert all(torch.equal(one, other) for one, other in zip(first, color_regions(bands(), 4), strict=True))


def test_each_style_has_a_region_at_the_size_of_the_result():
    styles = [Style(torch.rand(1, 3, 8, 8)), Style(torch.rand(1, 3, 8, 8), 2.0)]
    dark, light = in_regions(styles, bands(), (120, 180), color_regions)
    assert dark.content_mask.shape == (1, 1, 120, 180)
    assert dark.style_mask is None and light.weight == 2.0
    assert middles(dark.content_mask)[1] == 1 and middles(light.content_mask)[0] == 1


def test_a_single_style_is_taken_apart_alike():
    parts = in_regions([Style(bands())], bands(), (60, 90), color_regions)
    assert len(parts) == REGIONS
    for part in parts:
        torch.testing.assert_close(part.content_mask, part.style_mask)


def test_a_region_that_the_style_has_not_takes_all_of_it():
    plain = Style(torch.full((1, 3, 20, 20), 0.5))
    parts = in_regions([plain], bands(), (60, 90), color_regions)
    assert sorted(part.style_mask is None for part in parts) == [False, True, True]


def segmenter(classes, channels=3):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = UNet(channels, classes, width=2, depth=1)
    network = network.requires_grad_(False).eval()
    return Segmenter(network, torch.float32, tuple(f"class{index}" for index in range(classes)))


@pytest.mark.parametrize(("classes", "count"), [(2, 2), (3, 2), (3, 3)])
@pytest.mark.parametrize("channels", [1, 3])
def test_regions_of_a_network(monkeypatch, classes, count, channels):
    def found(raster, _, tile):
        assert raster.channels == channels
        probabilities = np.zeros((classes, raster.height, raster.width), np.float32)
        probabilities[0, :30], probabilities[-1, 30:] = 1, 1
        return probabilities

    monkeypatch.setattr(module, "probabilities", found)
    masks = segmented(segmenter(classes, channels))(bands(), count)
    assert len(masks) == count
    assert masks[0][0, 0, 5, 5] == pytest.approx(1, abs=1e-3)
    assert masks[-1][0, 0, 55, 5] == pytest.approx(1, abs=1e-3)


def test_more_styles_than_classes_are_refused():
    require_regions(segmenter(3), 2)
    require_regions(segmenter(3), 3)
    require_regions(segmenter(3), 1)
    with pytest.raises(OptionError, match="or 3: class0, class1, class2"):
        require_regions(segmenter(3), 4)
    with pytest.raises(OptionError, match="5 channels"):
        require_regions(segmenter(2, 5), 2)
