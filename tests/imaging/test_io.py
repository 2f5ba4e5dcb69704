"""The door: paths and streams in, whole files out, one line for every mistake."""

import io
import os
import resource
import threading
from pathlib import Path

import numpy as np
import pytest

from imgtool.errors import BadImage, OutputError
from imgtool.imaging import io as door
from imgtool.imaging.io import Picture, output_format, read_picture, write_picture

ARRAY = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
PICTURE = Picture(ARRAY)


class Stream(io.RawIOBase):
    """A pipe: can be read once, and not sought in."""

    def __init__(self, data: bytes) -> None:
        self.data = io.BytesIO(data)
        self.taken = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:  # type: ignore[override]
        data = self.data.read(size)
        self.taken += len(data)
        return data


def png() -> bytes:
    buffer = io.BytesIO()
    write_picture(buffer, PICTURE)
    return buffer.getvalue()


class TestRead:
    def test_path_string_and_streams(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        path.write_bytes(png())
        opened = io.BytesIO(png())
        opened.seek(10)
        for source in (path, str(path), opened, Stream(png())):
            np.testing.assert_array_equal(read_picture(source).pixels, ARRAY)
        assert not opened.closed

    def test_named_pipe(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(png(),))
        writer.start()
        np.testing.assert_array_equal(read_picture(tmp_path / "pipe").pixels, ARRAY)
        writer.join()

    def test_endless_streams(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(BadImage, match="not a picture"):
            read_picture("/dev/zero")
        stream = Stream(bytes(1 << 20))
        with pytest.raises(BadImage, match="not a picture"):
            read_picture(stream)
        assert stream.taken < 1000
        monkeypatch.setattr(door, "MAX_STREAM_BYTES", 1 << 20)
        with pytest.raises(BadImage, match="the stream is longer than 1 MB"):
            read_picture(Stream(png() + bytes(1 << 20)), name="standard input")

    def test_no_file(self, tmp_path: Path) -> None:
        (tmp_path / "empty").touch()
        for name, reason in (
            ("missing.png", "no such file"),
            ("", "it is a folder"),
            ("empty", "the file is empty"),
            ("empty/a.png", "not a directory"),
            ("x" * 300, "file name too long"),
            ("a\0b", "invalid argument"),
        ):
            with pytest.raises(BadImage) as caught:
                read_picture(tmp_path / name)
            assert caught.value.reason == reason

    def test_no_permission(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        path.write_bytes(png())
        path.chmod(0)
        tmp_path.chmod(0o755)
        for folder in tmp_path.parents[:-2]:
            folder.chmod(folder.stat().st_mode | 0o055)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            with pytest.raises(BadImage, match="permission denied"):
                read_picture(path)
        finally:
            if root:
                os.seteuid(0)

    @pytest.mark.parametrize("name", ["a b.png", "-a.png", "ü漢.png", "x" * 251 + ".png"])
    def test_any_name(self, tmp_path: Path, name: str) -> None:
        write_picture(tmp_path / name, PICTURE)
        np.testing.assert_array_equal(read_picture(tmp_path / name).pixels, ARRAY)

    def test_names_are_printable_in_messages(self, tmp_path: Path) -> None:
        for name in ("a\nb.png", os.fsdecode(b"\xff.png")):
            (tmp_path / name).write_bytes(b"x")
            with pytest.raises(BadImage) as caught:
                read_picture(tmp_path / name)
            assert caught.value.message.encode().isascii()
            assert "\n" not in caught.value.message
        with pytest.raises(BadImage, match=r"^standard input: "):
            read_picture(io.BytesIO(b"x"), name="standard input")


class TestWrite:
    def test_format_by_suffix_or_by_name(self, tmp_path: Path) -> None:
        write_picture(tmp_path / "a.JPG", PICTURE)
        write_picture(tmp_path / "b.data", PICTURE, format="webp")
        assert (tmp_path / "a.JPG").read_bytes().startswith(b"\xff\xd8\xff")
        assert (tmp_path / "b.data").read_bytes()[8:12] == b"WEBP"
        buffer = io.BytesIO()
        assert write_picture(buffer, PICTURE, format="bmp", recipe={"a": 1}) == ("BMP: recipe left out",)
        assert buffer.getvalue().startswith(b"BM")

    @pytest.mark.parametrize("name", ["a", "a.", "a.xyz", ".png", "a.eps", "a.heic", "a.png.\n"])
    def test_unknown_format_is_refused_before_writing(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(OutputError, match="suffix") as caught:
            write_picture(tmp_path / name, PICTURE)
        assert caught.value.hint == "use one of .png .jpg .jpeg .webp .tif .tiff .bmp .gif .ppm .avif"
        assert "\n" not in caught.value.message
        assert list(tmp_path.iterdir()) == []

    def test_output_format(self) -> None:
        assert [output_format(Path(name)) for name in ("a.PNG", "a.b.jpeg", "/x.y/a.tif")] == [
            "png",
            "jpeg",
            "tif",
        ]

    def test_same_bytes_twice(self, tmp_path: Path) -> None:
        for suffix in door.FORMATS:
            for name in ("a", "b"):
                write_picture(tmp_path / f"{name}.{suffix}", PICTURE, recipe={"seed": 1})
            assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()

    def test_no_clobber(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(b"precious")
        (tmp_path / "b.bmp.json").write_bytes(b"precious")
        for name in ("a.png", "b.bmp"):
            with pytest.raises(OutputError, match="it exists already"):
                write_picture(tmp_path / name, PICTURE, recipe={}, overwrite=False)
        assert sorted(each.name for each in tmp_path.iterdir()) == ["a.png", "b.bmp.json"]
        assert {each.read_bytes() for each in tmp_path.iterdir()} == {b"precious"}

    def test_full_disk_leaves_the_old_picture(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        write_picture(path, PICTURE)
        noise = Picture(np.random.default_rng(1).integers(0, 256, (200, 200, 3), dtype=np.uint8))
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        try:
            with pytest.raises(OutputError, match="larger than a file may be here"):
                write_picture(path, noise)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert path.read_bytes() == png()
        assert list(tmp_path.iterdir()) == [path]
        with pytest.raises(OutputError, match="no space left"):
            write_picture(Path("/dev/full"), noise, format="png")

    def test_notes_come_back(self, tmp_path: Path) -> None:
        picture = Picture(ARRAY, np.zeros((7, 5), np.uint8))
        assert write_picture(tmp_path / "a.jpg", picture) == ("JPEG has no transparency: laid on white",)
        assert write_picture(tmp_path / "a.png", picture) == ()
