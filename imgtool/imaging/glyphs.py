"""Glyphs of several fonts: their coverage, their hulls, and which of them look alike."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import cv2
import numpy as np
from numpy.typing import NDArray

from imgtool.imaging.fonts import Font, cut_to_ink, glyph

DIRECTIONS = 64  # of a hull's points
SIDE, WIDEST = 40, 80  # pixels of height at which glyphs are compared, and of width at most
CANVAS = 94  # pixels, in which such a glyph can be turned
TURN = 5.0  # degrees between turns at which they are compared
SAMPLES = 32  # points of a glyph that are looked at first
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


def alike(fonts: Sequence[Font], characters: str, closest: float, rotation: float = 0.0) -> NDArray[np.bool_]:
    """Which two characters look alike: upright in any two of the fonts, or turned within a font, as 6 and 9.

    Glyphs are made equally high and laid over each other at their middles, for size and place are no help where both
    vary. They are as far apart as the ink of one is that is farthest from all ink of the other.

    Args:
        fonts: whose glyphs.
        characters: C of them.
        closest: what is nowhere farther apart than this share of their height looks alike.
        rotation: degrees that glyphs may be turned to either side, two of them by twice as much against each other.
    Returns:
        (C, C), symmetric; each is like itself.
    """
    found = np.eye(len(characters), dtype=bool)
    upright = [_Shapes.of([glyph(font.face(96), each) for each in characters]) for font in fonts]
    for one, other in combinations_with_replacement(upright, 2):
        one.mark(other, closest, found)
    most = min(2 * rotation, 180.0)
    for angle in np.linspace(0, most, math.ceil(most / TURN) + 1)[1:]:
        for shapes in upright:
            shapes.mark(shapes.turned(angle), closest, found)
    return found


@dataclass(frozen=True)
class _Shapes:
    """Glyphs of a font to be compared, C of them, on canvases of P pixels.

    Attributes:
        inks: (C, P), where ink is.
        away: (C, P), pixels from the nearest ink.
        points: (C, `SAMPLES`) of the ink of each.
    """

    inks: NDArray[np.bool_]
    away: NDArray[np.float32]
    points: NDArray[np.intp]

    @classmethod
    def of(cls, coverages: Sequence[NDArray[np.uint8]]) -> "_Shapes":
        """Shapes of glyphs, equally high."""
        inks = [_normal(each) for each in coverages]
        away = [cv2.distanceTransform(1 - ink, cv2.DIST_L2, 5).ravel() for ink in inks]
        places = [np.flatnonzero(ink) for ink in inks]
        points = [each[np.linspace(0, len(each) - 1, SAMPLES).astype(int)] for each in places]
        return cls(np.array(inks, bool).reshape(len(inks), -1), np.array(away), np.array(points))

    def turned(self, angle: float) -> "_Shapes":
        """All of them turned by some degrees, and equally high again."""
        turn = cv2.getRotationMatrix2D(((CANVAS - 1) / 2, (CANVAS - 1) / 2), angle, 1)
        canvases = 255 * self.inks.astype(np.uint8).reshape(-1, CANVAS, CANVAS)
        turned = [cv2.warpAffine(each, turn, (CANVAS, CANVAS)) for each in canvases]
        return _Shapes.of([each[cut_to_ink(each)] for each in turned])

    def mark(self, other: "_Shapes", closest: float, found: NDArray[np.bool_]) -> None:
        """Note in `found`, (C, C), which of these look like which of the others."""
        limit = closest * SIDE
        # What is far at some points is so as a whole.
        there = np.stack([other.away[:, points].max(axis=1) for points in self.points])
        back = np.stack([self.away[:, points].max(axis=1) for points in other.points], axis=1)
        for mine, theirs in np.argwhere((np.maximum(there, back) < limit) & ~found):
            apart = other.away[theirs, self.inks[mine]].max(), self.away[mine, other.inks[theirs]].max()
            if max(apart) < limit:
                found[mine, theirs] = found[theirs, mine] = True


def _normal(coverage: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Ink (1) of a glyph made `SIDE` high, in the middle of a canvas in which it can be turned."""
    height, width = coverage.shape
    wide = min(max(1, round(width * SIDE / height)), WIDEST)
    resized = cv2.resize(coverage, (wide, SIDE), interpolation=cv2.INTER_AREA)
    canvas = np.zeros((CANVAS, CANVAS), np.uint8)
    left, top = (CANVAS - wide) // 2, (CANVAS - SIDE) // 2
    canvas[top : top + SIDE, left : left + wide] = resized >= min(128, int(resized.max()))
    return canvas


def without_look_alikes(
    fonts: Sequence[Font], characters: str, closest: float, rotation: float = 0.0
) -> tuple[str, str]:
    """Characters that differ from all others kept before them.

    Args:
        fonts: in which they shall differ.
        characters: in the order of preference.
        closest, rotation: see `alike`.
    Returns:
        The characters kept, and those left out.
    """
    same = alike(fonts, characters, closest, rotation)
    kept: list[int] = []
    for index in range(len(characters)):
        if not same[index, kept].any():
            kept.append(index)
    left_out = [each for index, each in enumerate(characters) if index not in kept]
    return "".join(characters[index] for index in kept), "".join(left_out)
