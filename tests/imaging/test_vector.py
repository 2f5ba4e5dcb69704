"""Paths cover a mask exactly, stay close to it when simplified, and make SVG that lies on the picture."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.draw import circle_perimeter, line
from skimage.measure import approximate_polygon
from skimage.morphology import skeletonize

from imgtool.imaging.recipes import from_json, to_json
from imgtool.imaging.vector import (
    beziers,
    is_closed,
    pruned,
    simplify,
    strengths,
    svg,
    svg_recipe,
    trace,
)

SVG = "{http://www.w3.org/2000/svg}"
masks = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def mask(drawing):
    """A mask as it is drawn: `#` is set."""
    rows = drawing.split()
    return np.array([[place == "#" for place in row] for row in rows])


def rasterized(paths, shape):
    """Every pixel that the straight lines between a path's points go through."""
    found = np.zeros(shape, bool)
    for path in paths:
        for (x0, y0), (x1, y1) in zip(path, path[1:] if len(path) > 1 else path, strict=False):
            found[line(y0, x0, y1, x1)] = True
    return found


def ends(paths):
    return [tuple(path[end].tolist()) for path in paths for end in (0, -1)]


def circle(radius=20):
    found = np.zeros((2 * radius + 5, 2 * radius + 5), bool)
    found[circle_perimeter(radius + 2, radius + 2, radius)] = True
    return found


@settings(deadline=None, max_examples=60)
@given(masks)
def test_paths_cover_a_mask_exactly(thinned):
    paths = trace(thinned)
    assert (rasterized(paths, thinned.shape) == thinned).all()
    steps = [np.abs(np.diff(path, axis=0)).max(1) for path in paths]
    assert all((step == 1).all() for step in steps)


@settings(deadline=None, max_examples=60)
@given(masks)
def test_no_step_is_walked_twice_and_paths_meet_only_at_their_ends(thinned):
    paths = trace(thinned)
    pairs = [frozenset(map(tuple, pair)) for path in paths for pair in pairwise(path)]
    assert len(pairs) == len(set(pairs))
    inner = [tuple(point) for path in paths for point in path[1:-1]]
    assert len(inner) == len(set(inner)) and not set(inner) & set(ends(paths))


@settings(deadline=None, max_examples=40)
@given(masks, st.integers(2, 6))
def test_small_components_are_left_out_whole(pixels, fewest):
    from skimage.measure import label

    thinned = skeletonize(pixels)
    labels = label(thinned, connectivity=2)
    large = (np.bincount(labels.ravel()) >= fewest)[labels] & thinned
    assert (rasterized(trace(thinned, min_pixels=fewest), thinned.shape) == large).all()


@pytest.mark.parametrize("spur_px", range(5))
def test_short_side_branches_are_cut_off_and_lines_keep_their_ends(spur_px):
    found = np.zeros((9, 40), bool)
    found[4] = True
    line = found.copy()
    for length, column in enumerate((5, 15, 35), start=1):  # the last is closer to the end than it is long
        found[4 - length : 5 + length, column] = True
        if length > spur_px:
            line[4 - length : 5 + length, column] = True
    before = found.copy()
    assert (pruned(found, spur_px) == line).all() and (found == before).all()


def test_rings_and_lines_without_branches_are_left_as_they_are():
    for found in (circle(), mask("##.... ..##.. ....##"), mask("#"), np.zeros((3, 3), bool)):
        assert (pruned(found) == found).all()


def test_nothing_has_no_paths():
    assert trace(np.zeros((3, 4), bool)) == simplify([]) == []
    assert strengths([], np.zeros((3, 4), np.float32)).shape == (0,)
    assert "<path" not in svg([], 4, 3)


def test_a_pixel_alone_is_a_dot():
    (path,) = trace(mask("... .#. ..."))
    assert path.tolist() == [[1, 1]]
    assert 'd="M1 1h0"' in svg([path], 3, 3)
    assert trace(mask("... .#. ..."), min_pixels=2) == []


def test_rows_do_not_run_into_each_other():
    assert len(trace(mask("...# #..."))) == 2


