"""Thin edge maps as vector paths: traced, simplified, smoothed, and written as SVG."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeAlias
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from imgtool.files import printable
from imgtool.imaging.recipes import NAMESPACE, from_xmp

Polyline: TypeAlias = NDArray[np.int32]  # (N, 2) of (column, row); a closed one ends where it begins

TOLERANCE_PX = 1.0  # a pixel chain lies up to half a pixel off the line that it stands for, on either side
UNIT = 10  # coordinates of curves are written in tenths of a pixel


def trace(thinned: NDArray[np.bool_], *, min_pixels: int = 1) -> list[Polyline]:
    """The lines of a thin mask as chains of neighbouring pixels that together cover it exactly.

    Pixels touch along sides, and across corners where no pixel beside both joins them (m-adjacency of
    Rosenfeld 1970), so that the steps of a slanted line are no junctions. Ends and junctions (pixels with three or
    more neighbours) end a path; those of a junction all have it as their end. A ring without junctions
    begins and ends at one of its pixels. A pixel on its own is a path of one point.

    Args:
        thinned: (H, W). Any mask will do; what is thicker than one pixel becomes a mesh.
        min_pixels: leave out what consists of fewer connected pixels.
    Returns:
        Paths in (x, y), that is column and row; each pair of neighbours is joined by just one of them.
    """
    spots = np.flatnonzero(thinned)
    if not len(spots):
        return []
    rows, columns = np.divmod(spots, thinned.shape[1])
    # One column wider, so that the last pixel of a row is no neighbour of the next row's first
    neighbours = _neighbours(rows * (thinned.shape[1] + 1) + columns, thinned.shape[1] + 1)
    order, ends = _walk(neighbours)
    points = np.stack((columns, rows), axis=1).astype(np.int32)[order]
    paths = np.split(points, ends[:-1])
    if min_pixels > 1:
        sizes = _component_sizes(neighbours)[order[np.append(0, ends[:-1])]]
        paths = [path for path, size in zip(paths, sizes, strict=True) if size >= min_pixels]
    return paths


def pruned(thinned: NDArray[np.bool_], spur_px: int = 3) -> NDArray[np.bool_]:
    """A thin mask without the short branches that thinning leaves beside a line.

    The shortest go first, as a line that has lost its spurs has no junctions there, and keeps its own end.

    Args:
        thinned: (H, W).
        spur_px: branches of a junction that end freely within so many steps are cut off.
    """
    kept = thinned.copy()
    for steps in range(1, spur_px + 1):
        paths = trace(kept)
        if not paths:
            break
        ends = np.concatenate([path[[0, -1]] for path in paths])
        _, place, counts = np.unique(ends, axis=0, return_inverse=True, return_counts=True)
        meeting = counts[place].reshape(-1, 2)  # how many paths end where each begins, and where it ends
        short = np.array([len(path) <= steps + 1 for path in paths])
        for index in np.flatnonzero(short & (meeting.min(1) == 1) & (meeting.max(1) > 2)):
            path, free = paths[index], slice(0, -1) if meeting[index, 0] == 1 else slice(1, None)
            kept[path[free, 1], path[free, 0]] = False
    return kept


def _neighbours(keys: NDArray[np.int64], stride: int) -> NDArray[np.int32]:
    """(P, 8) indices of each pixel's neighbours, -1 where there is none.

    Args:
        keys: (P,) ascending places of the pixels in a grid with `stride` places a row.
    """
    table = np.full((len(keys), 8), -1, np.int32)

    def join(side: int, opposite: int, offset: int, between: tuple[int, ...]) -> None:
        found = np.searchsorted(keys, keys + offset)
        found[found == len(keys)] = 0
        here = np.flatnonzero((keys[found] == keys + offset) & (table[:, between] < 0).all(1))
        table[here, side] = found[here]
        table[found[here], opposite] = here

    east, west, south, north, southeast, northwest, southwest, northeast = range(8)
    join(east, west, 1, ())
    join(south, north, stride, ())
    join(southeast, northwest, stride + 1, (south, east))
    join(southwest, northeast, stride - 1, (south, west))
    return table


def _walk(neighbours: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All paths one after the other, as indices of pixels, and where each ends."""
    counts = (neighbours >= 0).sum(1)
    # Of a pixel with two neighbours this gives the one from the other
    pairs = np.bitwise_xor.reduce(np.maximum(neighbours, 0), axis=1).tolist()
    inner = (counts == 2).tolist()
    ahead = [True] * len(inner)
    order: list[int] = np.flatnonzero(counts == 0).tolist()
    ends = list(range(1, len(order) + 1))

    def go(start: int, first: int) -> tuple[int, int]:
        before, here = start, first
        order.append(start)
        while inner[here] and here != start:
            order.append(here)
            ahead[here] = False
            before, here = here, pairs[here] ^ before
        order.append(here)
        ends.append(len(order))
        return here, before

    nodes, sides = np.nonzero((neighbours >= 0) & (counts != 2)[:, None])
    walked = set()  # paths that were met at their other end
    for arm in zip(nodes.tolist(), neighbours[nodes, sides].tolist(), strict=True):
        if arm not in walked:
            walked.add(go(*arm))
    rings = np.flatnonzero((counts == 2) & ahead)
    for start, first in zip(rings.tolist(), neighbours[rings].max(1).tolist(), strict=True):
        if ahead[start]:
            ahead[start] = False
            go(start, first)
    return np.array(order), np.array(ends)


