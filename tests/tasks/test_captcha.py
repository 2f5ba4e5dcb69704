import numpy as np
import pytest

from imgtool.errors import OptionError
from imgtool.imaging.contrast import contrast, luminance
from imgtool.imaging.fonts import find_fonts
from imgtool.options.captcha import CAPTCHA_LEVELS, CaptchaOptions
from imgtool.tasks.captcha import Captchas
from imgtool.tasks.captcha_drawing import Drawing
from imgtool.tasks.captcha_plan import BLOCK

ALPHABET = "ABCDEFGHKLMNPQRTUVWX34679"


@pytest.fixture(scope="module")
def fonts():
    return find_fonts(("roboto", "ibm-plex-serif", "kalam"))


@pytest.fixture
def style(fonts):
    """Captchas of a level, with some options."""

    def make(level="medium", *, scenes=(), secure=False, **given):
        options = CaptchaOptions.of_level(level, **given)
        return Captchas(options, fonts, alphabet=ALPHABET, scenes=scenes, secure=secure)

    return make


def same(one, other):
    return one.text == other.text and np.array_equal(one.pixels, other.pixels)


# Reproducible


def test_depends_on_seed_and_index_alone(style):
    one, other = style(seed=7), style(seed=7)
    order = [200, 3, 64, 63, 0, 130]
    drawn = {index: one.draw(index) for index in sorted(order)}
    assert all(same(other.draw(index), drawn[index]) for index in order)
    assert not any(same(style(seed=8).draw(index), drawn[index]) for index in order)
    assert len({captcha.pixels.tobytes() for captcha in drawn.values()}) == len(order)


def test_texts_depend_on_the_seed_not_on_the_look(style):
    assert [style("easy").text(i) for i in range(9)] == [style("hard", dots=3).text(i) for i in range(9)]


def test_look_depends_on_no_other_text(style):
    """So that a picture of a set of any texts can be made again by its own text."""
    words = style(words=("HELLO", "A", "WIDEXWORD"))
    for index in range(4):
        captcha = words.draw(index)
        assert same(style(text=captcha.text).draw(index), captcha)


def test_lengths(style):
    texts = [style(length=(4, 6)).text(index) for index in range(3 * BLOCK)]
    assert {len(text) for text in texts} == {4, 5, 6}
    assert set("".join(texts)) == set(ALPHABET)


def test_secure_texts_follow_no_seed(style):
    one, other = style(secure=True), style(secure=True)
    assert [one.text(i) for i in range(8)] != [other.text(i) for i in range(8)]
    again = style(text=one.text(5)).draw(5)
    assert same(one.draw(5), again)  # the look still does


# Guarantees


@pytest.mark.parametrize("level", CAPTCHA_LEVELS)
@pytest.mark.parametrize("more", [{}, {"colors": "each", "background": "gradient", "ink": "any"}])
def test_contrast_and_visible_share(style, level, more):
    captchas = style(level, **more)
    glyphs = [glyph for index in range(30) for glyph in captchas.draw(index).glyphs]
    assert min(glyph.contrast for glyph in glyphs) >= 4.5
    assert min(glyph.visible for glyph in glyphs) >= captchas.options.min_visible


@pytest.mark.parametrize("wanted", [1.0, 7.0, 12.0, 18.0, 21.0])
def test_any_contrast_that_there_is(style, wanted):
    captchas = style(min_contrast=wanted, ink="any", background="gradient", noise=0)
    for index in range(20):
        assert all(round(glyph.contrast, 6) >= wanted for glyph in captchas.draw(index).glyphs)


def test_contrast_is_that_of_the_pixels(style):
    """Of ink that covers all and of bare background, as they are seen."""
    captchas = style("easy", noise=0, lines=0, dots=0, font_size=(0.8, 0.8), wave=(0.0, 0.0))
    for index in range(10):
        captcha = captchas.draw(index)
        levels = luminance(captcha.pixels).ravel()
        seen = float(contrast(levels.min(), levels.max()))
        assert seen == pytest.approx(captcha.glyphs[0].contrast, rel=0.02)


@pytest.mark.parametrize("ink", ["dark", "light"])
def test_pictures_behind_are_made_light_or_dark_enough(style, ink):
    scene = np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)
    captchas = style(scenes=[scene], background="scene.png", ink=ink, noise=0)
    for index in range(10):
        captcha = captchas.draw(index)
        assert all(glyph.contrast >= 4.5 for glyph in captcha.glyphs)
        assert np.unique(captcha.pixels[:4].reshape(-1, 3), axis=0).shape[0] > 50  # it is still a picture


