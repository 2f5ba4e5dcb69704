import math

import numpy as np
import pytest
import torch

from imgtool.data.augment import Placement, cut, elastic, inside, random_placement, sampled, sampling_grid


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


def test_bend_of_nothing_changes_nothing(planes):
    placement = Placement((12, 9), 0.3, 1.5, True)
    plain = sampling_grid(placement, (20, 30), 8)
    assert torch.equal(sampling_grid(placement, (20, 30), 8, bend=torch.zeros(8, 8, 2)), plain)


@pytest.mark.parametrize(("angle", "scale"), [(0.0, 1.0), (0.0, 2.0), (math.pi / 2, 1.0)])
def test_bend_is_in_pixels_of_the_crop(planes, angle, scale):
    """All of a crop displaced by three pixels to the right and one down is its own further part."""
    placement = Placement((15, 10), angle, scale, False)
    whole = sampling_grid(placement, (20, 30), 12)
    bend = torch.tensor([3.0, 1.0]).expand(12, 12, 2)
    bent = sampling_grid(placement, (20, 30), 12, bend=bend)
    torch.testing.assert_close(bent[:, :11, :9], whole[:, 1:, 3:], rtol=1e-4, atol=1e-5)


def test_image_and_truth_are_bent_alike():
    """One grid places both: where the picture is bright, its mask is set."""
    y, x = torch.meshgrid(torch.arange(60.0), torch.arange(60.0), indexing="ij")
    disc = (torch.hypot(y - 30, x - 30) < 18).float()[None, None]
    random = np.random.default_rng(1)
    bend = elastic(48, spacing=16, deviation=3, random=random)
    grid = sampling_grid(Placement((30, 30), 0.4, 1.0, False), (60, 60), 48, bend=bend)
    image, mask = sampled(disc, grid, mode="bilinear"), sampled(disc, grid, mode="nearest")
    assert ((image > 0.5) == (mask > 0.5)).float().mean() > 0.99
    straight = sampled(
        disc, sampling_grid(Placement((30, 30), 0.4, 1.0, False), (60, 60), 48), mode="nearest"
    )
    assert (mask != straight).float().mean() > 0.02


@pytest.mark.parametrize(("side", "spacing"), [(40, 16), (33, 64), (64, 64), (1, 8), (572, 256)])
def test_elastic_is_smooth_and_as_large_as_asked_for(side, spacing):
    fields = torch.stack(
        [
            elastic(side, spacing=spacing, deviation=5, random=np.random.default_rng(seed))
            for seed in range(20)
        ]
    )
    assert fields.shape == (20, side, side, 2)
    assert 2 < fields.std() < 7
    assert abs(float(fields.mean())) < 2.5
    steps = fields.diff(dim=1).abs()
    if side > 1:
        assert steps.max() < 5 * 6 * 2 / spacing * 1.5  # bicubic between neighbours a spacing apart


def test_elastic_passes_through_its_grid():
    """The paper's 3x3 grid: the crop is the middle of what lies between the nine displacements."""
    coarse = np.random.default_rng(2).normal(0, 10, (1, 2, 3, 3)).astype(np.float32)
    field = elastic(32, spacing=16, deviation=10, random=np.random.default_rng(2))
    assert field[0, 0].tolist() == pytest.approx(coarse[0, :, 0, 0].tolist(), abs=1e-4)
    assert field[16, 16].tolist() == pytest.approx(coarse[0, :, 1, 1].tolist(), abs=1e-4)


def test_elastic_depends_on_its_numbers_alone():
    first, second = (
        elastic(20, spacing=8, deviation=2, random=np.random.default_rng(seed)) for seed in (3, 3)
    )
    assert torch.equal(first, second)
    assert not elastic(20, spacing=8, deviation=0, random=np.random.default_rng(3)).any()


@pytest.mark.parametrize("size", [(300, 420), (700, 90), (90, 700)])
def test_an_image_that_is_cut_gives_the_same_crops(size):
    """Wherever the crop lies, over the border and mirrored too."""
    random = np.random.default_rng(0)
    planes = torch.rand(1, 2, *size, generator=torch.Generator().manual_seed(0))
    classes = torch.randint(0, 9, (1, 1, *size), generator=torch.Generator().manual_seed(1)).float()
    smaller, differ = 0, 0
    for number in range(80):
        center = (
            (random.uniform(0, size[1]), random.uniform(0, size[0]))
            if number % 2
            else (random.choice((0, size[1])), random.choice((0, size[0])))
        )
        placement = Placement(center, random.uniform(0, 7), random.choice((0.8, 1.25)), bool(number % 3))
        bend = elastic(40, spacing=32, deviation=4, random=random)
        grid = sampling_grid(placement, size, 40, bend=bend)
        (rows, columns), within = cut(grid, size)
        smaller += (rows.stop - rows.start) * (columns.stop - columns.start) * 4 <= size[0] * size[1]
        part = planes[..., rows, columns]
        torch.testing.assert_close(
            sampled(part, within, mode="bilinear"),
            sampled(planes, grid, mode="bilinear"),
            rtol=0,
            atol=2e-4,
        )
        part = classes[..., rows, columns]
        others = sampled(part, within, mode="nearest") != sampled(classes, grid, mode="nearest")
        differ += int(others.sum())
    assert differ < 12  # of 128000: places half-way between two pixels, but for rounding
    assert smaller > 60


def test_an_image_not_much_larger_than_its_crop_stays_whole(planes):
    grid = sampling_grid(Placement((12, 9), 0.0, 1.0, False), (20, 30), 12)
    place, same = cut(grid, (20, 30))
    assert place == (slice(0, 20), slice(0, 30))
    assert same is grid


def test_a_crop_far_larger_than_a_side_is_mirrored_more_than_once():
    size = (6, 4000)
    planes = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(0))
    grid = sampling_grid(Placement((3990.0, 3.0), 0.3, 1.0, False), size, 60)
    (rows, columns), within = cut(grid, size)
    assert (rows, columns.stop) == (slice(0, 6), 4000)
    assert columns.start > 3900
    torch.testing.assert_close(
        sampled(planes[..., rows, columns], within, mode="bilinear"),
        sampled(planes, grid, mode="bilinear"),
        rtol=0,
        atol=2e-3,
    )


def test_the_outermost_pixel_comes_twice_where_an_image_is_mirrored(planes):
    found = crop(planes, Placement((0, 10), 0.0, 1.0, False), 6, mode="nearest")
    row = planes[..., 7:13, :]
    torch.testing.assert_close(found, torch.cat((row[..., :3].flip(-1), row[..., :3]), dim=-1))
