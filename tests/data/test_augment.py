import math

import numpy as np
import pytest
import torch

from imgtool.data.augment import Placement, inside, random_placement, sampled, sampling_grid


def crop(planes, placement, side, mode="bilinear"):
    return sampled(planes, sampling_grid(placement, planes.shape[-2:], side), mode=mode)


@pytest.fixture
def planes():
    return torch.rand(1, 2, 20, 30, generator=torch.Generator().manual_seed(0))


def test_upright_crop_is_the_image_itself(planes):
    found = crop(planes, Placement((12, 9), 0.0, 1.0, False), 8)
    torch.testing.assert_close(found, planes[..., 5:13, 8:16], rtol=1e-4, atol=1e-4)


def test_flip(planes):
    found = crop(planes, Placement((12, 9), 0.0, 1.0, True), 8)
    torch.testing.assert_close(found, planes[..., 5:13, 8:16].flip(-1), rtol=1e-4, atol=1e-4)


def test_quarter_turn(planes):
    found = crop(planes, Placement((12, 9), math.pi / 2, 1.0, False), 8)
    torch.testing.assert_close(found, planes[..., 5:13, 8:16].rot90(1, (-2, -1)), rtol=1e-3, atol=1e-3)


def test_scale_enlarges(planes):
    found = crop(planes, Placement((12, 9), 0.0, 2.0, False), 8, mode="nearest")
    torch.testing.assert_close(
        found, planes[..., 7:11, 10:14].repeat_interleave(2, -1).repeat_interleave(2, -2)
    )


def test_inside(planes):
    grid = sampling_grid(Placement((2, 10), 0.0, 1.0, False), (20, 30), 8)
    known = inside(grid)[0, 0]
    assert known[:, 2:].all()
    assert not known[:, :2].any()


def test_random_crops_stay_inside_where_they_can():
    random = np.random.default_rng(0)
    for _ in range(200):
        placement = random_placement((64, 80), 40, angles=16, scales=(1.0, 1.5), random=random)
        assert inside(sampling_grid(placement, (64, 80), 40)).all()


def test_crop_larger_than_the_image_stays_near_its_centre():
    placement = random_placement((20, 30), 64, angles=4, scales=(1.0,), random=np.random.default_rng(0))
    assert inside(sampling_grid(placement, (20, 30), 64)).float().mean() > 0.14
