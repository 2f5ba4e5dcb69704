import csv
import json
import os
import stat
import tarfile

import numpy as np
import pytest

from imgtool.data.captcha_labels import write_labels
from imgtool.data.captcha_set import read_captcha_set
from imgtool.data.captcha_shards import (
    Drawn,
    SetShape,
    is_whole,
    missing,
    remove_set,
    write_shard,
)
from imgtool.errors import OutputError
from imgtool.files import atomic_write

SPLITS = {"train": 0.6, "val": 0.4}


def drawn(index):
    """A small picture whose levels tell its number."""
    pixels = np.full((4, 6, 3), index * 7 % 256, np.uint8)
    glyphs = [{"character": "A", "box": [0, 0, 5, 3]}]
    return Drawn(index, f"T{index % 11}", pixels, glyphs, np.full((4, 6), index % 3, np.uint8))


def write(folder, shape, shards=None):
    for shard in shards if shards is not None else range(shape.shards):
        write_shard(folder, shape, shard, map(drawn, shape.indices(shard)))


@pytest.fixture(params=["files", "tar", "npy"])
def layout(request):
    return request.param


def bytes_of(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_reads_what_it_wrote(tmp_path, layout):
    shape = SetShape(count=10, start=3, shard=4, layout=layout)
    write(tmp_path, shape)
    write_labels(tmp_path, shape)
    items = read_captcha_set(tmp_path)
    assert [item.text for item in items] == [f"T{index % 11}" for index in range(3, 13)]
    for index, item in zip(range(3, 13), items, strict=True):
        np.testing.assert_array_equal(item.read(), drawn(index).pixels)


def test_labels_as_jsonl_and_csv_say_the_same(tmp_path, layout):
    shape = SetShape(count=5, layout=layout, truth=True)
    write(tmp_path, shape)
    write_labels(tmp_path, shape)
    lines = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    with (tmp_path / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [{key: str(value) for key, value in line.items()} for line in lines] == rows
    assert all((tmp_path / line["file"]).is_file() for line in lines)
    truth = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    assert [each["glyphs"][0]["character"] for each in truth] == ["A"] * 5
    if layout == "files":
        assert lines[0] == {"file": "000000.png", "text": "T0"}


def test_no_text_in_two_splits(tmp_path, layout):
    shape = SetShape(count=40, shard=7, layout=layout, splits=SPLITS)
    write(tmp_path, shape)
    write_labels(tmp_path, shape)
    parts = {name: {item.text for item in read_captcha_set(tmp_path / name)} for name in SPLITS}
    assert not parts["train"] & parts["val"]
    assert sum(len(read_captcha_set(tmp_path / name)) for name in SPLITS) == 40


def test_splits_have_about_their_shares():
    shape = SetShape(count=1, splits={"train": 8, "val": 1, "test": 1})
    found = [shape.split_of(f"text {index}") for index in range(4000)]
    assert found.count("train") / 4000 == pytest.approx(0.8, abs=0.03)
    assert found.count("val") / 4000 == pytest.approx(0.1, abs=0.02)


def test_resumed_set_is_the_same(tmp_path, layout):
    shape = SetShape(count=12, shard=5, layout=layout, splits=SPLITS)
    write(tmp_path / "once", shape)
    write(tmp_path / "twice", shape, [2, 0])
    assert [is_whole(tmp_path / "twice", shape, shard) for shard in range(3)] == [True, False, True]
    write(tmp_path / "twice", shape, [1])
    for folder in ("once", "twice"):
        write_labels(tmp_path / folder, shape)
    assert bytes_of(tmp_path / "once") == bytes_of(tmp_path / "twice")


def test_shard_that_lost_a_file_is_not_whole(tmp_path, layout):
    shape = SetShape(count=5, shard=5, layout=layout)
    write(tmp_path, shape)
    next(p for p in tmp_path.iterdir() if p.is_file()).unlink()
    assert not is_whole(tmp_path, shape, 0)


def test_shard_that_grew_is_not_whole(tmp_path):
    write(tmp_path, SetShape(count=5, shard=10))
    assert not is_whole(tmp_path, SetShape(count=8, shard=10), 0)


def test_interrupted_shard_leaves_nothing(tmp_path, layout):
    shape = SetShape(count=9, shard=9, layout=layout)

    def interrupted():
        yield from map(drawn, range(4))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(tmp_path, shape, 0, interrupted())
    assert bytes_of(tmp_path) == {}
    assert not is_whole(tmp_path, shape, 0)


def test_place_that_cannot_be_written(tmp_path, layout):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is not a folder"):
        write(tmp_path / "file" / "set", SetShape(count=2, layout=layout))


def test_removes_its_own_files_alone(tmp_path, layout):
    shape = SetShape(count=6, shard=3, layout=layout, splits=SPLITS, truth=True)
    write(tmp_path, shape)
    write_labels(tmp_path, shape)
    (tmp_path / "mine.txt").write_text("mine")
    remove_set(tmp_path, shape)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_tars_are_those_of_webdataset(tmp_path):
    shape = SetShape(count=3, layout="tar")
    write(tmp_path, shape)
    with tarfile.open(tmp_path / "00000.tar") as tar:
        names = tar.getnames()
        assert names[:4] == ["000000.png", "000000.txt", "000000.json", "000000.mask.png"]
        assert tar.extractfile("000002.txt").read() == b"T2"
        assert {member.mtime for member in tar.getmembers()} == {0}


def test_splits_do_not_depend_on_their_order():
    one = SetShape(count=1, splits={"train": 0.5, "val": 0.5})
    other = SetShape(count=1, splits={"val": 0.5, "train": 0.5})
    assert all(one.split_of(f"{index}") == other.split_of(f"{index}") for index in range(200))


def test_emptied_picture_or_lost_mask_is_not_whole(tmp_path):
    shape = SetShape(count=4, masks=True)
    for harm in (
        lambda: (tmp_path / "000002.png").write_bytes(b""),
        lambda: (tmp_path / "masks/000001.png").unlink(),
    ):
        write(tmp_path, shape)
        assert is_whole(tmp_path, shape, 0)
        harm()
        assert not is_whole(tmp_path, shape, 0)


@pytest.mark.parametrize("count", [2, 20])
def test_pictures_are_on_the_disk_before_the_word_that_they_are_there(tmp_path, layout, count, monkeypatch):
    """Theirs and their names: a loss of power leaves no shard that is whole by its record alone."""
    safe = {}

    def fsync(file):
        status = os.fstat(file)
        safe[status.st_ino] = os.listdir(file) if stat.S_ISDIR(status.st_mode) else []  # noqa: PTH208

    def sync():
        safe.update({each.stat().st_ino: [] for each in tmp_path.rglob("*") if each.is_file()})

    monkeypatch.setattr("os.fsync", fsync)
    monkeypatch.setattr("os.sync", sync)
    shape = SetShape(count=count, layout=layout, masks=True, splits=SPLITS)

    def told(path):
        if path.suffix == ".jsonl":
            for file in [each for each in tmp_path.rglob("*.*") if each.suffix in (".png", ".tar", ".npy")]:
                assert file.stat().st_ino in safe
                assert file.name in safe[file.parent.stat().st_ino]
            asked.append(path)
        return atomic_write(path)

    asked = []
    monkeypatch.setattr("imgtool.data.captcha_shards.atomic_write", told)
    write(tmp_path, shape)
    assert len(asked) == 1 and len(list(tmp_path.glob("*/0*"))) > 1


def test_shards_to_come_are_found_without_reading_those_that_are_there(tmp_path, monkeypatch):
    shape = SetShape(count=12, shard=3)
    write(tmp_path, shape, [0, 2])
    read = []
    monkeypatch.setattr("imgtool.data.captcha_shards.is_whole", lambda *what: read.append(what))
    assert missing(tmp_path, shape, range(4)) == [1, 3] and not read
    monkeypatch.undo()
    write(tmp_path, shape, [1, 3])
    assert missing(tmp_path, shape, range(4)) == []
    (tmp_path / "000004.png").unlink()
    assert missing(tmp_path, shape, range(4)) == [1]


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("000003.png", 3),
        ("000012.png", 12),
        ("000002.png", None),
        ("000013.png", None),
        ("3.png", None),
        ("000003.jpg", None),
        ("000003.mask.png", None),
        ("sheet.png", None),
    ],
)
def test_numbers_of_pictures(name, index):
    assert SetShape(count=10, start=3).index_of(name) == index
    assert SetShape(count=10, start=3, layout="tar").index_of(name) is None


