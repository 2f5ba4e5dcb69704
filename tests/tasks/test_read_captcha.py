import numpy as np
import pytest
import torch

from imgtool.imaging.picture import Picture
from imgtool.losses.ctc import text_losses
from imgtool.nn.captcha_reader import CaptchaReader
from imgtool.options.captcha_reader import CaptchaReadOptions
from imgtool.tasks.read_captcha import Reader, batches, likeliest, margin, read_captcha, read_captchas, seen


@pytest.fixture
def reader():
    torch.manual_seed(0)
    network = CaptchaReader(4, height=24, widths=(4, 4, 4, 4), hidden=4).eval()
    torch.nn.init.normal_(network.head.weight, std=3)
    return Reader(network, "XYZ")


def picture(height=24, width=48, seed=0, **more):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Picture(pixels, **more)


@pytest.mark.parametrize("beam", [1, 8])
def test_confidence_is_the_probability_of_the_text(reader, beam):
    found = read_captcha(picture(), reader, CaptchaReadOptions(beam=beam))
    logits = reader.logits(seen(picture(), 24))
    text = tuple("XYZ".index(each) + 1 for each in found.text)
    assert found.confidence == pytest.approx(float(torch.exp(-text_losses(logits, [text])[0])), rel=1e-5)
    assert 0 < found.confidence <= 1


def test_a_beam_is_never_less_likely(reader):
    for seed in range(10):
        one, wide = (
            read_captcha(picture(seed=seed), reader, CaptchaReadOptions(beam=beam)).confidence
            for beam in (1, 16)
        )
        assert wide >= one - 1e-7


def test_several_are_read_as_one_by_one(reader):
    pictures = [picture(seed=seed, width=width) for seed, width in enumerate((48, 48, 96, 48, 40))]
    together = list(read_captchas([seen(each, 24) for each in pictures], reader))
    alone = [read_captcha(each, reader) for each in pictures]
    assert [each.text for each in together] == [each.text for each in alone]
    assert [each.confidence for each in together] == pytest.approx(
        [each.confidence for each in alone], rel=1e-3
    )


def test_neighbours_of_one_width_go_together():
    widths = [8, 8, 16, 8, 8, 8]
    found = list(batches([torch.full((1, 1, 4, width), n) for n, width in enumerate(widths)]))
    assert [each.shape[0] for each in found] == [2, 1, 3]
    assert [int(row[0, 0, 0]) for each in found for row in each] == list(range(6))
    assert [each.shape[0] for each in batches(torch.zeros(1, 1, 4, 8) for _ in range(130))] == [64, 64, 2]


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ((60, 160), (60, 160)),
        ((30, 77), (60, 160)),
        ((120, 300), (60, 152)),
        ((1, 1), (60, 64)),
        ((500, 3), (60, 8)),
    ],
)
def test_any_size_becomes_whole_frames(size, shape):
    assert seen(picture(*size), 60).shape == (1, 1, *shape)


def test_the_last_column_fills_the_last_frame():
    image = seen(picture(24, 42), 24)
    assert (image[..., 42:] == image[..., 41:42]).all()


def test_refuses_what_is_no_line():
    with pytest.raises(ValueError, match="2000x10 pixels are no line of text"):
        seen(picture(10, 2000), 60)


def test_transparent_pixels_are_white():
    alpha = np.zeros((24, 48), np.uint8)
    assert (seen(picture(alpha=alpha), 24) == 1).all()


def test_sixteen_bits_and_grey():
    levels = np.random.default_rng(0).integers(0, 256, (24, 48), np.uint8)
    gray = seen(Picture.gray(levels), 24)
    deep = seen(Picture.gray(levels.astype(np.uint16) * 257), 24)
    assert torch.allclose(gray, deep, atol=1e-5)
    assert torch.allclose(gray[0, 0], torch.from_numpy(levels).float() / 255, atol=1e-5)


def test_likeliest_weighs_all_paths():
    """The beam of two drops what it needs later, but the exact sum is told."""
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    text, log_probability = likeliest(logits, CaptchaReadOptions(beam=2))
    assert log_probability == pytest.approx(-float(text_losses(logits[None], [text])[0]))


def test_a_known_length_is_kept_where_the_beam_finds_one():
    logits = torch.full((5, 3), -4.0)
    for frame, each in enumerate((1, 0, 2, 0, 0)):
        logits[frame, each] = 4
    logits[4, 1] = 3  # perhaps a third character
    assert likeliest(logits)[0] == (1, 2)
    assert likeliest(logits, CaptchaReadOptions(length=(3, 3)))[0] == (1, 2, 1)
    assert likeliest(logits, CaptchaReadOptions(length=(1, 3)))[0] == (1, 2)
    assert likeliest(logits, CaptchaReadOptions(length=(9, 9)))[0] == (1, 2)
    assert likeliest(logits, CaptchaReadOptions(length=(3, 3), beam=1))[0] == (1, 2)


def test_margin():
    logits = torch.full((4, 3), -4.0)
    for frame, each in enumerate((1, 0, 2, 0)):
        logits[frame, each] = 4
    text, same = margin(logits, (1, 2))
    assert (text, same) == ((1, 2), 0)
    _, other = margin(logits, (1, 1))
    assert 6 < other < 10  # one frame says another class, by 8 nats
    assert margin(logits, (1,) * 4)[1] == np.inf
