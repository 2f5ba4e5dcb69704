"""Edges show on any photo, at their places; the photo stays recognisable below them."""

import numpy as np
import pytest

from imgtool.imaging import overlay as module
from imgtool.imaging.overlay import canny_edges, overlay

INK = np.array([255, 0, 64])


def ramp(shape):
    return np.broadcast_to(np.linspace(0, 1, shape[1], dtype=np.float32), shape)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_certain_edges_have_the_color_and_no_edges_leave_the_light(dtype):
    full = np.iinfo(dtype).max
    pixels = np.random.default_rng(0).integers(0, full, (5, 7, 3), dtype, endpoint=True)
    drawn = overlay(pixels, np.ones((5, 7), np.float32))
    assert drawn.dtype == dtype and (drawn == INK * (full // 255)).all()
    drawn = overlay(pixels, np.zeros((5, 7), np.float32))
    assert np.abs((drawn - pixels.astype(float)) @ module.LUMA).max() <= 0.5 * full / 255 + 1


def test_the_more_probable_the_more_opaque():
    drawn = overlay(np.full((1, 50, 3), 200, np.uint8), ramp((1, 50)), color=(0, 255, 0))
    green, red = drawn[0, :, 1].astype(int), drawn[0, :, 0].astype(int)
    assert (np.diff(green) >= 0).all() and (np.diff(red) <= 0).all()
    assert red[0] == 200 and red[-1] == 0 and 50 < red[27] < 150


@pytest.mark.parametrize("under", [(0, 0, 0), (255, 255, 255), (255, 0, 64), (128, 128, 128), (0, 128, 0)])
def test_an_edge_stands_out_from_every_color(under):
    probabilities = np.array([[0, 0.5, 0]], np.float32)
    drawn = overlay(np.full((1, 3, 3), under, np.uint8), probabilities).astype(int)
    assert np.abs(drawn[0, 1] - drawn[0, 0]).sum() > 60


def test_what_is_hardly_an_edge_lays_no_haze():
    pixels = np.full((4, 4, 3), 90, np.uint8)
    assert (overlay(pixels, np.full((4, 4), 0.1, np.float32)) == 90).all()


@pytest.mark.parametrize("pixels_at_once", [1, 13, 40])
def test_strips_do_not_show(monkeypatch, pixels_at_once):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)
    whole, edges = overlay(pixels, ramp((9, 13))), canny_edges(pixels)
    monkeypatch.setattr(module, "STRIP_PIXELS", pixels_at_once)
    assert (overlay(pixels, ramp((9, 13))) == whole).all()
    assert (canny_edges(pixels) == edges).all()


def test_the_photo_is_left_as_it_was():
    pixels = np.full((3, 3, 3), 50, np.uint8)
    overlay(pixels, np.ones((3, 3), np.float32))
    assert (pixels == 50).all()
    with pytest.raises(ValueError, match=r"must be \(3, 3\), got \(3, 4\)"):
        overlay(pixels, np.ones((3, 4), np.float32))


@pytest.mark.parametrize("scale", [1, 257])
def test_canny_finds_a_step_where_it_is(scale):
    pixels = np.full((40, 60, 3), 60, np.uint8 if scale == 1 else np.uint16) * scale
    pixels[:, 30:] = 180 * scale
    edges = canny_edges(pixels)
    assert edges.shape == (40, 60) and edges.dtype == bool
    columns = edges[8:-8].nonzero()[1]
    assert len(columns) >= 24 and set(columns.tolist()) <= {29, 30}


def test_canny_finds_nothing_on_a_flat_or_tiny_picture():
    assert not canny_edges(np.full((30, 30, 3), 200, np.uint8)).any()
    assert canny_edges(np.zeros((1, 1, 3), np.uint8)).tolist() == [[False]]
    assert canny_edges(np.full((1, 9, 3), 7, np.uint8)).shape == (1, 9)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_canny_looks_at_a_smaller_picture(dtype):
    pixels = np.zeros((200, 100, 3), dtype)
    pixels[:, 50:] = np.iinfo(dtype).max
    edges = canny_edges(pixels, max_height=80)
    assert edges.shape == (80, 40) and set(edges.nonzero()[1].tolist()) <= {19, 20}
    assert edges.any()
    assert (canny_edges(pixels, max_height=200) == canny_edges(pixels)).all()
    assert canny_edges(np.zeros((900, 1, 3), dtype), max_height=3).shape == (3, 1)
