"""Bezier curves of any degree."""

import math

import numpy as np
from numpy.typing import NDArray


def bernstein(degree: int, count: int) -> NDArray[np.float64]:
    """The Bernstein basis at evenly spaced parameters from 0 to 1.

    Args:
        degree: from 1 on.
        count: of parameters.
    Returns:
        (count, degree + 1); each row sums to 1.
    Example:
        >>> bernstein(2, 3)[1]
        array([0.25, 0.5 , 0.25])
    """
    at = np.linspace(0.0, 1.0, count)[:, None]
    order = np.arange(degree + 1)
    binomials = np.array([math.comb(degree, k) for k in order], np.float64)
    basis: NDArray[np.float64] = binomials * at**order * (1 - at) ** (degree - order)
    return basis


def bezier(control: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Points along Bezier curves.

    Args:
        control: (…, degree + 1, 2), any unit.
        count: of points on each curve.
    Returns:
        (…, count, 2); the first and last are the first and last control points.
    """
    points: NDArray[np.float64] = bernstein(control.shape[-2] - 1, count) @ control
    return points
