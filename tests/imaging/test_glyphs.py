import string

import numpy as np
import pytest

from imgtool.imaging.fonts import find_fonts
from imgtool.imaging.glyphs import GlyphSet, alike, without_look_alikes


@pytest.fixture(scope="module")
def families():
    return find_fonts(())


@pytest.fixture(scope="module")
def looks_like(families):
    characters = string.ascii_uppercase + string.digits + "lco"
    matrix = alike(families, characters, 0.095)
    np.testing.assert_array_equal(matrix, matrix.T)
    return lambda one, other: matrix[characters.index(one), characters.index(other)]


@pytest.mark.parametrize("pair", ["0O", "1I", "Il", "Cc", "Oo", "AA"])
def test_what_people_mistake_is_alike(looks_like, pair):
    assert looks_like(*pair)


@pytest.mark.parametrize("pair", ["AB", "MQ", "RP", "FE", "CO", "TL", "47", "69", "MW", "NZ"])
def test_what_people_tell_apart_is_not(looks_like, pair):
    assert not looks_like(*pair)


@pytest.mark.parametrize(("pair", "rotation"), [("69", 90.0), ("69", 180.0), ("MW", 90.0), ("7L", 90.0)])
def test_turned_glyphs_look_alike(families, pair, rotation):
    """By as much as both together may turn."""
    assert alike(families, pair, 0.095, rotation)[0, 1]
    assert not alike(families, pair, 0.095, rotation / 3)[0, 1]


def test_thin_characters_can_be_compared(families):
    assert not alike(families, "-|.W", 0.095, 180.0)[3, :3].any()


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
