import numpy as np
import pytest
import torch

from imgtool.data.captcha_set import CaptchaItem
from imgtool.errors import DataError, OptionError
from imgtool.imaging.fonts import find_fonts
from imgtool.losses.ctc import IGNORED
from imgtool.options.captcha import CaptchaOptions
from imgtool.tasks.captcha import Captchas
from imgtool.tasks.captcha_examples import Ahead, Drawn, Labelled, frames_of, parts, shaken


def style(seed=0, **given):
    return Captchas(CaptchaOptions(seed=seed, **given), find_fonts(()), alphabet="ABCD")


@pytest.fixture
def drawn():
    return Drawn([style()], height=60)


def item(name="a.png", text="AB", size=(20, 40), read=None):
    pixels = np.arange(size[0] * size[1] * 3, dtype=np.uint8).reshape(*size, 3)
    return CaptchaItem(name, text, read or (lambda: pixels))


def test_a_step_is_the_same_whenever_it_is_drawn(drawn):
    again = Drawn([style()], height=60)
    again.step(7, 3, "ABCD")  # what was drawn before does not matter
    one, other = (each.step(2, 3, "ABCD") for each in (drawn, again))
    assert (one.image == other.image).all()
    assert one.texts == other.texts
    assert (one.frames == other.frames).all()


def test_no_captcha_is_seen_twice(drawn):
    seen = torch.cat([drawn.step(number, 3, "ABCD").image for number in range(3)])
    assert len({bytes(each.numpy().tobytes()) for each in seen}) == 9


def test_texts_and_images_go_together(drawn):
    batch = drawn.at([5, 11], "DCBA")
    for number, image, text in zip((5, 11), batch.image, batch.texts, strict=True):
        expected = style().draw(number)
        assert "".join("DCBA"[each - 1] for each in text) == expected.text
        gray = torch.from_numpy(expected.pixels @ np.array([0.299, 0.587, 0.114]) / 255).float()
        assert torch.allclose(image[0], gray, atol=1e-5)


