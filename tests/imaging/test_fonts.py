import numpy as np
import pytest
from PIL import ImageFont

from imgtool.errors import OptionError
from imgtool.imaging import fonts
from imgtool.imaging.fonts import Font, find_fonts, glyph, lacking
from imgtool.options.captcha import DEFAULT_FAMILIES


@pytest.fixture
def own_font(monkeypatch):
    """The font of a machine that has no families: Pillow's."""
    monkeypatch.setattr(fonts, "_family", lambda name: None)
    (font,) = find_fonts(())
    return font


def test_families_of_the_extra_are_the_default():
    found = find_fonts(())
    assert [font.origin for font in found] == list(DEFAULT_FAMILIES)
    assert len({font.sha256 for font in found}) == len(DEFAULT_FAMILIES)


def test_falls_back_on_pillows_own(own_font):
    assert own_font.name == " ".join(ImageFont.load_default(16).getname())
    assert lacking(own_font, "ABCxyz019") == ""


def test_files_folders_and_families(tmp_path, own_font, monkeypatch):
    (tmp_path / "b.ttf").write_bytes(own_font.data)
    (tmp_path / "note.txt").write_text("no font")
    assert [font.origin for font in find_fonts([str(tmp_path)])] == [str(tmp_path / "b.ttf")]
    assert len(find_fonts([str(tmp_path), str(tmp_path / "b.ttf")])) == 1  # the same font is taken once
    monkeypatch.undo()
    assert [font.origin for font in find_fonts(["kalam"])] == ["kalam"]


@pytest.mark.parametrize("given", ["missing.ttf", "no-such-family"])
def test_what_is_not_there(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match="neither a file, a folder nor an installed family") as caught:
        find_fonts([given])
    assert caught.value.option == "font"


@pytest.mark.parametrize("data", [b"", b"no font at all", b"\0\1\0\0" + b"\xff" * 400])
def test_what_is_no_font(data, tmp_path):
    (tmp_path / "bad.ttf").write_bytes(data)
    with pytest.raises(OptionError, match="cannot be read: it is no font"):
        find_fonts([str(tmp_path / "bad.ttf")])


def test_empty_folder(tmp_path):
    with pytest.raises(OptionError, match="holds no font"):
        find_fonts([str(tmp_path)])


def test_names_characters_that_it_lacks(own_font):
    assert lacking(own_font, "AЖ中 B") == "Ж中 "


def test_glyph_is_cut_to_its_ink(own_font):
    coverage = glyph(own_font.face(64), "L")
    assert coverage[0].any() and coverage[-1].any() and coverage[:, 0].any() and coverage[:, -1].any()
    assert 30 < coverage.shape[0] < 64


def test_variable_fonts_have_a_medium_weight():
    def ink(data, size):
        return np.count_nonzero(glyph(data.face(size), "H") > 127)

    (font,) = find_fonts(["source-code-pro"])  # whose default is ExtraLight
    light = ImageFont.truetype(font.origin and fonts._family("source-code-pro"), 64)
    assert ink(font, 64) > 1.5 * np.count_nonzero(np.array(light.getmask("H", mode="L")) > 127)
    assert font.name == "Source Code Pro at weight 500"


def test_same_font_by_two_ways_is_equal(own_font):
    assert Font.of(own_font.data) == own_font