def test_visible_share_is_what_is_seen(style):
    """Against the masks, in which the later glyph lies above."""
    captchas = style(
        "easy", lines=0, dots=0, overlap=(0.3, 0.5), min_visible=0, wave=(0, 0), noise=0, size=(320, 120)
    )
    compared = 0
    for index in range(12):
        captcha = captchas.draw(index, mask=True)
        for k, glyph in enumerate(captcha.glyphs):
            alone = captchas.draw(index, mask=True).mask == k + 1
            if glyph.visible > 0.999:
                continue
            compared += 1
            whole = _ink_of(captchas, index, k)
            assert alone.sum() / whole == pytest.approx(glyph.visible, abs=0.06)
    assert compared > 10


def test_what_curves_hide_of_colored_glyphs_is_what_is_seen(style):
    """They lie above them, in a colour of their own."""
    captchas = style(
        colors="each", lines=3, line_width=(0.1, 0.14), min_visible=0, wave=(0, 0), noise=0, size=(640, 240)
    )
    hidden = 0.0
    for index in range(6):
        captcha, drawing = captchas.draw(index), Drawing(captchas.studio, index)
        for k, glyph in enumerate(captcha.glyphs):
            stamp, left, top = drawing.stamp(k)
            inside = captcha.pixels[top : top + stamp.shape[0], left : left + stamp.shape[1]][stamp == 255]
            assert (inside == glyph.color).all(axis=1).mean() == pytest.approx(glyph.visible, abs=0.06)
            hidden += 1 - glyph.visible
    assert hidden > 2


def _ink_of(captchas, index, k):
    """Pixels that a glyph's ink would cover if nothing lay above it."""
    return (Drawing(captchas.studio, index).stamp(k)[0] >= 128).sum()


def test_curves_that_hide_too_much_are_left_away(style):
    captchas = style("hard", lines=8, line_width=(0.2, 0.3), min_visible=0.9, overlap=(-0.3, -0.2), dots=0)
    assert all(glyph.visible >= 0.9 for i in range(20) for glyph in captchas.draw(i).glyphs)
    assert any(
        glyph.visible < 0.9
        for i in range(20)
        for glyph in style("hard", lines=8, min_visible=0).draw(i).glyphs
    )


@pytest.mark.parametrize("wanted", [0.75, 0.95, 1.0])
def test_glyphs_that_would_hide_each_other_are_moved_apart(style, wanted):
    captchas = style("hard", overlap=(0.4, 0.6), min_visible=wanted, length=(4, 4))
    drawn = [captchas.draw(index) for index in range(20)]
    assert min(glyph.visible for captcha in drawn for glyph in captcha.glyphs) >= wanted - 0.003
    loose = style("hard", overlap=(0.4, 0.6), min_visible=0, length=(4, 4)).draw(0)
    assert drawn[0].text == loose.text and not np.array_equal(drawn[0].pixels, loose.pixels)


def test_backgrounds_that_are_not_there(style):
    scene = np.zeros((9, 9, 3), np.uint8)
    for given in (
        {"background": "not-there.jpg"},
        {"scenes": [scene]},
        {"scenes": [scene], "background": "gradient"},
    ):
        with pytest.raises(OptionError) as caught:
            style(**given)
        assert caught.value.option == "background"


def test_large_pictures_take_no_more_memory_than_their_glyphs(fonts):
    captchas = Captchas(CaptchaOptions(size=(60, 1500), text="A", dots=2000, wave=(0.0, 0.0)), fonts[:1])
    assert captchas.studio.glyphs.size <= 120
    assert captchas.draw(0).pixels.shape == (1500, 60, 3)


def test_look_alikes_are_left_out_by_the_fonts_in_use(fonts):
    captchas = Captchas(CaptchaOptions(), fonts)
    assert {"0", "1"} <= set(captchas.look_alikes) and not set(captchas.look_alikes) & set(captchas.alphabet)
    assert not set("".join(captchas.text(i) for i in range(2 * BLOCK))) & set(captchas.look_alikes)
    assert Captchas(CaptchaOptions(look_alike=0.0), fonts).look_alikes == ""
    assert Captchas(CaptchaOptions(text="0O1I"), fonts).draw(0).text == "0O1I"  # asked for by name


