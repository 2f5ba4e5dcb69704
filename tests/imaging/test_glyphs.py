import string

import numpy as np
import pytest

from imgtool.imaging.fonts import find_fonts
from imgtool.imaging.glyphs import GlyphSet, distances, without_look_alikes


@pytest.fixture(scope="module")
def families():
    return find_fonts(())


@pytest.fixture(scope="module")
def apart(families):
    characters = string.ascii_uppercase + string.digits + "lco"
    matrix = distances(families, characters)
    return lambda one, other: matrix[characters.index(one), characters.index(other)]


@pytest.mark.parametrize("pair", ["0O", "1I", "Il", "Cc", "Oo"])
def test_what_people_mistake_is_close(apart, pair):
    assert apart(*pair) < 0.095


@pytest.mark.parametrize("pair", ["AB", "MQ", "RP", "FE", "CO", "TL", "47"])
def test_what_people_tell_apart_is_far(apart, pair):
    assert apart(*pair) > 0.095


def test_distance_is_a_distance(families):
    matrix = distances(families[:2], "ABC8")
    np.testing.assert_array_equal(np.diag(matrix), 0)
    np.testing.assert_array_equal(matrix, matrix.T)


def test_the_first_of_two_stays(families):
    assert without_look_alikes(families, "O0AB", 0.095) == ("OAB", "0")
    assert without_look_alikes(families, "0OAB", 0.095) == ("0AB", "O")
    assert without_look_alikes(families, "O0AB", 0.0) == ("O0AB", "")


def test_depends_on_the_fonts(families):
    by_name = {font.origin: font for font in families}
    plain = without_look_alikes([by_name["roboto"]], "O0", 0.095)[0]
    dotted = without_look_alikes([by_name["ibm-plex-serif"]], "O0", 0.095)[0]
    assert plain == "O" or dotted == "O0"


def test_hull_holds_all_ink(families):
    glyphs = GlyphSet.of(families[:2], "AQ8", 48)
    for f in range(2):
        for c in range(3):
            rows, columns = np.nonzero(glyphs.coverage[f][c] >= 128)
            low, high = glyphs.hulls[f, c].min(axis=0), glyphs.hulls[f, c].max(axis=0)
            middle = glyphs.centers[f, c]
            np.testing.assert_allclose(low + middle, [columns.min() - 0.5, rows.min() - 0.5])
            np.testing.assert_allclose(high + middle, [columns.max() + 0.5, rows.max() + 0.5])