def test_frames_hold_the_glyphs_where_they_are(drawn):
    batch = drawn.at([3], "ABCD")
    captcha = style().draw(3)
    for glyph, each in zip(captcha.glyphs, batch.texts[0], strict=True):
        frame = int(glyph.center[0] // 8)
        assert batch.frames[0, frame] in (each, *batch.texts[0])
    assert sorted(each for each in batch.frames[0].tolist() if each > 0) == sorted(batch.texts[0])


def test_frames_beside_a_glyph_may_say_what_they_like():
    frames = frames_of([np.array([3.0, 40.0, 79.9])], [(5, 6, 7)], 10)
    i = IGNORED
    assert frames.tolist() == [[5, i, 0, 0, i, 6, i, 0, i, 7]]


def test_glyphs_beside_each_other_and_outside():
    frames = frames_of([np.array([-4.0, 8.0, 500.0])], [(1, 2, 3)], 5)
    assert frames.tolist() == [[1, 2, IGNORED, IGNORED, 3]]


def test_styles_take_turns_and_share_a_width():
    both = Drawn([style(size=(120, 60)), style(size=(200, 50))], height=60)
    assert both.width == 240
    batch = both.at([0, 1, 2, 3], "ABCD")
    assert batch.image.shape == (4, 1, 60, 240)
    assert (batch.image[[0, 2], :, :, 120:] == batch.image[[0, 2], :, :, 119:120]).all()  # continued
    assert batch.texts[3] == tuple("ABCD".index(each) + 1 for each in style(size=(200, 50)).draw(1).text)


def test_other_heights_scale_the_places():
    large = Drawn([style()], height=120).at([0], "ABCD")
    assert large.image.shape == (1, 1, 120, 320)
    middles = [glyph.center[0] * 2 for glyph in style().draw(0).glyphs]
    assert [int(each // 8) for each in middles] == torch.nonzero(large.frames[0] > 0).flatten().tolist()


def test_refuses_texts_without_room():
    with pytest.raises(
        OptionError, match=r"texts may need 23 frames of 8 pixels, and there are 20"
    ) as caught:
        Drawn([style(length=(12, 12), size=(160, 60), font_size=(0.3, 0.4))], height=60)
    assert caught.value.hint == "--height 69"
    Drawn([style(length=(12, 12), size=(160, 60), font_size=(0.3, 0.4))], height=70)


def test_drawing_ahead_changes_nothing(drawn):
    ahead = Ahead(Drawn([style()], height=60))
    for number in (0, 1, 2, 7, 8, 3):
        one, other = drawn.step(number, 2, "ABCD"), ahead.step(number, 2, "ABCD")
        assert (one.image == other.image).all()
    assert (ahead.at([4], "ABCD").image == drawn.at([4], "ABCD").image).all()
    assert len(ahead) == len(drawn)


def test_an_error_of_what_is_drawn_ahead_is_told():
    ahead = Ahead(Drawn([style()], height=60))
    with pytest.raises(ValueError):
        ahead.step(0, 2, "B")  # an alphabet without the others


def test_labelled_pictures_share_a_height_and_a_width():
    items = [item("a.png", "AB", (20, 40)), item("b.png", "C", (30, 30)), item("c.png", "CA", (60, 161))]
    examples = Labelled(items, height=60)
    examples.check()
    assert (examples.alphabet, examples.width) == ("ABC", 168)
    batch = examples.at([0, 1, 2], "CBA")
    assert batch.image.shape == (3, 1, 60, 168)
    assert batch.texts == [(3, 2), (1,), (1, 3)]
    assert batch.frames is None


def test_every_labelled_picture_is_seen_once_a_round():
    examples = Labelled([item(f"{n}.png", chr(65 + n)) for n in range(7)], height=16, seed=3)
    examples.check()
    texts = [text for number in range(7) for text in examples.step(number, 2, "ABCDEFG").texts]
    assert sorted(texts[:7]) == sorted(texts[7:]) == [(each,) for each in range(1, 8)]
    assert texts[:7] != texts[7:]
    assert texts[4:6] == list(examples.step(2, 2, "ABCDEFG").texts)


def test_names_the_picture_that_has_no_room():
    examples = Labelled([item("good.png", "AB"), item("bad.png", "AAAAAAAAA", (20, 40))], height=60)
    with pytest.raises(
        DataError, match=r"bad.png: 9 characters need 17 frames of 8 pixels, and there are 15"
    ):
        examples.check()


def test_names_the_picture_that_is_none():
    for pixels in (np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4)), np.zeros((1, 999, 3), np.uint8)):
        examples = Labelled([item("bad.png", read=lambda pixels=pixels: pixels)], height=60)
        with pytest.raises(DataError, match=r"bad\.png: "):
            examples.check()


def test_shaking_is_small_and_depends_on_the_seed():
    image = torch.zeros(2, 1, 60, 160)
    image[..., 25:35, 70:90] = 1
    one, again, other = (shaken(image, 1.0, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert (one == again).all() and (one != other).any()
    assert (one[0] != one[1]).any()
    rows, columns = (torch.arange(length, dtype=torch.float32) for length in (60, 160))
    for moved in one[:, 0]:
        assert abs(float((moved.sum(1) * rows).sum() / moved.sum()) - 29.5) < 8
        assert abs(float((moved.sum(0) * columns).sum() / moved.sum()) - 79.5) < 12
    assert shaken(image, 0.0, np.random.default_rng(0)) is image


def test_a_turn_turns_by_its_angle_whatever_the_shape():
    class Turn:
        def uniform(self, low, high, size):
            return np.eye(6)[:1]  # one full turn, nothing else

    image = torch.zeros(1, 1, 60, 160)
    image[..., 29:31, :] = 1
    moved = shaken(image, 1.0, Turn())[0, 0]
    rows = torch.arange(60, dtype=torch.float32)[:, None]
    heights = (moved * rows).sum(0) / moved.sum(0)
    slope = float(heights[130] - heights[30]) / 100
    assert abs(slope) == pytest.approx(np.tan(np.radians(3.0)), rel=0.05)


@pytest.mark.parametrize("folds", [2, 3, 5, 7, 49])
def test_folds_cover_all_once(folds):
    seen = []
    for fold in range(folds):
        train, held = parts(100, 1 / folds, fold, seed=5)
        assert sorted(train + held) == list(range(100))
        seen += held
    assert sorted(seen) == list(range(100))


def test_what_is_held_out():
    assert len(parts(100, 7, 0, seed=0)[1]) == 7
    assert len(parts(100, 0.001, 0, seed=0)[1]) == 1
    assert parts(100, 0, 0, seed=0) == (list(range(100)), [])
    assert parts(100, 0.1, 0, seed=0) != parts(100, 0.1, 0, seed=1)
    assert parts(100, 0.1, 0, seed=0)[1] != list(range(10))
    for val, fold in ((100, 0), (0.5, 2), (60, 1), (0.999, 0)):
        with pytest.raises(DataError, match="100 pictures cannot hold out"):
            parts(100, val, fold, seed=0)
