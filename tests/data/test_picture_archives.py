import io
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from imgtool.data.picture_set import read_picture_set
from imgtool.errors import DataError


def png(level, size=8):
    file = io.BytesIO()
    Image.new("L", (size, size), level).save(file, "png")
    return file.getvalue()


def packed(path, files):
    """A zip or tar of files, in the order in which they are given."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(
            path, "w", zipfile.ZIP_LZMA if "lzma" in path.name else zipfile.ZIP_DEFLATED
        ) as zipped:
            for name, data in files.items():
                zipped.writestr(name, data)
    else:
        with tarfile.open(path, f"w:{path.suffix[1:]}" if path.suffix != ".tar" else "w") as tar:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


def told(found):
    """(class, level) of each picture."""
    names = [found.classes[label] for label in found.labels] if found.classes else [None] * len(found.labels)
    return list(zip(names, found.pixels[:, 0, 0, 0].tolist(), strict=True))


ENDS = ("zip", "lzma.zip", "tar", "tar.gz", "tar.xz")
CLASSES = {"b/deep/1.png": png(3), "a-b/2.png": png(1), "a/2.png": png(2), "a/x/1.png": png(4)}


@pytest.mark.parametrize("end", ENDS)
def test_archives_are_as_their_folder(tmp_path, end):
    for name, data in CLASSES.items():
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(data)
    expected = [("a", 2), ("a", 4), ("a-b", 1), ("b", 3)]
    assert told(read_picture_set(tmp_path / "set", size=8, classes=True)) == expected
    assert told(read_picture_set(packed(tmp_path / f"set.{end}", CLASSES), size=8, classes=True)) == expected


@pytest.mark.parametrize("end", ["zip", "tar"])
@pytest.mark.parametrize("top", ["./", "set/", "../data/set/", "/data/"])
def test_folder_of_a_whole_archive_is_no_class(tmp_path, end, top):
    files = {top + name: data for name, data in CLASSES.items()}
    extras = {
        "__MACOSX/set/a/._2.png": b"\0\5\x16\7",
        f"{top}a/._2.png": b"\0\5\x16\7",
        f"{top}.DS_Store": b"",
    }
    found = read_picture_set(packed(tmp_path / f"set.{end}", files | extras), size=8, classes=True)
    assert found.classes == ("a", "a-b", "b") and len(found.pixels) == 4 and not found.left_out


@pytest.mark.parametrize("end", ["tar.gz", "tar.bz2", "tar.xz"])
def test_truncated_tar(tmp_path, end):
    noise = np.random.default_rng(0).bytes(200_000)
    path = packed(tmp_path / f"set.{end}", {"1.png": png(1), "2.png": noise, "3.png": png(3)})
    path.write_bytes(path.read_bytes()[:150_000])
    with pytest.raises(DataError, match=r"set\.tar\.\w+ cannot be read: |is no set of pictures") as caught:
        read_picture_set(path, size=8)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("end", ["zip", "lzma.zip"])
def test_damaged_member_is_left_out(tmp_path, end):
    path = packed(tmp_path / f"set.{end}", {"1.png": png(1), "2.png": png(2, 300), "3.png": png(3)})
    with zipfile.ZipFile(path) as zipped:
        info = zipped.getinfo("2.png")
    data = bytearray(path.read_bytes())
    start = info.header_offset + 30 + len("2.png") + 9
    data[start : start + info.compress_size - 9] = b"\xff" * (info.compress_size - 9)
    path.write_bytes(data)
    found = read_picture_set(path, size=8)
    assert [level for _, level in told(found)] == [1, 3]
    assert len(found.left_out) == 1 and found.left_out[0].startswith("2.png: ")


def test_bombs_are_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("imgtool.imaging.io.MAX_STREAM_BYTES", 50_000)
    long = png(9) + bytes(10 << 20)
    files = {"1.png": png(1), "no-picture.png": bytes(10 << 20), "long.png": long}
    read = []
    wide = zipfile.ZipExtFile.read
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda self, n=-1: counted(read, wide(self, n)))
    found = read_picture_set(packed(tmp_path / "set.zip", files), size=8)
    assert [level for _, level in told(found)] == [1]
    assert "long.png: the stream is longer" in found.left_out[0] and "no-picture.png" in found.left_out[1]
    assert sum(read) < 200_000


def counted(lengths, data):
    lengths.append(len(data))
    return data


def test_tar_is_read_in_its_own_order(tmp_path, monkeypatch):
    names = [f"{index:02d}.png" for index in np.random.default_rng(0).permutation(20)]
    path = packed(tmp_path / "set.tar.gz", {name: png(int(name[:2])) for name in names})
    places = []
    extract = tarfile.TarFile.extractfile
    monkeypatch.setattr(
        tarfile.TarFile, "extractfile", lambda self, info: places.append(info.offset) or extract(self, info)
    )
    found = read_picture_set(path, size=8)
    assert [level for _, level in told(found)] == list(range(20))
    assert places == sorted(places) and len(places) == 20


def test_archive_without_pictures(tmp_path):
    for end in ("zip", "tar"):
        with pytest.raises(DataError, match="holds no pictures"):
            read_picture_set(packed(tmp_path / f"set.{end}", {"note.txt": b"note"}), size=8)