@pytest.mark.parametrize("to", [(30, 0), (0, 30), (30, 30), (30, -30), (30, 11), (7, -29)])
def test_a_straight_line_becomes_two_points(to):
    found = np.zeros((70, 70), bool)
    found[line(35, 20, 35 + to[1], 20 + to[0])] = True
    (path,) = simplify(trace(found))
    assert {tuple(point) for point in path.tolist()} == {(20, 35), (20 + to[0], 35 + to[1])}


def test_the_steps_of_a_slanted_line_are_no_junctions():
    (path,) = trace(mask("##.... .##... ..##.. ...##. ....##"))
    assert len(path) == 10


def test_a_junction_belongs_to_all_its_paths():
    paths = trace(mask("..#.. ..#.. ##### ....."))
    assert len(paths) == 3
    assert ends(paths).count((2, 2)) == 3
    assert len(trace(mask("#...# .#.#. ..#.. .#.#. #...#"))) == 4


def test_circles_close():
    (path,) = trace(circle())
    assert is_closed(path)
    (fewer,) = simplify([path])
    assert is_closed(fewer) and 8 <= len(fewer) < len(path) / 3
    assert not is_closed(trace(mask("####"))[0])


def test_a_loop_at_a_junction_begins_and_ends_there():
    paths = trace(mask("....... .###... .#.#### .###..."))
    assert any(is_closed(path) and path[0].tolist() == [3, 2] for path in paths)


@settings(deadline=None, max_examples=40)
@given(masks, st.sampled_from([0.5, 1.0, 1.6, 3.0]))
def test_simplified_paths_stay_within_the_tolerance(pixels, tolerance):
    paths = trace(skeletonize(pixels))
    for path, fewer in zip(paths, simplify(paths, tolerance), strict=True):
        assert (fewer[[0, -1]] == path[[0, -1]]).all()
        start, chord = fewer[:-1], np.diff(fewer, axis=0)
        for point in path if len(fewer) > 1 else []:
            along = ((point - start) * chord).sum(1) / np.maximum((chord**2).sum(1), 1)
            away = np.linalg.norm(point - start - along.clip(0, 1)[:, None] * chord, axis=1)
            assert away.min() <= tolerance + 1e-9


def test_simplified_as_scikit_image_does():
    random = np.random.default_rng(0)
    paths = [random.integers(0, 1000, (count, 2)).astype(np.int32) for count in (2, 3, 40, 200)]
    for path, fewer in zip(paths, simplify(paths, 150.0), strict=True):
        assert 2 <= len(fewer) <= len(path)
        assert fewer.tolist() == approximate_polygon(path.astype(float), 150.0).tolist()


def test_strength_is_the_mean_along_the_whole_path():
    probabilities = np.zeros((2, 5), np.float32)
    probabilities[0] = [0.1, 0.2, 0.6, 0.2, 0.4]
    probabilities[1, 4] = 1
    paths = [np.array([[0, 0], [1, 0], [2, 0], [3, 0], [4, 0]]), np.array([[4, 1]])]
    assert strengths(paths, probabilities) == pytest.approx([0.3, 1])


def test_curves_pass_through_the_points_and_stay_round():
    (ring,) = simplify(trace(circle(40)))
    curves = beziers(ring)
    assert (curves[:, 0] == ring[:-1]).all() and (curves[:, 3] == ring[1:]).all()
    tangents = curves[:, 1] - curves[:, 0], curves[:, 3] - curves[:, 2]
    arriving, leaving = np.roll(tangents[1], 1, axis=0), tangents[0]
    turn = arriving[:, 0] * leaving[:, 1] - arriving[:, 1] * leaving[:, 0]
    assert np.abs(turn).max() < 1e-9  # no corner, nor where the ring closes
    t = np.linspace(0, 1, 9)[:, None, None]
    basis = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
    drawn = sum(weight * curves[None, :, index] for index, weight in enumerate(basis))
    assert np.abs(np.hypot(*(drawn - 42).reshape(-1, 2).T) - 40).max() < 1.1


