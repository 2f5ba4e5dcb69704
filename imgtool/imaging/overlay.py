"""Edges drawn over the photo they were found in, and the edges that Canny finds in it."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imgtool.imaging.picture import LUMA, Samples, to_8_bits

SATURATION = 0.3  # of the photo under the edges: colour enough to know it, too little to hide a red edge
FAINTEST, FULL = 0.2, 0.9  # probabilities at which an edge begins to show, and at which it covers the photo
STRIP_PIXELS = 1 << 20  # worked on at once


def overlay(
    pixels: Samples, probabilities: NDArray[np.float32], *, color: tuple[int, int, int] = (255, 0, 64)
) -> Samples:
    """A faded photo with its edges in one colour, the more opaque the more probable they are.

    The photo keeps its light and loses most of its colour, so that the edges stand out from red and from green,
    from dark and from bright alike. What is hardly an edge stays clear, where a proportional
    blend would lay a haze on everything.

    Args:
        pixels: (H, W, 3), uint8 or uint16.
        probabilities: (H, W) in [0, 1].
        color: of the edges, sRGB in 8 bits.
    Returns:
        (H, W, 3) of the same type.
    """
    if probabilities.shape != pixels.shape[:2]:
        raise ValueError(f"probabilities must be {pixels.shape[:2]}, got {probabilities.shape}")
    ink = np.array(color, np.float32) * (np.iinfo(pixels.dtype).max / 255)
    drawn = np.empty_like(pixels)
    for rows in _strips(*probabilities.shape):
        photo = pixels[rows].astype(np.float32)
        light = _luma(photo)[..., None]
        photo = light + SATURATION * (photo - light)
        cover = _cover(probabilities[rows])[..., None]
        drawn[rows] = np.rint(photo + cover * (ink - photo))
    return drawn


def canny_edges(
    pixels: Samples,
    *,
    sigma: float = 3.0,
    low: float = 0.05,
    high: float = 0.16,
    max_height: int | None = None,
) -> NDArray[np.bool_]:
    """The edges by Canny's detector, for comparison: (H, W), or smaller if `max_height` says so.

    Of 14 settings, these defaults scored best on 25 training pictures of BSDS500: F = 0.61.
    At its largest it takes about 25 bytes a pixel.

    Args:
        pixels: (H, W, 3), uint8 or uint16.
        sigma: of the Gaussian before it, in pixels.
        low, high: the slopes of light between which an edge goes on and from which one begins, as Sobel's
            filter measures them: eight times the change from one pixel to the next, of light in [0, 1].
        max_height: shrink a higher picture to so many pixels first, as its lines would fade if they
            were shrunk to a panel of a sheet afterwards.
    Reference:
        Canny 1986, "A computational approach to edge detection".
    """
    from skimage.feature import canny

    if max_height is not None and max_height < len(pixels):
        width = max(1, round(pixels.shape[1] * max_height / len(pixels)))
        image = Image.fromarray(to_8_bits(pixels))
        pixels = np.asarray(image.resize((width, max_height), Image.Resampling.LANCZOS, reducing_gap=3.0))
    full = np.float32(np.iinfo(pixels.dtype).max)
    light = np.empty(pixels.shape[:2], np.float32)
    for rows in _strips(*pixels.shape[:2]):
        light[rows] = _luma(pixels[rows].astype(np.float32)) / full
    edges: NDArray[np.bool_] = canny(light, sigma=sigma, low_threshold=low, high_threshold=high)  # type: ignore[no-untyped-call]
    return edges


def _luma(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    return samples @ np.array(LUMA, np.float32)


def _cover(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much of the photo an edge hides, from 0 to 1 along a smooth step."""
    ramp = np.clip((probabilities - FAINTEST) / (FULL - FAINTEST), 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp))


def _strips(height: int, width: int) -> Iterator[slice]:
    """Rows in slices of a bounded number of pixels."""
    step = max(1, STRIP_PIXELS // width)
    yield from (slice(top, top + step) for top in range(0, height, step))
