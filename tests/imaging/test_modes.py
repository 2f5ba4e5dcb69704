"""Every pixel layout arrives as the colours it stands for: nothing clipped, no transparency lost."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from imgtool.errors import BadImage
from imgtool.imaging.io import Picture, from_pillow, read_picture
from imgtool.imaging.modes import turn_upright

RAMP = np.linspace(0, 65535, 96).astype(np.uint16).reshape(2, 48)


def saved(image: Image.Image, format: str, **options: object) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer


def tiff(array: np.ndarray, **options: object) -> io.BytesIO:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, metadata=None, **options)
    return buffer


def png(array: np.ndarray, color: int, *chunks: tuple[bytes, bytes]) -> io.BytesIO:
    """A 16-bit PNG of (H, W, C) values, rows filtered in turn by each of the five filters."""
    rows = array.astype(">u2").reshape(len(array), -1).view(np.uint8).astype(int)
    step = 2 * array.shape[2]
    left, up = np.zeros_like(rows), np.zeros_like(rows)
    left[:, step:], up[1:] = rows[:, :-step], rows[:-1]
    corner = np.zeros_like(rows)
    corner[1:, step:] = rows[:-1, :-step]
    guess = left + up - corner
    paeth = np.select(
        [
            (abs(guess - left) <= abs(guess - up)) & (abs(guess - left) <= abs(guess - corner)),
            abs(guess - up) <= abs(guess - corner),
        ],
        [left, up],
        corner,
    )
    guesses = [np.zeros_like(rows), left, up, (left + up) // 2, paeth]
    data = b"".join(
        bytes([y % 5]) + ((rows[y] - guesses[y % 5][y]) % 256).astype(np.uint8).tobytes()
        for y in range(len(rows))
    )
    header = struct.pack(">IIBBBBB", array.shape[1], len(array), 16, color, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    body = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + b"".join(body))


def noise(*shape: int, dtype: type = np.uint16) -> np.ndarray:
    return np.random.default_rng(5).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def assert_gray(picture: Picture, expected: np.ndarray) -> None:
    assert picture.pixels.dtype == expected.dtype
    for band in range(3):
        np.testing.assert_array_equal(picture.pixels[..., band], expected)


class TestSixteenBits:
    @pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
    def test_gray_keeps_every_value(self, format: str) -> None:
        picture = read_picture(saved(Image.fromarray(RAMP), format))
        assert_gray(picture, RAMP)
        assert (np.diff(picture.pixels[..., 0].ravel().astype(int)) > 0).all()

    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
    def test_gray_tiff_orders(self, order: str, compression: str | None) -> None:
        if compression == "lzw":
            buffer = saved(Image.fromarray(RAMP), "TIFF", compression="tiff_lzw")
        else:
            buffer = tiff(RAMP, byteorder=order, compression=compression)
        assert_gray(read_picture(buffer), RAMP)

    def test_gray_tiff_white_is_zero(self) -> None:
        assert_gray(read_picture(tiff(RAMP, photometric="miniswhite")), 65535 - RAMP)

    def test_12_bits_are_scaled(self) -> None:
        packed = bytes([0x00, 0x01, 0x00, 0x80, 0x0F, 0xFF])  # 0, 0x100, 0x800, 0xFFF
        tags = [(256, 4), (257, 1), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 6)]
        body = b"".join(struct.pack("<HHII", tag, 4 if tag == 273 else 3, 1, value) for tag, value in tags)
        file = b"II*\0" + struct.pack("<I", 14) + packed + struct.pack("<H", len(tags)) + body + bytes(4)
        picture = read_picture(io.BytesIO(file))
        np.testing.assert_array_equal(
            picture.pixels[0, :, 0], np.rint(np.array([0, 256, 2048, 4095]) * (65535 / 4095))
        )
        assert picture.notes == ("12 bits scaled to 16",)

    @pytest.mark.parametrize(("color", "bands"), [(2, 3), (4, 2), (6, 4)])
    def test_color_png(self, color: int, bands: int) -> None:
        values = noise(11, 7, bands)
        picture = read_picture(png(values, color))
        colors = values[..., : 3 if bands > 2 else 1]
        np.testing.assert_array_equal(picture.pixels, np.broadcast_to(colors, (11, 7, 3)))
        assert picture.pixels.dtype == np.uint16
        if bands == 3:
            assert picture.alpha is None
        else:
            np.testing.assert_array_equal(picture.alpha, values[..., -1])

    @pytest.mark.parametrize(("color", "bands"), [(2, 3), (4, 2), (6, 4)])
    def test_interlaced_png(self, color: int, bands: int) -> None:
        values = noise(13, 10, bands)
        starts = [
            (0, 0, 8, 8),
            (0, 4, 8, 8),
            (4, 0, 8, 4),
            (0, 2, 4, 4),
            (2, 0, 4, 2),
            (0, 1, 2, 2),
            (1, 0, 2, 1),
        ]
        rows = (row for y, x, down, right in starts for row in values[y::down, x::right].astype(">u2"))
        data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
        plain = png(values, color).getvalue()
        header = struct.pack(">IIBBBBB", 10, 13, 16, color, 0, 0, 1)
        body = [
            struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d))
            for k, d in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
        ]
        picture = read_picture(io.BytesIO(plain[:8] + b"".join(body)))
        np.testing.assert_array_equal(picture.pixels, read_picture(io.BytesIO(plain)).pixels)
        np.testing.assert_array_equal(picture.pixels[..., 0], values[..., 0])

    def test_png_transparent_color_is_compared_in_16_bits(self) -> None:
        values = np.full((1, 3, 3), 0x1234, np.uint16)
        values[0, 1, 2] = 0x1235  # the same in 8 bits
        picture = read_picture(png(values, 2, (b"tRNS", b"\x12\x34" * 3)))
        np.testing.assert_array_equal(picture.alpha, [[0, 65535, 0]])
        gray = read_picture(png(values[..., 2:], 0, (b"tRNS", b"\x12\x34")))
        np.testing.assert_array_equal(gray.alpha, [[0, 65535, 0]])

    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("compression", [None, "zlib"])
    @pytest.mark.parametrize("bands", [3, 4])
    def test_color_tiff(self, order: str, compression: str | None, bands: int) -> None:
        values = noise(9, 5, bands)
        extra = {"extrasamples": ["unassalpha"]} if bands == 4 else {}
        buffer = tiff(values, photometric="rgb", byteorder=order, compression=compression, **extra)
        picture = read_picture(buffer)
        np.testing.assert_array_equal(picture.pixels, values[..., :3])
        if bands == 4:
            np.testing.assert_array_equal(picture.alpha, values[..., 3])

    @pytest.mark.parametrize("order", ["<", ">"])
    def test_color_tiff_in_planes(self, order: str) -> None:
        values = noise(3, 9, 5)
        picture = read_picture(tiff(values, photometric="rgb", planarconfig="separate", byteorder=order))
        np.testing.assert_array_equal(picture.pixels, values.transpose(1, 2, 0))

    def test_compressed_planes_are_reduced_with_a_note(self) -> None:
        values = noise(3, 9, 5)
        buffer = tiff(values, photometric="rgb", planarconfig="separate", compression="zlib")
        picture = read_picture(buffer)
        np.testing.assert_array_equal(picture.pixels, (values >> 8).transpose(1, 2, 0))
        assert picture.notes == ("16 bits reduced to 8",)

    def test_premultiplied_tiff(self) -> None:
        colors, alpha = noise(9, 5, 3), np.maximum(noise(9, 5), 20_000)
        stored = np.rint(colors * (alpha[..., None] / 65535)).astype(np.uint16)
        buffer = tiff(np.dstack((stored, alpha)), photometric="rgb", extrasamples=["assocalpha"])
        picture = read_picture(buffer)
        np.testing.assert_array_equal(picture.alpha, alpha)
        assert np.abs(picture.pixels.astype(int) - colors).max() <= 2

    @pytest.mark.parametrize("largest", [100, 255, 1000, 65535])
    @pytest.mark.parametrize("bands", [1, 3])
    def test_pnm_of_any_depth(self, largest: int, bands: int) -> None:
        values = np.linspace(0, largest, 6 * bands).round().astype(np.uint16)
        magic = b"P5" if bands == 1 else b"P6"
        body = values.astype(np.uint8 if largest < 256 else ">u2").tobytes()
        picture = read_picture(io.BytesIO(magic + b"\n# comment\n3 2\n%d\n" % largest + body))
        full = 255 if largest < 256 else 65535
        expected = np.rint(values / largest * full).reshape(2, 3, bands)
        np.testing.assert_array_equal(picture.pixels, np.broadcast_to(expected, (2, 3, 3)))
        assert picture.pixels.dtype == (np.uint8 if largest < 256 else np.uint16)

    def test_pnm_above_its_largest_value(self) -> None:
        with pytest.raises(BadImage, match="above the largest one it declares"):
            read_picture(io.BytesIO(b"P5 1 1 1000 \xff\xff"))


class TestIntegersAndFloats:
    def test_32_bit_integers_are_stretched(self) -> None:
        for dtype, low, high in ((np.uint32, 0, 2**32 - 1), (np.int32, -5000, 7000), (np.int32, 0, 200_000)):
            values = np.linspace(low, high, 40).astype(dtype).reshape(4, 10)
            picture = read_picture(tiff(values, photometric="minisblack"))
            expected = np.rint((values.astype(float) - low) * (65535 / (high - low)))
            np.testing.assert_array_equal(picture.pixels[..., 0], expected)
            assert picture.notes == (f"values from {low} to {high} scaled to black..white",)

    def test_small_integers_are_16_bits(self) -> None:
        assert_gray(read_picture(tiff(RAMP.astype(np.int32), photometric="minisblack")), RAMP)

    def test_signed_16_bits(self) -> None:
        values = np.array([[0, 100, 32767]], np.int16)
        picture = read_picture(tiff(values, photometric="minisblack"))
        np.testing.assert_array_equal(picture.pixels[0, :, 0], [0, 200, 65535])
        assert "signed" in picture.notes[0]

    def test_float_in_0_to_1(self) -> None:
        values = np.array([[0, 0.25, 0.5, 1]], np.float32)
        picture = read_picture(tiff(values, photometric="minisblack"))
        np.testing.assert_array_equal(picture.pixels[0, :, 1], [0, 16384, 32768, 65535])
        assert picture.notes == ("float values in 0..1 scaled to 16 bits",)

    def test_float_beyond_is_stretched_not_clipped(self) -> None:
        values = np.linspace(-3, 9, 60, dtype=np.float32).reshape(6, 10)
        picture = read_picture(tiff(values, photometric="minisblack"))
        assert (np.diff(picture.pixels[..., 0].ravel().astype(int)) > 0).all()
        assert (picture.pixels.min(), picture.pixels.max()) == (0, 65535)
        assert picture.notes == ("float values from -3 to 9 scaled to black..white",)

    def test_constant_float(self) -> None:
        assert_gray(read_picture(tiff(np.full((2, 2), 7, np.float32))), np.zeros((2, 2), np.uint16))

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_nan_is_refused(self, bad: float) -> None:
        values = np.ones((3, 4), np.float32)
        values[1, 2] = bad
        with pytest.raises(BadImage, match="1 of 12 values are NaN or infinite"):
            read_picture(tiff(values))

    def test_many_rows_are_scaled_in_blocks(self) -> None:
        values = np.linspace(0, 1, 600, dtype=np.float32)[:, None]
        picture = read_picture(tiff(values, photometric="minisblack"))
        np.testing.assert_array_equal(picture.pixels[:, 0, 0], np.rint(values[:, 0].astype(float) * 65535))


class TestEightBits:
    rgb = noise(6, 5, 3, dtype=np.uint8)
    a = noise(6, 5, dtype=np.uint8)

    def test_one_bit(self) -> None:
        bits = self.a > 100
        for format in ("PNG", "TIFF", "BMP", "PPM", "GIF"):
            assert_gray(
                read_picture(saved(Image.fromarray(bits), format)), np.where(bits, 255, 0).astype(np.uint8)
            )

    def test_one_bit_transparent(self) -> None:
        picture = read_picture(saved(Image.fromarray(self.a > 100), "PNG", transparency=1))
        np.testing.assert_array_equal(picture.alpha, np.where(self.a > 100, 0, 255))

    def test_gray_with_alpha(self) -> None:
        image = Image.merge("LA", (Image.fromarray(self.rgb[..., 0]), Image.fromarray(self.a)))
        for format in ("PNG", "TIFF", "WEBP"):
            picture = read_picture(
                saved(image, format, **({"lossless": True, "exact": True} if format == "WEBP" else {}))
            )
            assert_gray(picture, self.rgb[..., 0])
            np.testing.assert_array_equal(picture.alpha, self.a)

    def test_color_with_alpha_keeps_hidden_colors(self) -> None:
        image = Image.fromarray(np.dstack((self.rgb, np.zeros_like(self.a))))
        picture = read_picture(saved(image, "PNG"))
        np.testing.assert_array_equal(picture.pixels, self.rgb)
        assert picture.alpha is not None and picture.alpha.max() == 0

    def test_transparent_color(self) -> None:
        self_rgb = self.rgb.copy()
        self_rgb[2, 3] = (1, 2, 3)
        picture = read_picture(saved(Image.fromarray(self_rgb), "PNG", transparency=(1, 2, 3)))
        expected = np.full((6, 5), 255)
        expected[2, 3] = 0
        np.testing.assert_array_equal(picture.alpha, expected)
        np.testing.assert_array_equal(picture.pixels, self_rgb)
        gray = read_picture(saved(Image.fromarray(self_rgb[..., 0]), "PNG", transparency=1))
        np.testing.assert_array_equal(gray.alpha, np.where(self_rgb[..., 0] == 1, 0, 255))

    @pytest.mark.parametrize("transparency", [None, 2, b"\x00\x80\xff\x40"])
    def test_palette(self, transparency: int | bytes | None) -> None:
        table = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7]], np.uint8)
        indices = (self.a % 4).astype(np.uint8)
        image = Image.fromarray(indices)
        image.putpalette(table.tobytes())
        picture = read_picture(
            saved(image, "PNG", **({} if transparency is None else {"transparency": transparency}))
        )
        np.testing.assert_array_equal(picture.pixels, table[indices])
        if transparency is None:
            assert picture.alpha is None
        else:
            levels = (
                np.array([255, 255, 0, 255])
                if transparency == 2
                else np.frombuffer(b"\x00\x80\xff\x40", np.uint8)
            )
            np.testing.assert_array_equal(picture.alpha, levels[indices])

    def test_transparent_gif(self) -> None:
        image = Image.fromarray((self.a % 4).astype(np.uint8))
        image.putpalette(bytes(range(12)))
        picture = read_picture(saved(image, "GIF", transparency=3, optimize=False))
        np.testing.assert_array_equal(picture.alpha, np.where(self.a % 4 == 3, 0, 255))

    def test_palette_with_alpha_channel(self) -> None:
        image = Image.fromarray((self.a % 4).astype(np.uint8))
        image.putpalette(bytes(range(12)))
        image = image.convert("PA")
        picture = from_pillow(image)
        np.testing.assert_array_equal(picture.pixels, np.arange(12).reshape(4, 3)[self.a % 4])
        assert picture.alpha is not None and picture.alpha.min() == 255

    def test_palette_of_colors_with_alpha(self) -> None:
        image = Image.fromarray(np.array([[0, 1]], np.uint8))
        image.putpalette(bytes([1, 2, 3, 40, 5, 6, 7, 80]), "RGBA")
        picture = from_pillow(image)
        np.testing.assert_array_equal(picture.pixels, [[[1, 2, 3], [5, 6, 7]]])
        np.testing.assert_array_equal(picture.alpha, [[40, 80]])

    @pytest.mark.parametrize("mode", ["La", "RGBa"])
    def test_premultiplied(self, mode: str) -> None:
        straight = Image.fromarray(np.dstack((self.rgb, np.maximum(self.a, 128)))).convert(mode[:-1] + "A")
        picture = from_pillow(straight.convert(mode))
        expected = np.asarray(straight).astype(int)
        np.testing.assert_array_equal(picture.alpha, expected[..., -1])
        assert np.abs(picture.pixels - expected[..., : len(mode) - 1]).max() <= 2

    @pytest.mark.parametrize("mode", ["RGBX", "YCbCr", "HSV"])
    def test_other_color_models(self, mode: str) -> None:
        smooth = np.full((2, 2, 3), (200, 120, 40), np.uint8)
        picture = from_pillow(Image.fromarray(smooth).convert(mode))
        assert np.abs(picture.pixels.astype(int) - smooth).max() <= 4
        assert picture.alpha is None

    def test_unknown_mode(self) -> None:
        with pytest.raises(ValueError, match="not known"):
            from_pillow(_Odd())


class _Odd(Image.Image):
    """An image of a mode that does not exist."""

    mode = "XYZ"  # type: ignore[assignment]

    def __init__(self) -> None:
        self.info = {}


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "JPEG", "deflate"])
    def test_eight_files_one_picture(self, orientation: int, format: str) -> None:
        upright = np.zeros((16, 32, 3), np.uint8)
        upright[:8, :16] = (255, 0, 0)
        upright[8:, :8] = (0, 0, 255)
        stored = turn_upright(upright, {6: 8, 8: 6}.get(orientation, orientation))  # the inverse
        assert stored.shape[:2] == ((32, 16) if orientation > 4 else (16, 32))
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(format, {})
        if format == "deflate":
            format, options = "TIFF", {"compression": "tiff_adobe_deflate"}
        picture = read_picture(saved(Image.fromarray(stored), format, exif=exif, **options))
        assert picture.pixels.shape == upright.shape
        assert np.abs(picture.pixels.astype(int) - upright).max() <= (3 if format == "JPEG" else 0)

    def test_against_pillow(self) -> None:
        array = noise(3, 4, dtype=np.uint8)
        methods = [None, *(Image.Transpose(each) for each in (0, 3, 1, 5, 4, 6, 2))]
        for orientation, method in enumerate(methods, 1):
            image = Image.fromarray(array)
            expected = image if method is None else image.transpose(method)
            np.testing.assert_array_equal(
                turn_upright(array, orientation), np.asarray(expected), str(orientation)
            )

    def test_16_bits_and_alpha_are_turned(self) -> None:
        values = noise(3, 4, 4)
        exif = struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 0x0112, 3, 1, 6, 0, 0)
        picture = read_picture(png(values, 6, (b"eXIf", exif)))
        np.testing.assert_array_equal(picture.pixels, np.rot90(values[..., :3], -1))
        np.testing.assert_array_equal(picture.alpha, np.rot90(values[..., 3], -1))

    def test_nonsense_is_ignored(self) -> None:
        array = noise(3, 4, dtype=np.uint8)
        for orientation in (0, 9, None, "6", (6,)):
            np.testing.assert_array_equal(turn_upright(array, orientation), array)

    def test_damaged_exif_is_told(self) -> None:
        image = saved(Image.new("RGB", (2, 3)), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff")
        picture = read_picture(image)
        assert (picture.height, picture.width) == (3, 2)
        assert picture.notes == ("orientation ignored: the EXIF data is damaged",)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (15, 15)])
def test_any_size(size: tuple[int, int], tmp_path: Path) -> None:
    array = noise(size[1], size[0], 3, dtype=np.uint8)
    for format in ("PNG", "TIFF", "BMP", "PPM"):
        np.testing.assert_array_equal(read_picture(saved(Image.fromarray(array), format)).pixels, array)


def test_arrays_are_owned_and_writable() -> None:
    for buffer in (
        saved(Image.fromarray(noise(3, 4, 3, dtype=np.uint8)), "PNG"),
        saved(Image.fromarray(RAMP), "PNG"),
        png(noise(3, 4, 4), 6),
        io.BytesIO(b"P5 1 1 65535 \x01\x02"),
    ):
        picture = read_picture(buffer)
        assert picture.pixels.flags.writeable
        assert picture.pixels.flags.c_contiguous
        assert picture.pixels.dtype.isnative