def test_look_alikes_are_left_out_at_the_turns_in_use(fonts):
    def left_out(rotation):
        options = CaptchaOptions(alphabet="AB69", rotation=rotation, length=(2, 2))
        return Captchas(options, fonts).look_alikes

    assert left_out(35.0) == ""
    assert left_out(180.0) == "9"


# Truth


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"size": (400, 150), "length": (3, 7)},
        {"wave": (0.1, 0.12)},
        {"size": (480, 180), "wave": (0.12, 0.12)},
    ],
)
def test_boxes_hold_the_ink_and_little_else(style, more):
    captchas = style("medium", overlap=(-0.2, -0.1), dots=0, lines=0, **more)
    for index in range(12):
        captcha = captchas.draw(index, mask=True)
        assert captcha.mask.max() == len(captcha.text)
        for k, glyph in enumerate(captcha.glyphs):
            rows, columns = np.nonzero(captcha.mask == k + 1)
            left, top, right, bottom = glyph.box
            found = np.array([columns.min(), rows.min(), columns.max(), rows.max()])
            # Half a pixel of a pixel's own size, one of soft edges and one of rounding.
            assert np.abs(found - [left, top, right, bottom]).max() < 3
            assert left <= glyph.center[0] <= right and top <= glyph.center[1] <= bottom


def test_quads_are_the_turned_boxes(style):
    captcha = style(wave=(0, 0), shear=0, rotation=25).draw(3)
    for glyph in captcha.glyphs:
        (x0, y0), (x1, y1) = glyph.quad[:2]
        assert np.degrees(np.arctan2(y1 - y0, x1 - x0)) == pytest.approx(glyph.angle, abs=1e-6)
        np.testing.assert_allclose(np.mean(glyph.quad, axis=0), glyph.center, atol=1.5)


def test_glyph_colors_are_those_of_the_pixels(style):
    captchas = style("easy", colors="each", noise=0, lines=0, dots=0, wave=(0, 0), font_size=(0.8, 0.8))
    captcha = captchas.draw(1, mask=True)
    for k, glyph in enumerate(captcha.glyphs):
        inside = captcha.pixels[captcha.mask == k + 1].astype(int)
        assert np.abs(inside - glyph.color).sum(axis=1).min() <= 3


def test_ink_stays_inside(style):
    captchas = style("hard", lines=0, dots=0, noise=0)
    for index in range(30):
        captcha = captchas.draw(index, truth=False)
        frame = np.concatenate(
            [captcha.pixels[0], captcha.pixels[-1], captcha.pixels[:, 0], captcha.pixels[:, -1]]
        )
        assert np.ptp(frame, axis=0).max() == 0


@pytest.mark.parametrize("size", [(60, 20), (160, 60), (90, 200), (800, 300)])
def test_sizes(style, size):
    captcha = style(size=size, length=(3, 3)).draw(0)
    assert captcha.pixels.shape == (size[1], size[0], 3)
    assert np.isfinite([value for glyph in captcha.glyphs for value in glyph.box]).all()


# Refusals


def test_character_that_a_font_lacks(fonts):
    with pytest.raises(OptionError, match="has no glyph for 中") as caught:
        Captchas(CaptchaOptions(text="A中"), fonts)
    assert caught.value.option == "font"


@pytest.mark.parametrize(
    "given",
    [
        {"size": (40, 60)},
        {"length": (30, 30)},
        {"text": "W" * 40},
        {"size": (160, 12)},
        {"wave": (0.46, 0.46), "wave_length": (4.0, 4.0)},
    ],
)
def test_text_that_does_not_fit(style, given):
    with pytest.raises(OptionError, match="pixels high, expected at least") as caught:
        style(**given)
    assert caught.value.option == "size"
    if "wave" in given:
        return
    width, height = caught.value.hint.split()[1].rstrip(",").split("x")
    style(**given | {"size": (int(width), int(height))})  # the hint holds


@pytest.mark.parametrize("level", CAPTCHA_LEVELS)
def test_no_letter_is_smaller_than_promised(style, level):
    captchas = style(level, size=(120, 40), length=(3, 5))
    assert min(glyph.size for index in range(40) for glyph in captchas.draw(index).glyphs) >= 10
