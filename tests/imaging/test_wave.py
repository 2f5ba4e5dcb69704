import numpy as np
import pytest

from imgtool.imaging.wave import Wave

SMALL = Wave(amplitude=(3.0, 2.0), length=(50.0, 70.0), phase=(0.4, 1.3))


def picture(height=60, width=160):
    """Something smooth with detail everywhere."""
    y, x = np.mgrid[:height, :width]
    return np.rint(127 + 60 * np.sin(x / 5) + 60 * np.cos(y / 4)).astype(np.uint8)


def psnr(one, other):
    return 10 * np.log10(255**2 / np.mean((one.astype(float) - other.astype(float)) ** 2))


def supersampled(pixels, wave, factor=8):
    """The wave as it would be with pixels an eighth as large, each mean of those that fell on it."""
    height, width = pixels.shape
    y, x = (np.mgrid[: height * factor, : width * factor] + 0.5) / factor - 0.5
    from_x = x + wave.amplitude[0] * np.sin(2 * np.pi * y / wave.length[0] + wave.phase[0])
    from_y = y + wave.amplitude[1] * np.sin(2 * np.pi * x / wave.length[1] + wave.phase[1])
    from_x, from_y = np.clip(from_x, 0, width - 1), np.clip(from_y, 0, height - 1)
    left, top = np.minimum(from_x.astype(int), width - 2), np.minimum(from_y.astype(int), height - 2)
    u, v, f = from_x - left, from_y - top, pixels.astype(float)
    mixed = (f[top, left] * (1 - u) + f[top, left + 1] * u) * (1 - v) + (
        f[top + 1, left] * (1 - u) + f[top + 1, left + 1] * u
    ) * v
    return mixed.reshape(height, factor, width, factor).mean(axis=(1, 3))


def test_no_wave_changes_nothing():
    np.testing.assert_array_equal(Wave((0, 0), (10, 10)).warp(picture()), picture())


def test_is_as_good_as_a_supersampled_one():
    assert psnr(SMALL.warp(picture()), supersampled(picture(), SMALL)) > 35


def test_every_pixel_comes_from_where_the_sines_say():
    y, x = np.mgrid[:60, :160].astype(float)
    ramp = np.rint(x + y / 10).astype(np.uint8)  # tells where a value is from
    seen = SMALL.warp(ramp).astype(float)
    from_x = x + 3 * np.sin(2 * np.pi * y / 50 + 0.4)
    from_y = y + 2 * np.sin(2 * np.pi * x / 70 + 1.3)
    expected = np.clip(from_x, 0, 159) + np.clip(from_y, 0, 59) / 10
    assert np.abs(seen - expected).max() <= 1.1  # two roundings


def test_nothing_stale_at_the_border():
    ink = np.full((60, 160), 200, np.uint8)
    assert (SMALL.warp(ink) == 200).all()
    outside = SMALL.warp(ink, border=0) == 0
    assert 0 < outside.mean() < 0.1


def test_colors():
    pixels = np.stack([picture(), 255 - picture(), picture() // 2], axis=-1)
    warped = SMALL.warp(pixels)
    np.testing.assert_array_equal(warped[..., 0], SMALL.warp(picture()))


@pytest.mark.parametrize("steepness", [0.1, 0.5, 0.9])
def test_moved_points_are_seen_where_they_land(steepness):
    length = 40.0
    amplitude = steepness * length / (2 * np.pi)
    wave = Wave((amplitude, amplitude), (length, length), (0.5, 2.0))
    points = np.random.default_rng(0).random((50, 2)) * [160, 60]
    seen = wave.moved(points)
    back_x = seen[:, 0] + amplitude * np.sin(2 * np.pi * seen[:, 1] / length + 0.5)
    back_y = seen[:, 1] + amplitude * np.sin(2 * np.pi * seen[:, 0] / length + 2.0)
    np.testing.assert_allclose(np.stack([back_x, back_y], axis=1), points, atol=0.01)
