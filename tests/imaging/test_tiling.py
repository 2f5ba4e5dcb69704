import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgtool.imaging.tiling import Tiling, ValidTiling

TILING = Tiling(side=32, reach=32, stride=16, least=17)
sides = st.integers(1, 90)


def padded(pixels, tiling):
    """The padded picture, by numpy's own mirroring, one pixel a time as it takes no more than the picture has."""
    height, width = pixels.shape[:2]
    grown = pixels
    for axis, length in ((0, height), (1, width)):
        whole = max(tiling.least, length)
        after = whole + whole % tiling.multiple - length
        grown = np.pad(grown, [(0, after) if axis == each else (0, 0) for each in range(2)], mode="reflect")
    return grown


@given(height=sides, width=sides, side=st.integers(1, 70), multiple=st.sampled_from((1, 2)))
@settings(deadline=None)
def test_tiles_show_the_padded_picture_and_keep_each_pixel_once(height, width, side, multiple):
    tiling = Tiling(side=side, reach=32, stride=16, least=17, multiple=multiple)
    pixels = np.arange(height * width).reshape(height, width)
    whole = padded(pixels, tiling)
    kept = np.zeros_like(pixels)
    tiles = list(tiling.tiles(height, width))
    for tile in tiles:
        seen = tiling.cut(pixels, tile)
        assert seen.shape[0] % multiple == seen.shape[1] % multiple == 0
        assert min(seen.shape) >= tiling.least
        (top, bottom), (left, right) = tile.rows.window, tile.columns.window
        assert top % 16 == left % 16 == 0  # poolings begin alike in all tiles
        assert (seen == whole[top:bottom, left:right]).all()
        assert (seen[tile.inner] == pixels[tile.place]).all()
        kept[tile.place] += 1
    assert (kept == 1).all()
    assert len(tiles) == tiling.count(height, width)


def test_kept_pixels_are_out_of_reach_of_the_windows_ends():
    for span in (tile.rows for tile in TILING.tiles(200, 5)):
        inner = span.inner
        if span.window[0] > 0:
            assert inner.start >= TILING.reach
        if span.window[1] < 200:
            assert span.window[1] - span.window[0] - inner.stop >= TILING.reach


@pytest.mark.parametrize(("side", "legal"), [(1, 16), (16, 16), (31, 16), (32, 32), (100, 96)])
def test_side_is_rounded_down_to_the_stride(side, legal):
    tiling = Tiling(side=side, reach=32, stride=16, least=17)
    assert next(iter(tiling.tiles(500, 500))).rows.kept == (0, legal)


def valid(side, *, depth=2, least=1):
    """For a network without padding, of so many poolings."""
    stride, lost = 2**depth, 4 * (2**depth - 1)
    halo = 6 * stride - 4
    return ValidTiling(
        side=side,
        reach=halo,
        stride=stride,
        output_side=lambda inner: -(-(inner + lost) // stride) * stride - lost,
        least=least,
    )


@given(height=sides, width=sides, side=st.integers(1, 70), least=st.integers(1, 60))
@settings(deadline=None)
def test_windows_without_padding_have_their_halo_and_keep_each_pixel_once(height, width, side, least):
    tiling = valid(side, least=least)
    halo = tiling.reach
    pixels = np.arange(height * width).reshape(height, width)
    reach = halo + 200
    whole = np.pad(pixels, ((halo, reach), (halo, reach)), mode="reflect")
    kept = np.zeros_like(pixels)
    tiles = list(tiling.tiles(height, width))
    for tile in tiles:
        seen = tiling.cut(pixels, tile)
        for span, length in ((tile.rows, seen.shape[0]), (tile.columns, seen.shape[1])):
            assert (span.window[0] + halo) % tiling.stride == 0  # poolings begin alike in all tiles
            output = length - 2 * halo
            assert output == tiling.output_side(output)
            assert output >= max(least, span.kept[1] - span.kept[0])
        (top, bottom), (left, right) = tile.rows.window, tile.columns.window
        assert (seen == whole[top + halo : bottom + halo, left + halo : right + halo]).all()
        middle = seen[halo:-halo, halo:-halo]
        assert (middle[tile.inner] == pixels[tile.place]).all()
        kept[tile.place] += 1
    assert (kept == 1).all()
    assert len(tiles) == tiling.count(height, width)


def test_a_single_pixel_is_seen_everywhere():
    tiling = valid(4)
    (tile,) = tiling.tiles(1, 1)
    assert (tiling.cut(np.full((1, 1, 3), 7), tile) == 7).all()
