"""Glyphs of several fonts: their coverage, their hulls, and which of them look alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from imgtool.imaging.fonts import Font, glyph

DIRECTIONS = 64  # of a hull's points
SIDE = 40  # pixels of height at which glyphs are compared
MARGIN = 8
ANGLES = 9  # at which the reach of glyphs is looked at


@dataclass(frozen=True)
class GlyphSet:
    """Characters in several fonts, at one size.

    Attributes:
        fonts: F of them.
        characters: C of them.
        size: of the em, in pixels.
        coverage: [font][character] -> (h, w) uint8, with a margin of one pixel of nothing.
        centers: (F, C, 2), the middle of each bitmap as (x, y) pixels.
        outlines: [font][character] -> (points, 2), all around the ink, from the middle.
        hulls: (F, C, `DIRECTIONS`, 2), the farthest of these points in each direction.
    """

    fonts: tuple[Font, ...]
    characters: str
    size: int
    coverage: tuple[tuple[NDArray[np.uint8], ...], ...]
    centers: NDArray[np.float64]
    outlines: tuple[tuple[NDArray[np.float64], ...], ...]
    hulls: NDArray[np.float64]

    @classmethod
    def of(cls, fonts: Sequence[Font], characters: str, size: int) -> "GlyphSet":
        """Rasterise every character in every font."""
        coverage = tuple(
            tuple(np.pad(glyph(face, character), 1) for character in characters)
            for face in (font.face(size) for font in fonts)
        )
        centers = np.array(
            [[((each.shape[1] - 1) / 2, (each.shape[0] - 1) / 2) for each in of_font] for of_font in coverage]
        )
        outlines = tuple(
            tuple(_outline(each) - center for each, center in zip(of_font, middles, strict=True))
            for of_font, middles in zip(coverage, centers, strict=True)
        )
        hulls = np.array([[_hull(each) for each in of_font] for of_font in outlines])
        return cls(tuple(fonts), characters, size, coverage, centers, outlines, hulls)

    def reach(self, rotation: float, shear: float) -> NDArray[np.float64]:
        """How wide and high each character may become in any of the fonts, (C, 2) pixels.

        Args:
            rotation: degrees to either side, at most.
            shear: horizontal shift for one unit of height, to either side, at most.
        """
        most = np.zeros((len(self.characters), 2))
        for angle in np.deg2rad(np.linspace(-rotation, rotation, ANGLES)):
            for slant in (-shear, shear):
                turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
                points = self.hulls @ (turn @ np.array([[1, slant], [0, 1]])).T
                most = np.maximum(most, np.ptp(points, axis=2).max(axis=0))
        return most


def _outline(coverage: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Corners of the outermost pixels of each row and column that ink covers by half, (points, 2) as (x, y)."""
    ink = coverage >= min(128, int(coverage.max()))
    found = []
    for flipped in (False, True):  # rows, then columns
        lines = ink.T if flipped else ink
        there = np.flatnonzero(lines.any(axis=1))
        first = lines[there].argmax(axis=1)
        last = lines.shape[1] - 1 - lines[there, ::-1].argmax(axis=1)
        for ends, side in ((first, -0.5), (last, 0.5)):
            for corner in (-0.5, 0.5):
                points = np.stack([ends + side, there + corner], axis=1)
                found.append(points[:, ::-1] if flipped else points)
    return np.unique(np.concatenate(found), axis=0)


def _hull(outline: NDArray[np.float64]) -> NDArray[np.float64]:
    """The farthest points in `DIRECTIONS` directions."""
    angles = np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS
    reach = outline @ np.stack([np.cos(angles), np.sin(angles)])
    farthest: NDArray[np.float64] = outline[reach.argmax(axis=0)]
    return farthest


def distances(fonts: Sequence[Font], characters: str) -> NDArray[np.float64]:
    """How far apart the glyphs of each two characters are at most, in any two of the fonts.

    Glyphs are made equally high and laid over each other at their middles, for size and place are no help where both
    vary. Their distance is that of the ink of one which is farthest from all ink of the other.

    Args:
        fonts: whose glyphs.
        characters: C of them.
    Returns:
        (C, C), in heights of a glyph; 0 for the same shape.
    """
    inks = np.array(
        [[_normal(glyph(face, each)) for each in characters] for face in (f.face(96) for f in fonts)]
    )
    away = np.array([[cv2.distanceTransform(1 - ink, cv2.DIST_L2, 5) for ink in of_font] for of_font in inks])
    away = away.reshape(len(fonts), len(characters), -1)
    closest = np.full((len(characters),) * 2, np.inf)
    for one in range(len(fonts)):
        for other in range(len(fonts)):
            farthest = np.stack([away[other][:, ink.ravel() > 0].max(axis=1) for ink in inks[one]])
            back = np.stack([away[one][:, ink.ravel() > 0].max(axis=1) for ink in inks[other]]).T
            closest = np.minimum(closest, np.maximum(farthest, back))
    apart: NDArray[np.float64] = np.minimum(closest, closest.T) / SIDE
    return apart


def _normal(coverage: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Ink (1) of a glyph made `SIDE` high, in the middle of a wide canvas."""
    height, width = coverage.shape
    wide = min(max(1, round(width * SIDE / height)), 2 * SIDE)
    ink = cv2.resize(coverage, (wide, SIDE), interpolation=cv2.INTER_AREA) > 127
    canvas = np.zeros((SIDE + 2 * MARGIN, 2 * (SIDE + MARGIN)), np.uint8)
    left = (canvas.shape[1] - wide) // 2
    canvas[MARGIN : MARGIN + SIDE, left : left + wide] = ink
    return canvas


def without_look_alikes(fonts: Sequence[Font], characters: str, closest: float) -> tuple[str, str]:
    """Characters that differ from all others kept before them.

    Args:
        fonts: in which they shall differ.
        characters: in the order of preference.
        closest: `distances` below this are look-alikes.
    Returns:
        The characters kept, and those left out.
    """
    apart = distances(fonts, characters) >= closest
    kept: list[int] = []
    for index in range(len(characters)):
        if all(apart[index, other] for other in kept):
            kept.append(index)
    left_out = [each for index, each in enumerate(characters) if index not in kept]
    return "".join(characters[index] for index in kept), "".join(left_out)
