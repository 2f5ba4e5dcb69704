"""Motion between frames: found where there is some, none where there is only noise, no trust where things appear."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from imgtool.imaging.flow import motion, warped


def scene(height=72, width=96, seed=0):
    """Smooth blobs between 0 and 1."""
    random = np.random.default_rng(seed)
    image = gaussian_filter(random.standard_normal((height + 20, width + 20)), 3)
    image = (image - image.min()) / np.ptp(image)
    return image.astype(np.float32)


def noisy(image, seed, deviation=0.01):
    random = np.random.default_rng(seed)
    return (image + deviation * random.standard_normal(image.shape)).astype(np.float32)


def test_a_pan_is_found():
    whole = scene()
    before, now = whole[10:82, 10:106], whole[10:82, 13:109]  # the camera goes right by 3
    found = motion(now, before)
    inner = found.flow[:, 12:-12, 12:-12]
    assert abs(float(np.median(inner[0]))) < 0.2
    assert float(np.median(inner[1])) == pytest.approx(3, abs=0.3)
    assert found.trust[12:-12, 12:-12].mean() > 0.9
    assert np.abs(warped(before, found.flow) - now)[12:-12, 12:-12].mean() < 0.01


def test_noise_does_not_move():
    image = scene()
    found = motion(noisy(image, 1), noisy(image, 2))
    assert (found.flow == 0).mean() > 0.99
    assert found.trust.mean() > 0.99


def test_what_appears_is_not_trusted():
    before = noisy(scene(), 1)
    now = noisy(scene(), 2)
    now[30:50, 40:70] = 1 - now[30:50, 40:70]
    trust = motion(now, before).trust
    assert trust[34:46, 46:64].mean() < 0.4
    assert trust[:20].mean() > 0.95


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (5, 3), (20, 20)])
def test_pictures_too_small_to_be_looked_at_stand_still(size):
    image = np.random.default_rng(0).random(size, np.float32)
    found = motion(image, image)
    assert found.flow.shape == (2, *size) and not found.flow.any()
    assert found.trust.shape == size and found.trust.all()
