import io
import json

import numpy as np
import pytest
from PIL import Image

from imgtool.data.captcha_labels import write_labels
from imgtool.data.captcha_set import glyphs_known, read_captcha_set
from imgtool.data.captcha_shards import Drawn, SetShape, write_shard
from imgtool.errors import DataError


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def labels(folder, text, name="labels.jsonl"):
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_csv_alone(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    (item,) = read_captcha_set(labels(tmp_path, "file,text\na.png,AB\n", "labels.csv"))
    assert (item.name, item.text) == ("a.png", "AB")
    with pytest.raises(DataError, match=r"line 2: .*a\.png: the file is empty"):
        item.read()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"file": "gone.png", "text": "A"}\n', "line 1: gone.png is not there"),
        ('{"file": "here.png"}\n', "line 1: expected a file and a text"),
        ('{"file": "here.png", "text": 5}\n', "line 1: expected a file and a text"),
        ('{"file": "here.png", "text": "A"}\n[1]\n', "line 2: expected an object"),
        ("nonsense\n", "cannot be read"),
        ("", "holds no labels"),
    ],
)
def test_faults_are_told_by_line(tmp_path, text, message):
    (tmp_path / "here.png").write_bytes(b"")
    with pytest.raises(DataError, match=message):
        read_captcha_set(labels(tmp_path, text))


def test_split_is_named_when_it_is_missing(tmp_path):
    shape = SetShape(count=20, splits={"train": 0.6, "val": 0.4})
    pixels = np.zeros((4, 4, 3), np.uint8)
    write_shard(tmp_path, shape, 0, (Drawn(index, f"T{index}", pixels) for index in range(20)))
    write_labels(tmp_path, shape)
    with pytest.raises(DataError, match=r"holds no labels.jsonl") as caught:
        read_captcha_set(tmp_path)
    assert caught.value.hint.endswith("train")


def test_no_pickle_is_opened(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (item,) = read_captcha_set(labels(tmp_path, '{"file": "a.npy", "row": 0, "text": "A"}\n'))
    with pytest.raises(DataError, match="cannot be read"):
        item.read()


def test_tar_that_is_none(tmp_path):
    (tmp_path / "a.tar").write_bytes(io.BytesIO(b"x" * 600).getvalue())
    (item,) = read_captcha_set(labels(tmp_path, '{"file": "a.tar", "member": "b.png", "text": "A"}\n'))
    with pytest.raises(DataError, match="cannot be read"):
        item.read()


def test_excel_and_blank_lines(tmp_path):
    (tmp_path / "a.png").write_bytes(png(np.zeros((2, 3, 3), np.uint8)))
    labels(tmp_path, "\ufefffile,text\na.png,AB\n", "labels.csv")
    assert read_captcha_set(tmp_path)[0].text == "AB"
    labels(tmp_path, '\ufeff{"file": "a.png", "text": "CD"}\n\n')
    assert read_captcha_set(tmp_path)[0].text == "CD"


def test_transparency_is_laid_on_white(tmp_path):
    (tmp_path / "a.png").write_bytes(png(np.zeros((2, 3, 4), np.uint8)))
    (item,) = read_captcha_set(labels(tmp_path, '{"file": "a.png", "text": "A"}\n'))
    assert (item.read() == 255).all()


@pytest.mark.parametrize("file", ["../a.png", "/etc/hostname", "b/../../a.png"])
def test_files_outside_the_set(tmp_path, file):
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "set").mkdir()
    with pytest.raises(DataError, match="is not inside the set"):
        read_captcha_set(labels(tmp_path / "set", f'{{"file": "{file}", "text": "A"}}\n'))


@pytest.mark.parametrize(
    ("array", "row"),
    [
        (np.zeros((2, 4, 4, 3), np.uint8), 5),
        (np.zeros((2, 4, 4, 3)), 0),
        (np.zeros(3, np.uint8), 0),
        (np.zeros((1, 4, 4, 3), np.uint8), None),
    ],
)
def test_rows_that_are_no_pictures(tmp_path, array, row):
    np.save(tmp_path / "a.npy", array)
    text = f'{{"file": "a.npy", "row": {"null" if row is None else row}, "text": "A"}}\n'
    (item,) = read_captcha_set(labels(tmp_path, text))
    with pytest.raises(DataError, match="cannot be read"):
        item.read()


def test_name_that_no_system_takes(tmp_path):
    with pytest.raises(DataError, match="is not there"):
        read_captcha_set(labels(tmp_path, f'{{"file": "{"x" * 5000}", "text": "A"}}\n'))


def test_what_is_told_of_glyphs(tmp_path):
    assert glyphs_known(tmp_path, 3) == []
    line = json.dumps({"glyphs": [{"contrast": 5, "visible": 0.9}, {"contrast": 7, "visible": 1}]}) + "\n"
    (tmp_path / "truth.jsonl").write_text(3 * line)
    assert glyphs_known(tmp_path / "labels.jsonl", 2) == 2 * [(5.0, 0.9), (7.0, 1.0)]
    for damaged in ("{", "[]", '{"glyphs": [1]}', "[" * 100_000):
        (tmp_path / "truth.jsonl").write_text(damaged)
        assert glyphs_known(tmp_path, 2) == []
