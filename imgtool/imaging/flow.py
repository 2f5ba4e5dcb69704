"""How things moved from one picture to the next, and where that can be trusted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]

# Ruder, Dosovitskiy & Brox 2016, equations 5 and 6.
ROUND_TRIP = (0.01, 0.5)
BOUNDARY = (0.01, 0.002)
# Motion has to leave less than this share of the difference that stillness leaves, less some levels of 255: noise
# alone is explained a little by any motion.
STILL = (0.7, 1.0)
ALIKE = 12.0  # levels of 255 by which a place and where it was may differ on average
ISLAND, RIM = 5, 3  # pixels: a few by chance alike are not what they seem
LEAST = 16  # pixels of a side; in smaller pictures there is no motion to be seen
AROUND, FAR_AROUND = 1.5, 5.0  # deviations in pixels of the blurs that average


@dataclass(frozen=True)
class Motion:
    """Where each pixel of a picture was in the one before.

    Attributes:
        flow: (2, H, W), how far to go from there in rows and in columns, in pixels.
        trust: (H, W), 1 where that holds, 0 where something came into sight, at the borders of what moves, and where
            the two do not look alike.
    """

    flow: Field
    trust: Field


def motion(now: Field, before: Field) -> Motion:
    """Dense optical flow from a picture back to the one before, checked forwards and backwards.

    Where it says nothing that stillness does not say, there is none: what stands still is not moved about by noise.

    Args:
        now, before: light, (H, W) in [0, 1].
    Reference:
        Le Besnerais & Champagnat 2005, Dense optical flow by iterative local window registration,
        https://doi.org/10.1109/ICIP.2005.1529706; Ruder, Dosovitskiy & Brox 2016, Artistic style transfer for videos,
        section 3.2, https://arxiv.org/abs/1604.08610
    """
    back, forth = _found(now, before), _found(before, now)
    returned = np.stack([warped(each, back) for each in forth])
    fails = _square(back + returned) > ROUND_TRIP[0] * (_square(back) + _square(returned)) + ROUND_TRIP[1]
    if min(now.shape) >= LEAST:
        fails |= _steepness(back) > BOUNDARY[0] * _square(back) + BOUNDARY[1]
    fails |= _difference(now, warped(before, back)) > ALIKE / 255
    return Motion(back, _without_islands((~fails).astype(np.float32)))


def _found(now: Field, before: Field) -> Field:
    """Flow back from a picture to the one before, where it says more than stillness does."""
    from skimage.registration import optical_flow_ilk

    if min(now.shape) < LEAST:
        return np.zeros((2, *now.shape), np.float32)
    flow = np.asarray(optical_flow_ilk(now, before), np.float32)  # type: ignore[no-untyped-call]
    still, moved = (_difference(now, each, FAR_AROUND) for each in (before, warped(before, flow)))
    return np.asarray(flow * (moved < STILL[0] * still - STILL[1] / 255))


def _without_islands(trust: Field) -> Field:
    """What is trusted, but for what is narrower than `ISLAND` and for a rim."""
    from scipy.ndimage import maximum_filter, minimum_filter

    wide = maximum_filter(minimum_filter(trust, ISLAND, mode="nearest"), ISLAND, mode="nearest")
    return np.asarray(minimum_filter(wide, RIM, mode="nearest"))


def warped(values: Field, flow: Field) -> Field:
    """Values (H, W) fetched from where a flow says they are; beyond the border those at it."""
    from scipy.ndimage import map_coordinates

    rows, columns = np.mgrid[: values.shape[0], : values.shape[1]]
    return np.asarray(map_coordinates(values, (rows + flow[0], columns + flow[1]), order=1, mode="nearest"))


def _difference(one: Field, other: Field, around: float = AROUND) -> Field:
    """How far two pictures differ around each place."""
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(np.abs(one - other), around))


def _square(flow: Field) -> Field:
    return np.asarray(np.square(flow).sum(axis=0))


def _steepness(flow: Field) -> Field:
    """Squared gradients of both components."""
    return np.asarray(sum(np.square(slope) for each in flow for slope in np.gradient(each)))
