"""What is known about each glyph of a captcha, from the geometry that it was drawn by."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imgtool.imaging.contrast import contrast, luminance
from imgtool.imaging.glyphs import GlyphSet
from imgtool.tasks.captcha_plan import Plan

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Glyph:
    """What is known about a character of a captcha. Coordinates are (x, y) pixels of the finished picture.

    Attributes:
        character: which.
        font: name of its font.
        size: of the em, in pixels.
        angle: degrees, clockwise.
        center: where the middle of its ink is.
        box: left, top, right and bottom of its ink.
        quad: the corners of its upright box after turn, shear and wave: clockwise from the top left one.
        color: red, green and blue, 0 to 255.
        contrast: WCAG ratio against the background.
        visible: share of its ink that neither other glyphs nor lines nor dots cover.
    """

    character: str
    font: str
    size: float
    angle: float
    center: tuple[float, float]
    box: tuple[float, float, float, float]
    quad: tuple[tuple[float, float], ...]
    color: tuple[int, int, int]
    contrast: float
    visible: float


def glyph_truths(
    numbers: Plan,
    at: int,
    glyphs: GlyphSet,
    visible: Sequence[float],
    below: Floats,
    size: tuple[int, int],
) -> tuple[Glyph, ...]:
    """The glyphs of one captcha.

    Args:
        numbers: of its block.
        at: which of the block.
        glyphs: the set that it was drawn from.
        visible: share of each glyph's ink that is seen.
        below: luminance of the background, (H, W) or (1,).
        size: (width, height) of the picture.
    """
    count = int(numbers.counts[at])
    fonts, characters = numbers.fonts[at, :count], numbers.characters[at, :count]
    outlines = [glyphs.outlines[f][c] for f, c in zip(fonts, characters, strict=True)]
    # The middle, the corners, and the ink of each glyph go through the wave together.
    points = [np.concatenate([np.zeros((1, 2)), _corners(each), each]) for each in outlines]
    placed = [
        each @ matrix.T + place
        for each, matrix, place in zip(points, numbers.matrices[at], numbers.places[at], strict=False)
    ]
    moved = numbers.wave(at).moved(np.concatenate(placed))
    seen = np.split(moved, np.cumsum([len(each) for each in placed])[:-1])
    limits = [-0.5, -0.5], [size[0] - 0.5, size[1] - 0.5]
    boxes = [np.clip([each[5:].min(axis=0), each[5:].max(axis=0)], *limits).ravel() for each in seen]
    return tuple(
        Glyph(
            character=character,
            font=glyphs.fonts[fonts[k]].name,
            size=float(numbers.scales[at, k] * glyphs.size),
            angle=float(numbers.angles[at, k]),
            center=_pair(seen[k][0]),
            box=tuple(boxes[k].tolist()),
            quad=tuple(map(_pair, seen[k][1:5])),
            color=tuple(numbers.inks[at, k].tolist()),
            contrast=_least_contrast(luminance(numbers.inks[at, k]), below, boxes[k]),
            visible=visible[k],
        )
        for k, character in enumerate(numbers.texts[at])
    )


def _least_contrast(ink: Floats, below: Floats, box: Floats) -> float:
    """Of an ink against the background under a box."""
    if below.ndim == 2:
        left, top = np.maximum(0, np.floor(box[:2])).astype(int)
        right, bottom = np.ceil(box[2:]).astype(int) + 1
        below = below[top:bottom, left:right]
    return float(contrast(ink, below).min())


def _corners(outline: Floats) -> Floats:
    """Of the upright box, clockwise from the top left one, (4, 2)."""
    (left, top), (right, bottom) = outline.min(axis=0), outline.max(axis=0)
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def _pair(point: Floats) -> tuple[float, float]:
    return float(point[0]), float(point[1])
