"""Pixels to tensors and back without a level lost, and sizes."""

import numpy as np
import pytest
import torch

from imgtool.imaging.tensors import fit, resize, to_image, to_picture, to_pixels


def test_every_level_survives():
    for dtype in (np.uint8, np.uint16):
        levels = np.arange(256, dtype=dtype) * (257 if dtype == np.uint16 else 1)
        pixels = np.stack([levels, levels[::-1], levels], -1)[None]
        image = to_image(pixels)
        assert image.shape == (1, 3, 1, 256) and image.dtype == torch.float32
        assert (float(image.min()), float(image.max())) == (0, 1)
        np.testing.assert_array_equal(to_pixels(image), pixels // (257 if dtype == np.uint16 else 1))


def test_channels_and_places_keep_their_order():
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    image = to_image(pixels)
    assert float(image[0, 2, 1, 0]) == pytest.approx(pixels[1, 0, 2] / 255)
    np.testing.assert_array_equal(to_pixels(image), pixels)


def test_a_plane_has_one_channel():
    plane = np.array([[0, 128], [255, 3]], np.uint8)
    image = to_image(plane)
    assert image.shape == (1, 1, 2, 2)
    np.testing.assert_array_equal(to_pixels(image)[..., 0], plane)


def test_what_is_out_of_range_is_clamped_and_rounded():
    image = torch.tensor([-0.5, 0.0, 0.4999 / 255, 0.5001 / 255, 1.0, 7.0]).view(1, 1, 1, 6)
    assert to_pixels(image).ravel().tolist() == [0, 0, 0, 1, 255, 255]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_types_and_graphs(dtype):
    image = torch.ones(1, 3, 2, 2, dtype=dtype, requires_grad=True)
    assert to_pixels(image).min() == 255


def test_pixels_are_not_shared():
    pixels = np.full((2, 2, 3), 9, np.uint8)
    to_image(pixels).zero_()
    assert pixels.min() == 9


def test_pictures_with_and_without_alpha():
    image, alpha = torch.rand(1, 3, 4, 5), torch.rand(1, 1, 4, 5)
    picture = to_picture(image, alpha)
    assert picture.pixels.shape == (4, 5, 3) and picture.alpha.shape == (4, 5)
    assert to_picture(image).alpha is None


@pytest.mark.parametrize(
    ("size", "longest", "expected"),
    [
        ((400, 300), 200, (200, 150)),
        ((300, 400), 800, (600, 800)),
        ((1, 5000), 512, (1, 512)),
        ((5000, 1), 512, (512, 1)),
        ((7, 7), 7, (7, 7)),
        ((3, 2), 0.4, (1, 1)),
    ],
)
def test_fit(size, longest, expected):
    assert fit(size, longest) == expected


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (40, 20)])
def test_resize_keeps_flat_colours_and_range(size):
    flat = torch.tensor([0.0, 0.25, 1.0]).view(1, 3, 1, 1).expand(1, 3, 16, 12)
    torch.testing.assert_close(resize(flat, size), flat[..., :1, :1].expand(1, 3, *size))
    step = torch.zeros(1, 3, 16, 16)
    step[..., 8:] = 1
    resized = resize(step, size)
    assert resized.min() >= 0 and resized.max() <= 1


def test_resize_to_the_same_size_is_the_same():
    image = torch.rand(1, 3, 5, 4)
    assert resize(image, (5, 4)) is image


def test_shrinking_does_not_alias():
    stripes = torch.zeros(1, 1, 64, 64)
    stripes[..., ::2] = 1
    assert (resize(stripes, (16, 16)) - 0.5).abs().max() < 0.05
