"""What each format keeps, what it loses, and that the loss is told."""

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from imgtool.errors import OutputError
from imgtool.imaging.encode import FORMATS, encode
from imgtool.imaging.io import Picture, read_picture
from imgtool.imaging.picture import to_8_bits

RANDOM = np.random.default_rng(3)
Y, X = np.mgrid[:48, :64]
SMOOTH = np.stack((X * 4, Y * 5, 255 - X * 2 - Y), axis=-1).astype(np.uint8)
ALPHA = (X * 4).astype(np.uint8)
LOSSLESS = ("png", "tif", "tiff", "bmp", "ppm", "webp")


def pictures() -> list[Picture]:
    deep = RANDOM.integers(0, 65536, (48, 64, 4), dtype=np.uint16)
    return [
        Picture(SMOOTH),
        Picture(SMOOTH, ALPHA),
        Picture(deep[..., :3]),
        Picture(deep[..., :3], deep[..., 3]),
        Picture(np.zeros((1, 1, 3), np.uint8)),
        Picture(RANDOM.integers(0, 256, (1, 500, 3), dtype=np.uint8)),
    ]


def again(picture: Picture, name: str) -> Picture:
    return read_picture(io.BytesIO(encode(picture, name)[0]))


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_same_bytes_twice(name: str) -> None:
    for picture in pictures():
        copy = Picture(picture.pixels.copy(), None if picture.alpha is None else picture.alpha.copy())
        assert encode(picture, name, '{"a":1}')[0] == encode(copy, name, '{"a":1}')[0]


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless(name: str) -> None:
    array = RANDOM.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    np.testing.assert_array_equal(again(Picture(array), name).pixels, array)
    assert again(Picture(array), name).alpha is None


@pytest.mark.parametrize("name", ["png", "tif", "webp"])
def test_alpha_is_carried_with_hidden_colors(name: str) -> None:
    picture = again(Picture(SMOOTH, ALPHA), name)
    np.testing.assert_array_equal(picture.alpha, ALPHA)
    np.testing.assert_array_equal(picture.pixels, SMOOTH)


@pytest.mark.parametrize("name", ["jpg", "avif"])
def test_lossy_is_close_in_every_channel(name: str) -> None:
    red_on_blue = np.zeros((32, 32, 3), np.uint8)
    red_on_blue[:, ::2] = (255, 0, 0)
    red_on_blue[:, 1::2] = (0, 0, 255)  # chroma at half resolution would mix these to purple
    picture = again(Picture(red_on_blue), name)
    assert np.abs(picture.pixels.astype(int) - red_on_blue).mean() < 8
    assert np.abs(again(Picture(SMOOTH), name).pixels.astype(int) - SMOOTH).mean() < 2


@pytest.mark.parametrize("name", ["png", "ppm"])
def test_16_bits_are_kept(name: str) -> None:
    deep = RANDOM.integers(0, 65536, (20, 30, 4), dtype=np.uint16)
    picture = again(Picture(deep[..., :3]), name)
    np.testing.assert_array_equal(picture.pixels, deep[..., :3])
    if name == "png":
        picture = again(Picture(deep[..., :3], deep[..., 3]), name)
        np.testing.assert_array_equal(picture.alpha, deep[..., 3])
        np.testing.assert_array_equal(picture.pixels, deep[..., :3])


def test_16_bit_png_in_another_reader() -> None:
    deep = np.dstack([RANDOM.integers(0, 65536, (5, 6), dtype=np.uint16)] * 3)
    data, _ = encode(Picture(deep), "png")
    with Image.open(io.BytesIO(data)) as image:
        image.verify()
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(np.asarray(image), deep >> 8)


def test_tiff_in_another_reader() -> None:
    data, _ = encode(Picture(SMOOTH, ALPHA), "tif")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        np.testing.assert_array_equal(file.asarray(), np.dstack((SMOOTH, ALPHA)))


