"""Contrast as WCAG 2.2 defines it, and colours that have enough of it.

Reference:
    https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio and #dfn-relative-luminance
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
WEIGHTS = np.array([0.2126, 0.7152, 0.0722])  # of linear red, green and blue
FLARE = 0.05


def linear(levels: NDArray[Any]) -> Floats:
    """Linear light of sRGB levels.

    Args:
        levels: 0 to 255, any shape.
    Returns:
        0 to 1, the same shape.
    """
    share = np.asarray(levels, np.float64) / 255
    result: Floats = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return result


def luminance(colors: NDArray[Any]) -> Floats:
    """Relative luminance of colours.

    Args:
        colors: (…, 3), levels from 0 to 255.
    Returns:
        (…), 0 for black to 1 for white.
    """
    result: Floats = linear(colors) @ WEIGHTS
    return result


def contrast(one: NDArray[Any], other: NDArray[Any]) -> Floats:
    """Contrast ratio of two luminances, from 1 to 21."""
    result: Floats = (np.maximum(one, other) + FLARE) / (np.minimum(one, other) + FLARE)
    return result


def darker(colors: Floats, at_most: NDArray[Any]) -> NDArray[np.uint8]:
    """Colours of the same hue whose luminance is below a limit: dimmed as far as that needs.

    Args:
        colors: (…, 3), levels.
        at_most: (…), luminance from 0 on.
    Returns:
        (…, 3), levels, rounded down.
    """
    light = linear(colors)
    factor = np.minimum(1.0, at_most / np.maximum(light @ WEIGHTS, 1e-9))
    return _levels(light * factor[..., None], np.floor)


def lighter(colors: Floats, at_least: NDArray[Any]) -> NDArray[np.uint8]:
    """Colours mixed with as much white as brings their luminance above a limit.

    Args:
        colors: (…, 3), levels.
        at_least: (…), luminance up to 1.
    Returns:
        (…, 3), levels, rounded up.
    """
    light = linear(colors)
    dark = light @ WEIGHTS
    share = np.clip((at_least - dark) / np.maximum(1 - dark, 1e-9), 0.0, 1.0)
    return _levels(light + (1 - light) * share[..., None], np.ceil)


def _levels(light: Floats, rounding: Any) -> NDArray[np.uint8]:
    """Linear light as levels; a hair of tolerance, for 255 must not become 254."""
    share = np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 0) ** (1 / 2.4) - 0.055)
    hair = 1e-6 if rounding is np.floor else -1e-6
    levels: NDArray[np.uint8] = np.clip(rounding(share * 255 + hair), 0, 255).astype(np.uint8)
    return levels