def _component_sizes(neighbours: NDArray[np.int32]) -> NDArray[np.int64]:
    """(P,) how many pixels each pixel is connected to, itself included."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    here, side = np.nonzero(neighbours >= 0)
    links = coo_array(
        (np.ones(len(here), bool), (here, neighbours[here, side])), shape=(len(neighbours),) * 2
    )
    _, labels = connected_components(links, directed=False)
    sizes: NDArray[np.int64] = np.bincount(labels)[labels]
    return sizes


def strengths(paths: Sequence[Polyline], probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """The mean probability along each path, of all its pixels: (P,) in [0, 1].

    Args:
        paths: what `trace` returned, before it is simplified.
        probabilities: (H, W) in [0, 1].
    """
    if not paths:
        return np.zeros(0)
    x, y = np.concatenate(paths).T
    lengths = np.array([len(path) for path in paths])
    sums = np.add.reduceat(probabilities[y, x].astype(np.float64), lengths.cumsum() - lengths)
    return np.asarray(sums / lengths)


def simplify(paths: Sequence[Polyline], tolerance: float = TOLERANCE_PX) -> list[Polyline]:
    """Paths with fewer points, none of which strays from the pixels that it replaces by more than the tolerance.

    All paths are halved at once, level by level: one after the other they take ten times as long.

    Args:
        paths: open or closed; their ends stay where they are.
        tolerance: in pixels; 0 only drops what lies exactly on a line.
    Reference:
        Ramer 1972; Douglas & Peucker 1973.
    """
    if not paths:
        return []
    points = np.concatenate(paths)
    ends = np.cumsum([len(path) for path in paths])
    keep = np.zeros(len(points), bool)
    first, last = np.append(0, ends[:-1]), ends - 1
    keep[first] = keep[last] = True
    while len(first := first[inside := last - first > 1]):
        last = last[inside]
        farthest, distance = _farthest(points, first, last)
        far = distance > tolerance
        middle = farthest[far]
        keep[middle] = True
        first, last = np.append(first[far], middle), np.append(middle, last[far])
    left = np.add.reduceat(keep, np.append(0, ends[:-1]), dtype=np.int64)
    return np.split(points[keep], left.cumsum()[:-1])


def _farthest(
    points: Polyline, first: NDArray[np.int64], last: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Of each stretch, the inner point farthest from the line between its ends, and how far that is."""
    counts = last - first - 1
    begins = counts.cumsum() - counts
    stretch = np.repeat(np.arange(len(first)), counts)
    inner = np.arange(len(stretch)) + (first + 1 - begins)[stretch]
    start = points[first].astype(np.float64)
    chord = points[last] - start
    offset = points[inner] - start[stretch]
    along = (offset * chord[stretch]).sum(1) / np.maximum((chord**2).sum(1), 1e-12)[stretch]
    distance = np.hypot(*(offset - along.clip(0, 1)[:, None] * chord[stretch]).T)
    greatest = np.maximum.reduceat(distance, begins)
    candidates = np.flatnonzero(distance == greatest[stretch])
    _, foremost = np.unique(stretch[candidates], return_index=True)
    return inner[candidates[foremost]], greatest