def test_shard_that_lost_its_truth_is_not_whole(tmp_path):
    shape = SetShape(count=4, truth=True)
    for harm in ("", "{}\n"):
        write(tmp_path, shape)
        assert is_whole(tmp_path, shape, 0)
        (tmp_path / "shards/00000.truth").write_text(harm)
        assert not is_whole(tmp_path, shape, 0)
    (tmp_path / "shards/00000.truth").unlink()
    assert not is_whole(tmp_path, shape, 0)


@pytest.mark.parametrize(
    "line",
    [
        "[1]",
        "{}",
        '{"split": "", "file": "a.png"}',
        "nonsense",
        "[" * 100_000,
        '{"split": 5, "file": 6, "text": 7}',
    ],
)
def test_hostile_records_are_of_no_whole_shard(tmp_path, line):
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards/00000.jsonl").write_text(line + "\n")
    assert not is_whole(tmp_path, SetShape(count=1), 0)


def test_removing_does_not_ask_the_records(tmp_path):
    """Which a stranger may have written."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious.png").write_bytes(b"precious")
    shape = SetShape(count=2)
    write(tmp_path / "set", shape)
    record = {"split": "../victim", "file": "precious.png", "text": "A", "mask": str(victim / "precious.png")}
    (tmp_path / "set/shards/00000.jsonl").write_text(json.dumps(record) + "\n")
    remove_set(tmp_path / "set", shape)
    assert (victim / "precious.png").read_bytes() == b"precious"


@pytest.mark.parametrize(
    "found",
    [
        None,
        [1],
        {},
        {"count": "x"},
        {"count": 5, "shard": 0},
        {"count": 5, "layout": "../x"},
        {"count": 5, "splits": {"../x": 1.0}},
        {"count": 5, "splits": {"masks": 1.0}},
        {"count": 5, "splits": [1]},
        {"count": 5, "more": 1},
    ],
)
def test_hostile_shapes(found):
    with pytest.raises(ValueError, match="set"):
        SetShape.of(found)
