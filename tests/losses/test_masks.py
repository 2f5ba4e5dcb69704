import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from imgtool.losses.masks import border_weights, weighted_cross_entropy


def textbook(objects, height, sigma):
    """A distance transform of the whole picture for each object, sorted."""
    numbers = [number for number in np.unique(objects) if number != 0]
    if len(numbers) < 2:
        return np.zeros(objects.shape)
    distances = np.sort([ndimage.distance_transform_edt(objects != number) for number in numbers], axis=0)
    weights = height * np.exp(-((distances[0] + distances[1]) ** 2) / (2 * sigma**2))
    return np.where(objects == 0, weights, 0)


def blobs(seed, count, size=(70, 90)):
    """Discs of several sizes, some of which touch, and some at the border."""
    random = np.random.default_rng(seed)
    objects = np.zeros(size, np.int64)
    y, x = np.mgrid[: size[0], : size[1]]
    for number in range(1, count + 1):
        row, column = random.uniform(0, size[0]), random.uniform(0, size[1])
        objects[np.hypot(y - row, x - column) < random.uniform(2, 9)] = number * 7
    return objects


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("height", "sigma"), [(10, 5), (10, 2), (3, 12), (0.5, 5)])
def test_is_the_textbooks(seed, height, sigma):
    objects = blobs(seed, 12)
    found = border_weights(objects, height=height, sigma=sigma)
    expected = textbook(objects, height, sigma)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-3
    assert expected.max() > 0.05  # or nothing would be proved


def test_gap_between_two_objects_by_hand():
    objects = np.zeros((1, 30), int)
    objects[0, :10], objects[0, 13:20] = 1, 2
    found = border_weights(objects, height=10, sigma=5)
    assert found[0, 10] == pytest.approx(10 * math.exp(-((1 + 3) ** 2) / 50), rel=1e-5)
    assert found[0, 11] == pytest.approx(10 * math.exp(-((2 + 2) ** 2) / 50), rel=1e-5)
    assert (found[0, :10] == 0).all()
    assert found[0, 29] == pytest.approx(10 * math.exp(-((10 + 20) ** 2) / 50), abs=1e-3)


def test_without_a_gap_there_is_no_weight():
    one = np.zeros((20, 20), int)
    one[3:9, 3:9] = 4
    for objects in (np.zeros((20, 20), int), one, np.ones((5, 5), int)):
        assert (border_weights(objects) == 0).all()


@pytest.mark.parametrize("height", [0, 1e-4])
def test_a_height_of_nothing(height):
    assert (border_weights(blobs(0, 9), height=height) == 0).all()


def test_picture_without_background():
    objects = np.repeat([1, 2, 3], 4)[None].repeat(6, 0)
    assert (border_weights(objects) == 0).all()


def test_numbers_do_not_matter():
    objects = blobs(1, 9)
    renumbered = np.where(objects > 0, 16_000_000 - objects, 0)
    assert np.array_equal(border_weights(objects), border_weights(renumbered))
    shifted = np.where(objects > 7, objects, np.where(objects == 7, -5, 0))
    assert np.array_equal(border_weights(objects), border_weights(shifted))


@pytest.mark.parametrize("classes", [2, 5])
def test_is_the_plain_formula(classes):
    """In float64, pixel by pixel; values and gradients."""
    random = torch.Generator().manual_seed(classes)
    logits = (3 * torch.randn(2, classes, 5, 7, generator=random)).requires_grad_(True)
    truth = torch.randint(classes, (2, 5, 7), generator=random)
    weights = 4 * torch.rand(2, 5, 7, generator=random)
    plain = logits.detach().double().requires_grad_(True)
    expected = 0.0
    for image in range(2):
        for row in range(5):
            for column in range(7):
                scores = plain[image, :, row, column]
                share = scores[truth[image, row, column]].exp() / scores.exp().sum()
                expected = expected - weights[image, row, column].double() * share.log()
    expected = expected / (2 * 5 * 7)
    found = weighted_cross_entropy(logits, truth, weights)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-6)
    found.backward()
    expected.backward()
    torch.testing.assert_close(logits.grad.double(), plain.grad, rtol=1e-5, atol=1e-8)


def test_pixels_of_weight_nought_teach_nothing():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    weights = torch.zeros(1, 4, 4)
    weights[0, 1, 2] = 1
    weighted_cross_entropy(logits, torch.zeros(1, 4, 4, dtype=torch.int64), weights).backward()
    assert logits.grad[0, :, 1, 2].abs().sum() > 0
    assert (logits.grad != 0).sum() == 3


def test_sure_and_wrong_is_finite_also_in_halves():
    logits = torch.tensor([[[[300.0]], [[-300.0]]]], dtype=torch.bfloat16)
    loss = weighted_cross_entropy(logits, torch.ones(1, 1, 1, dtype=torch.int64), torch.ones(1, 1, 1))
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(600)