def beziers(path: Polyline) -> NDArray[np.float64]:
    """A smooth curve through the points of a path: centripetal Catmull-Rom, which neither loops nor overshoots.

    Args:
        path: (N, 2), N at least 2, no point repeated at once; closed if it ends where it begins.
    Returns:
        (N - 1, 4, 2), a cubic Bezier curve from each point to the next: start, two handles, end.
    Reference:
        Yuksel et al. 2011, "Parameterization and applications of Catmull-Rom curves".
    """
    points = path.astype(np.float64)
    if is_closed(path):
        before, after = points[-2], points[1]
    else:  # As if it went straight on
        before, after = 2 * points[0] - points[1], 2 * points[-1] - points[-2]
    chords = np.diff(np.concatenate((before[None], points, after[None])), axis=0)
    # Square roots of the distances between points are what makes it centripetal
    steps = np.sqrt(np.hypot(*chords.T))[:, None]
    slopes, ahead, behind = chords / steps, steps[1:], steps[:-1]
    tangents = (slopes[:-1] * ahead + slopes[1:] * behind) / (ahead + behind)
    start, end, third = points[:-1], points[1:], steps[1:-1] / 3
    return np.stack((start, start + tangents[:-1] * third, end - tangents[1:] * third, end), axis=1)


def is_closed(path: Polyline) -> bool:
    """Whether a path is a ring."""
    return len(path) > 2 and bool((path[0] == path[-1]).all())


def svg(
    paths: Sequence[Polyline],
    width: int,
    height: int,
    *,
    background: str | None = None,
    opacities: Iterable[float] | None = None,
    smooth: bool = False,
    title: str = "edges",
    recipe: str | None = None,
) -> str:
    """A drawing of paths in black lines, one pixel wide, that stands on its own and lies exactly on the picture.

    Args:
        paths: what `trace` or `simplify` returned.
        width, height: of the picture, in pixels.
        background: a colour as SVG names it; without one it is transparent.
        opacities: of each path in [0, 1], as `strengths` gives them.
        smooth: whether curves are laid through the points, or straight lines.
        title: what viewers call it.
        recipe: JSON of how it was made, which `svg_recipe` finds again.
    """
    size = f'width="{width}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:imgtool="{NAMESPACE}" {size} '
        f'viewBox="0 0 {width} {height}">',
        f"<title>{escape(printable(title))}</title>",
    ]
    if recipe is not None:
        lines.append(f"<metadata><imgtool:recipe>{escape(recipe)}</imgtool:recipe></metadata>")
    if background is not None:
        lines.append(f"<rect {size} fill={quoteattr(background)}/>")
    # SVG counts from a pixel's corner, paths from its centre
    lines.append(
        '<g transform="translate(.5 .5)" fill="none" stroke="#000000" '
        'stroke-width="1" stroke-linecap="round" stroke-linejoin="round">'
    )
    if opacities is None:
        lines += (f'<path d="{_path_data(path, smooth)}"/>' for path in paths)
    else:
        lines += (
            f'<path stroke-opacity="{_number(round(100 * opacity), 100)}" d="{_path_data(path, smooth)}"/>'
            for path, opacity in zip(paths, opacities, strict=True)
        )
    return "\n".join([*lines, "</g>", "</svg>", ""])


def svg_recipe(document: bytes) -> str | None:
    """The JSON of the recipe in a drawing that `svg` wrote; found by its element, no XML is interpreted.

    Args:
        document: the file, or enough of its beginning.
    """
    return from_xmp(document) if re.match(rb"\s*<svg\b", document) else None


def _path_data(path: Polyline, smooth: bool) -> str:
    """The `d` of a path: where it begins, then each step relative to the last point."""
    head = f"M{path[0, 0]} {path[0, 1]}"
    if len(path) == 1:
        return f"{head}h0"  # round caps make it a dot
    tail = "z" if is_closed(path) else ""
    if smooth and len(path) > 2:
        curves = np.rint(beziers(path) * UNIT).astype(np.int64)
        return f"{head}c{_numbers(curves[:, 1:] - curves[:, :1], UNIT)}{tail}"
    steps = np.diff(path, axis=0)
    return f"{head}l{_numbers(steps[:-1] if tail else steps, 1)}{tail}"


def _numbers(values: NDArray[np.integer], unit: int) -> str:
    """Whole numbers of units, with no space where a sign separates them."""
    if unit == 1:
        return " ".join(map(str, values.ravel().tolist())).replace(" -", "-")
    return " ".join([_number(value, unit) for value in values.ravel().tolist()]).replace(" -", "-")


def _number(value: int, unit: int) -> str:
    """The shortest notation of value / unit: ".5", "-.5", "12"."""
    text = f"{value / unit:g}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text
