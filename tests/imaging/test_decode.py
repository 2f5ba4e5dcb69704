"""Hostile, damaged and foreign files are refused in one line, before they cost memory."""

import io
import random
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imgtool.errors import BadImage
from imgtool.imaging import decode
from imgtool.imaging.io import MAX_PIXELS, read_picture

ROOT = Path(decode.__file__).parents[2]
Y, X = np.mgrid[:40, :56]
ARRAY = (
    np.stack((X * 4, Y * 6, (X + Y) * 2), -1) ^ np.random.default_rng(1).integers(0, 16, (40, 56, 3))
).astype(np.uint8)


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def samples() -> dict[str, bytes]:
    image = Image.fromarray(ARRAY)
    return {
        "png": saved(image, "PNG"),
        "palette.png": saved(image.quantize(), "PNG"),
        "16.png": saved(Image.fromarray(X.astype(np.uint16) * 999), "PNG"),
        "jpg": saved(image, "JPEG"),
        "progressive.jpg": saved(image, "JPEG", progressive=True),
        "webp": saved(image, "WEBP"),
        "lossless.webp": saved(image, "WEBP", lossless=True),
        "tif": saved(image, "TIFF"),
        "lzw.tif": saved(image, "TIFF", compression="tiff_lzw"),
        "deflate.tif": saved(image, "TIFF", compression="tiff_adobe_deflate"),
        "bmp": saved(image, "BMP"),
        "gif": saved(image.quantize(), "GIF", interlace=1),
        "ppm": saved(image, "PPM"),
        "16.pgm": b"P5 56 40 1000 " + X.astype(">u2").tobytes(),
        "avif": saved(image, "AVIF"),
    }


SAMPLES = samples()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(side: int) -> bytes:
    """A PNG of about 1 MB that is a black square of side x side pixels."""
    deflate = zlib.compressobj(9)
    block = deflate.compress(bytes(1 << 20))
    start, block = block, deflate.flush(zlib.Z_FULL_FLUSH)
    block = start[2:] + block  # without the header of the stream: may be repeated
    stream = b"\x78\xda" + block * (1 + (side * (3 * side + 1) >> 20)) + b"\x03\0" + bytes(4)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", stream) + chunk(b"IEND", b"")


def headers(side: int) -> dict[str, bytes]:
    """Files that are hardly more than the claim to be huge."""
    ifd = [
        (256, side),
        (257, side),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, side),
        (279, side * side),
    ]
    tags = b"".join(struct.pack("<HHII", tag, 4, 1, min(value, 2**32 - 1)) for tag, value in ifd)
    webp = (
        b"VP8L" + struct.pack("<IBI", 8, 0x2F, min(side, 16384) - 1 | (min(side, 16384) - 1) << 14) + bytes(8)
    )
    return {
        "png": png_bomb(side),
        "bmp": b"BM" + struct.pack("<6IHH", 54, 0, 54, 40, side, side, 1, 24) + bytes(99),
        "gif": struct.pack("<6sHHBBB6xc4HB", b"GIF89a", side, side, 128, 0, 0, b",", 0, 0, side, side, 0)
        + b"\2\2\x4c\1\0;",
        "ppm": b"P6 %d %d 255 " % (side, side) + bytes(99),
        "tif": b"II*\0" + struct.pack("<IH", 8, len(ifd)) + tags + bytes(4),
        "webp": b"RIFF" + struct.pack("<I", len(webp) + 4) + b"WEBP" + webp,
    }  # fmt: skip


# A child's ru_maxrss begins at what its parent held when it forked, so on Linux the kernel's own mark is read.
PRINT_PEAK_KB = (
    "from pathlib import Path; import resource\n"
    "status = Path('/proc/self/status')\n"
    "if status.exists(): print(status.read_text().split('VmHWM:')[1].split()[0])\n"
    "else: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)  # macOS counts bytes\n"
)