@pytest.mark.parametrize("name", ["jpg", "webp", "tif", "bmp", "gif", "avif"])
def test_reduction_to_8_bits_is_told(name: str) -> None:
    data, notes = encode(Picture(SMOOTH.astype(np.uint16) * 257), name)
    assert notes[0] == f"16 bits reduced to 8 for {FORMATS[name].pillow}"
    assert data == encode(Picture(SMOOTH), name)[0]


@pytest.mark.parametrize("name", ["jpg", "bmp", "ppm"])
def test_no_transparency_is_laid_on_white(name: str) -> None:
    alpha = np.zeros((48, 64), np.uint8)
    alpha[:, 32:] = 255
    data, notes = encode(Picture(SMOOTH, alpha), name)
    pixels = read_picture(io.BytesIO(data)).pixels.astype(int)
    assert notes == (f"{FORMATS[name].pillow} has no transparency: laid on white",)
    assert pixels[:, :24].min() >= 250
    assert np.abs(pixels[:, 40:] - SMOOTH[:, 40:]).max() <= (12 if name == "jpg" else 0)
    assert encode(Picture(SMOOTH, np.full_like(alpha, 255)), name)[1] == ()


def test_to_8_bits_takes_the_nearest() -> None:
    values = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(to_8_bits(values), np.rint(values / 257))


class TestGif:
    def test_few_colors_are_exact(self) -> None:
        table = RANDOM.integers(0, 256, (256, 3), dtype=np.uint8)
        array = table[RANDOM.integers(0, 256, (40, 40))]
        data, notes = encode(Picture(array), "gif")
        np.testing.assert_array_equal(read_picture(io.BytesIO(data)).pixels, array)
        assert notes == ()

    def test_many_colors_are_reduced_with_a_note(self) -> None:
        data, notes = encode(Picture(SMOOTH), "gif")
        assert notes == ("GIF: colours reduced to 256",)
        assert np.abs(read_picture(io.BytesIO(data)).pixels.astype(int) - SMOOTH).mean() < 12

    @pytest.mark.parametrize("colors", [4, 255, 4000])
    def test_transparency(self, colors: int) -> None:
        table = RANDOM.integers(0, 256, (colors, 3), dtype=np.uint8)
        array = table[RANDOM.integers(0, colors, (40, 40))]
        alpha = np.where(X[:40, :40] < 9, 0, 255).astype(np.uint8)
        picture = again(Picture(array, alpha), "gif")
        np.testing.assert_array_equal(picture.alpha, alpha)
        if colors <= 255:
            np.testing.assert_array_equal(picture.pixels[alpha > 0], array[alpha > 0])
        assert encode(Picture(SMOOTH, ALPHA), "gif")[1][-1] == "GIF: transparency reduced to on and off"


@pytest.mark.parametrize(
    ("name", "side"), [("webp", 16_384), ("jpg", 65_501), ("gif", 65_536), ("avif", 65_536)]
)
def test_too_large_for_the_format(name: str, side: int) -> None:
    with pytest.raises(OutputError, match=f"{side}x1 is too large") as caught:
        encode(Picture(np.zeros((1, side, 3), np.uint8)), name)
    assert caught.value.hint == "write a .png"
    if name != "avif":
        assert encode(Picture(np.zeros((1, side - 1, 3), np.uint8)), name)[0]


@pytest.mark.parametrize(
    ("pixels", "alpha"),
    [
        (np.zeros((2, 2), np.uint8), None),
        (np.zeros((0, 2, 3), np.uint8), None),
        (np.zeros((2, 2, 3), np.float32), None),
        (np.zeros((2, 2, 3), np.uint8), np.zeros((2, 3), np.uint8)),
        (np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint16)),
    ],
)
def test_impossible_pictures(pixels: np.ndarray, alpha: np.ndarray | None, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be"):
        Picture(pixels, alpha)
