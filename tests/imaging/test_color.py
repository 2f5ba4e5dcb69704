"""Colours that are carried over are those of the other picture."""

import pytest
import torch

from imgtool.imaging.color import keep_chroma, luma, match_color


def picture(seed, height=24, width=20, low=0.3, high=0.7):
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(1, 3, height, width, generator=generator)


def moments(image):
    pixels = image.flatten(2)[0].double()
    return pixels.mean(1), torch.cov(pixels, correction=0)


def test_luma_by_hand():
    colors = torch.eye(3).view(1, 3, 1, 3)  # red, green, blue
    assert luma(colors).flatten().tolist() == pytest.approx([0.299, 0.587, 0.114])
    assert luma(torch.ones(2, 3, 4, 5)).shape == (2, 1, 4, 5)
    torch.testing.assert_close(luma(torch.full((1, 3, 2, 2), 0.4)), torch.full((1, 1, 2, 2), 0.4))


def test_light_of_one_and_colours_of_the_other():
    light, colors = picture(0), picture(1)
    mixed = keep_chroma(light, colors)
    torch.testing.assert_close(luma(mixed), luma(light))
    torch.testing.assert_close(mixed - luma(mixed), colors - luma(colors))


def test_a_picture_keeps_its_own_colours():
    image = picture(0)
    torch.testing.assert_close(keep_chroma(image, image), image)


def test_matched_colours_have_the_palettes_moments():
    """Its grain of variance apart, mean and covariance are taken over."""
    generator = torch.Generator().manual_seed(5)
    mix = 0.1 * torch.randn(3, 3, generator=generator, dtype=torch.float64).float()
    noise = torch.randn(1, 3, 40, 40, generator=generator).clamp(-2, 2)
    palette = (0.5 + torch.einsum("ij,njhw->nihw", mix, noise)).clamp(0, 1)
    skew = torch.tensor([[1.0, 0.5, 0], [0, 0.4, 0], [0.2, 0, 0.3]])
    image = 0.5 + torch.einsum("ij,njhw->nihw", skew, picture(0) - 0.5)
    matched = match_color(image, palette)
    for found, expected in zip(moments(matched), moments(palette), strict=True):
        torch.testing.assert_close(found, expected, atol=2e-3, rtol=0.02)
    assert matched.shape == (1, 3, 24, 20) and matched.dtype == torch.float32


def test_matching_itself_changes_nothing():
    image = picture(0)
    torch.testing.assert_close(match_color(image, image), image)


@pytest.mark.parametrize(
    "sizes", [((1, 1), (5, 5)), ((5, 5), (1, 1)), ((1, 1), (1, 1)), ((1, 9), (9, 1))], ids=str
)
def test_tiny_and_flat_pictures(sizes):
    image, palette = picture(0, *sizes[0]), picture(1, *sizes[1])
    matched = match_color(image, palette)
    assert torch.isfinite(matched).all() and matched.shape == image.shape
    torch.testing.assert_close(matched.mean((2, 3)), palette.mean((2, 3)), atol=0.02, rtol=0)


def test_results_stay_displayable():
    for function in (match_color, keep_chroma):
        result = function(picture(0, low=0, high=1), picture(1, low=0, high=1))
        assert result.min() >= 0 and result.max() <= 1