def test_handles_of_a_straight_line_lie_on_it():
    curves = beziers(np.array([[0, 0], [3, 0], [50, 0], [51, 0]]))
    assert (curves[..., 1] == 0).all()
    assert (np.diff(curves[..., 0].ravel()) >= 0).all()


def absolute(data):
    """The points of an `M … l …` or `M … c …` path."""
    numbers = [float(number) for number in re.findall(r"-?(?:\d+\.?\d*|\.\d+)", data)]
    points = np.array(numbers).reshape(-1, 2)
    if "c" in data:
        ends = points[3::3].cumsum(0) + points[0]
        return np.concatenate((points[:1], ends))
    return points.cumsum(0)


@pytest.mark.parametrize("smooth", [False, True])
def test_svg_has_the_size_of_the_picture_and_its_paths(smooth):
    paths = simplify(trace(mask("#..... .#.... ..#... ..#... ..#### ......")), 0.5)
    root = ElementTree.fromstring(svg(paths, 6, 7, background="white", title="a & b", smooth=smooth))
    assert root.tag == f"{SVG}svg"
    assert (root.get("width"), root.get("height"), root.get("viewBox")) == ("6", "7", "0 0 6 7")
    assert root.findtext(f"{SVG}title") == "a & b"
    assert root.find(f"{SVG}rect").get("fill") == "white"
    group = root.find(f"{SVG}g")
    assert group.get("transform") == "translate(.5 .5)"
    data = [path.get("d") for path in group]
    assert len(data) == len(paths)
    for text, path in zip(data, paths, strict=True):
        assert ("c" in text) == (smooth and len(path) > 2)
        assert absolute(text) == pytest.approx(path, abs=0.01)


def test_a_ring_is_closed_in_svg():
    (ring,) = simplify(trace(circle()))
    straight, curved = svg([ring], 45, 45), svg([ring], 45, 45, smooth=True)
    assert straight.count('z"') == curved.count('z"') == 1
    assert absolute(re.search('d="(.*)"', straight)[1]) == pytest.approx(ring[:-1])
    assert absolute(re.search('d="(.*)"', curved)[1]) == pytest.approx(ring, abs=0.01)


def test_svg_tells_how_strong_a_path_is():
    paths = [np.array([[0, 0], [3, 0]]), np.array([[0, 1], [3, 1]]), np.array([[0, 2]])]
    root = ElementTree.fromstring(svg(paths, 4, 4, opacities=[1, 0.254, 0]))
    assert [float(path.get("stroke-opacity")) for path in root.iter(f"{SVG}path")] == [1, 0.25, 0]
    with pytest.raises(ValueError):
        svg(paths, 4, 4, opacities=[1])


def test_values_cannot_leave_their_place():
    hostile = '"/><script>&</script><imgtool:recipe>{}</imgtool:recipe>\x00'
    document = svg([], 1, 1, background=hostile[:-1], title=hostile)
    root = ElementTree.fromstring(document)
    assert root.find(f".//{SVG}script") is None
    assert root.find(f"{SVG}rect").get("fill") == hostile[:-1]
    assert svg_recipe(document.encode()) is None


def test_the_recipe_comes_back():
    recipe = {"command": "edges", "inputs": ["a & <b>.png", "]]></metadata>", "ü\n"], "seed": 2**63}
    document = svg([np.array([[0, 0]])], 1, 1, title="<imgtool:recipe>", recipe=to_json(recipe)).encode()
    ElementTree.fromstring(document)
    assert from_json(svg_recipe(document), "x.svg") == recipe
    assert svg_recipe(svg([], 1, 1).encode()) is None
    assert svg_recipe(b"\x89PNG" + document) is None


def test_entities_are_not_expanded():
    bomb = b'<!DOCTYPE svg [<!ENTITY a "aaaa">]><svg><imgtool:recipe>&a;</imgtool:recipe></svg>'
    assert svg_recipe(bomb) is None
    assert svg_recipe(b"<svg><imgtool:recipe>&a;&#x41;</imgtool:recipe></svg>") == "&a;&#x41;"