class TestBombs:
    def test_refused_by_header_within_300_mb(self, tmp_path: Path) -> None:
        for name, data in headers(20_000).items():
            (tmp_path / f"bomb.{name}").write_bytes(data)
        assert 800_000 < (tmp_path / "bomb.png").stat().st_size < 2_000_000
        code = (
            "import sys; from imgtool.imaging.io import *; from imgtool.errors import BadImage\n"
            "for path in sys.argv[1:]:\n"
            "    try: read_picture(path); print(path, 'was read')\n"
            "    except BadImage as error: print(error)\n"
            f"{PRINT_PEAK_KB}"
        )
        paths = sorted(map(str, tmp_path.iterdir()))
        run = subprocess.run(
            [sys.executable, "-c", code, *paths], capture_output=True, text=True, cwd=ROOT, check=True
        )
        *messages, peak = run.stdout.splitlines()
        assert int(peak) < 300 * 1024
        assert run.stderr == ""
        for path, message in zip(paths, messages, strict=True):
            size = "268.4" if path.endswith("webp") else "400.0"
            assert message == f"{path}: {size} megapixels, the limit is 179.0 megapixels"

    def test_the_bomb_is_a_real_one(self) -> None:
        head = struct.pack(">IIBBBBB", 2000, 2000, 8, 2, 0, 0, 0)
        whole = png_bomb(2000)
        assert chunk(b"IHDR", head) in whole
        assert len(zlib.decompressobj(-15).decompress(whole[43:])) >= 2000 * 6000

    @pytest.mark.parametrize("name", sorted(SAMPLES))
    def test_own_limit(self, name: str) -> None:
        with pytest.raises(BadImage, match="2240 pixels, the limit is 2239 pixels") as caught:
            read_picture(io.BytesIO(SAMPLES[name]), max_pixels=2239)
        assert caught.value.hint == "--max-pixels 2240 if you trust the file"
        assert read_picture(io.BytesIO(SAMPLES[name]), max_pixels=2240).pixels.size == 3 * 2240

    def test_a_higher_limit_lets_more_in(self) -> None:
        data = b"P4 20000 10000 " + bytes(2500 * 10_000)
        with pytest.raises(BadImage, match=r"200\.0 megapixels"):
            read_picture(io.BytesIO(data))
        before = Image.MAX_IMAGE_PIXELS
        with pytest.raises(BadImage, match="truncated or damaged PPM file"):
            read_picture(io.BytesIO(data[:1000]), max_pixels=200_000_000)
        assert before == Image.MAX_IMAGE_PIXELS

    def test_default_is_pillows_hard_limit(self) -> None:
        assert Image.MAX_IMAGE_PIXELS is not None
        assert 2 * Image.MAX_IMAGE_PIXELS == MAX_PIXELS

    def test_text_and_profile_bombs(self) -> None:
        zeros = zlib.compress(bytes(60_000_000), 9)
        data = SAMPLES["png"]
        for extra in (chunk(b"zTXt", b"a\0\0" + zeros), chunk(b"iCCP", b"a\0\0" + zeros)):
            with pytest.raises(BadImage, match="damaged PNG"):
                read_picture(io.BytesIO(data[:33] + extra + data[33:]))


class TestDamage:
    @pytest.mark.parametrize("name", sorted(SAMPLES))
    def test_truncated_is_refused_or_complete(self, name: str, capfd: pytest.CaptureFixture[str]) -> None:
        data = SAMPLES[name]
        whole = read_picture(io.BytesIO(data)).pixels
        chance = random.Random(name)
        for cut in [
            *range(0, 40),
            *(chance.randrange(len(data)) for _ in range(60)),
            *range(len(data) - 30, len(data)),
        ]:
            try:
                picture = read_picture(io.BytesIO(data[:cut]), name="cut")
            except BadImage as error:
                assert error.message.startswith("cut: ")
                assert len(error.message) < 200
                assert "\n" not in error.message
            else:
                assert len(data) - cut < 30  # only the end marker is missing
                np.testing.assert_array_equal(picture.pixels, whole)
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize("name", sorted(SAMPLES))
    def test_changed_bytes_never_escape(self, name: str, capfd: pytest.CaptureFixture[str]) -> None:
        chance = random.Random(name)
        for _ in range(60):
            data = bytearray(SAMPLES[name])
            for _ in range(chance.choice((1, 1, 3, 30))):
                data[chance.randrange(2, len(data))] = chance.randrange(256)
            try:
                picture = read_picture(io.BytesIO(data), max_pixels=1_000_000)
                assert picture.pixels.size <= 3_000_000
            except BadImage:
                pass
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize(
        "error", [MemoryError(), SyntaxError("a\nb"), struct.error("x"), RecursionError(), OSError()]
    )
    def test_whatever_pillow_raises(self, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise error

        monkeypatch.setattr(Image.Image, "load", fail)
        monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
        with pytest.raises(BadImage, match=r"^a\.png: ") as caught:
            read_picture(io.BytesIO(SAMPLES["png"]), name="a.png")
        assert "\n" not in caught.value.message

    def test_interrupts_are_not_swallowed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("PIL.ImageFile.ImageFile.load", interrupt)
        with pytest.raises(KeyboardInterrupt):
            read_picture(io.BytesIO(SAMPLES["jpg"]))

    def test_nothing_is_printed_outside_of_tests_either(self) -> None:
        tags = [(256, 4), (257, 4), (258, 8), (259, 5), (262, 1), (273, 8), (277, 65535), (278, 4), (279, 6)]
        body = b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in tags)
        file = b"II*\0" + struct.pack("<IH", 8, len(tags)) + body + bytes(4)
        code = (
            "import io, sys; from imgtool.imaging.io import *; from imgtool.errors import BadImage\n"
            "try: read_picture(io.BytesIO(sys.stdin.buffer.read()))\n"
            "except BadImage as error: print('refused')"
        )
        for data in (file, SAMPLES["lzw.tif"][:-9], SAMPLES["lzw.tif"].replace(b"\x80", b"\x91")):
            run = subprocess.run(
                [sys.executable, "-c", code], input=data, capture_output=True, cwd=ROOT, check=True
            )
            assert (run.stdout, run.stderr) == (b"refused\n", b"")


class TestFormats:
    def test_pillow_is_told_the_format(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked, real = [], Image.open

        def spy(file: io.BytesIO, **options: object) -> object:
            asked.append(options)
            return real(file, **options)

        monkeypatch.setattr(Image, "open", spy)
        read_picture(io.BytesIO(SAMPLES["16.png"]))
        read_picture(io.BytesIO(SAMPLES["gif"]))
        assert asked == [{"formats": ("PNG",)}, {"formats": ("GIF",)}]

    @pytest.mark.parametrize("name", sorted(SAMPLES))
    def test_told_by_contents_not_by_suffix(self, name: str, tmp_path: Path) -> None:
        for suffix in ("eps", "png", "txt", "tif"):
            path = tmp_path / f"a.{suffix}"
            path.write_bytes(SAMPLES[name])
            assert read_picture(path).pixels.shape == (40, 56, 3)

    @pytest.mark.parametrize(
        ("data", "called"),
        [
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "a PostScript file"),
            (b"\xc5\xd0\xd3\xc6" + bytes(99), "a PostScript file"),
            (b"%PDF-1.7\n", "a PDF document"),
            (b'  <svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG, XML or HTML document"),
            (b"8BPS\0\1" + bytes(99), "a Photoshop document"),
            (b"\0\0\1\0\1\0" + bytes(99), r"an icon \(ICO\)"),
            (b"PK\x03\x04", "a ZIP archive"),
            (b"\x10\3" + bytes(6) + b'{"conv1_1"', r"a style file or weights \(safetensors\)"),
            (b"hello, world", "not a picture"),
            (b"\0", "not a picture"),
            (b"PyRGBA 1 1 255 \0\0\0\0", "not a picture"),
        ],
    )
    def test_others_are_refused_without_their_readers(
        self, data: bytes, called: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(subprocess, "Popen", None)  # Ghostscript
        monkeypatch.setattr(Image, "open", None)
        path = tmp_path / "a.png"
        path.write_bytes(data)
        with pytest.raises(BadImage, match=called) as caught:
            read_picture(path)
        assert caught.value.hint == "a file of PNG, JPEG, WEBP, TIFF, BMP, GIF, PPM, AVIF, HEIC"

    def test_heic_without_its_plugin(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
        with pytest.raises(BadImage, match="HEIC needs a plugin") as caught:
            read_picture(io.BytesIO(b"\0\0\0\x18ftypheic" + bytes(50)))
        assert caught.value.hint == "pip install pillow-heif"


class TestFrames:
    frames = tuple(Image.new("L", (8, 6), level) for level in (10, 90, 200))

    @pytest.mark.parametrize(
        ("format", "count"),
        [("GIF", "3 frames"), ("PNG", "3 frames"), ("WEBP", "3 frames"),
         ("AVIF", "3 frames"), ("TIFF", "3 pages"), ("MPO", "3 pictures")],
    )  # fmt: skip
    def test_first_one_with_a_note(self, format: str, count: str) -> None:
        frames = [frame.convert("RGB") for frame in self.frames]
        picture = read_picture(io.BytesIO(saved(frames[0], format, save_all=True, append_images=frames[1:])))
        assert picture.notes == (f"only the first of {count} is read",)
        assert np.abs(picture.pixels.astype(int) - 10).max() <= 3

    def test_many_frames_are_not_counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(decode, "_COUNT_FRAMES_BYTES", 50)
        for format, things in (("GIF", "frames"), ("TIFF", "pages")):
            data = saved(self.frames[0], format, save_all=True, append_images=self.frames[1:])
            assert read_picture(io.BytesIO(data)).notes == (f"only the first of several {things} is read",)

    def test_later_frames_may_be_damaged(self) -> None:
        data = saved(self.frames[0], "GIF", save_all=True, append_images=self.frames[1:])
        cut = data[: data.rindex(b",") + 4]
        picture = read_picture(io.BytesIO(cut))
        assert picture.pixels.max() == 10
        assert len(picture.notes) == 1


class TestSettings:
    def test_threads(self) -> None:
        before, limit = list(warnings.filters), Image.MAX_IMAGE_PIXELS
        wrong: list[object] = []

        def read(number: int) -> None:
            for name in sorted(SAMPLES):
                picture = read_picture(io.BytesIO(SAMPLES[name]), max_pixels=10 ** (7 + number))
                if picture.pixels.shape != (40, 56, 3):
                    wrong.append(name)

        threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert list(warnings.filters) == before
        assert limit == Image.MAX_IMAGE_PIXELS

    def test_warnings_stay_inside(self) -> None:
        data = saved(Image.new("RGB", (4, 4)), "TIFF", tiffinfo={270: "x" * 200})
        at = data.index(struct.pack("<HH", 270, 2))
        broken = data[: at + 4] + struct.pack("<II", 999_999, 7) + data[at + 12 :]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert read_picture(io.BytesIO(broken)).pixels.shape == (4, 4, 3)
        assert caught == []
        with pytest.warns(UserWarning):  # it is a file that Pillow warns about
            Image.open(io.BytesIO(broken)).load()
