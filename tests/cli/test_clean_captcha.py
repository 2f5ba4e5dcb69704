import csv
import json

import numpy as np
import pytest
from PIL import Image

from imgtool.cli import clean_captcha_work

QUICK = (
    "--start",
    "random",
    "--height",
    "24",
    "--hidden",
    "4",
    "--batch",
    "2",
    "--steps",
    "2",
    "--threads",
    "1",
)


@pytest.fixture
def clean(imgtool, folder, monkeypatch):
    """Twenty pictures, which of which nothing can be learnt, with labels."""
    (folder / "data").mkdir()
    lines = []
    for number in range(20):
        Image.fromarray(np.full((24, 64, 3), 10 * number, np.uint8)).save(folder / f"data/{number}.png")
        lines.append(json.dumps({"file": f"{number}.png", "text": "AXA" if number in (3, 8) else "A"}))
    (folder / "data/labels.jsonl").write_text("\n".join(lines))
    return lambda *arguments: imgtool("train-captcha", *arguments)


@pytest.fixture
def trusting(monkeypatch):
    """Readers judge however little they agree."""
    monkeypatch.setattr(clean_captcha_work, "agreement", lambda found: 0.95)


def test_suspects_are_listed(clean, trusting, folder):
    result = clean("data", "-o", "run", "--clean", "4", "--margin", "0.5", *QUICK, "--json")
    assert result.code == 0, result.stderr
    lines = [json.loads(line) for line in (folder / "run/suspects.jsonl").read_text().splitlines()]
    assert result.records[:-1] == lines
    assert result.records[-1]["summary"]["labels"] == 20
    assert result.records[-1]["summary"]["suspects"] == len(lines) > 0
    margins = [line["margin"] for line in lines]
    assert margins == sorted(margins, reverse=True)
    assert {line["fold"] for line in lines} <= {1, 2, 3, 4}
    with (folder / "run/suspects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [line["file"] for line in lines]
    assert list(rows[0]) == ["file", "text", "reading", "margin", "fold"]
    with Image.open(folder / "run/suspects.png") as sheet:
        assert sheet.width > 100


def test_each_picture_is_judged_by_a_reader_that_never_saw_it(clean, trusting, folder):
    clean("data", "-o", "run", "--clean", "4", "--margin", "0", *QUICK)
    lines = [json.loads(line) for line in (folder / "run/suspects.jsonl").read_text().splitlines()]
    assert len({line["file"] for line in lines}) == len(lines)
    for fold in range(1, 5):
        kept = json.loads((folder / f"run/fold-{fold}/options.json").read_text())["options"]
        assert (kept["fold"], kept["val"]) == (fold - 1, 0.25)


def test_a_weak_reader_refuses(clean, folder):
    result = clean("data", "-o", "run", "--clean", "4", *QUICK)
    assert result.code == 1
    assert "run/fold-1 agrees with 0% of labels only, and 80% are needed" in result.stderr
    assert "more --steps" in result.stderr
    assert not (folder / "run/suspects.jsonl").exists()
    assert not (folder / "run/fold-2").exists()  # it says so at once


def test_goes_on_where_it_stopped(clean, trusting, folder, monkeypatch):
    whole = clean("data", "-o", "whole", "--clean", "3", "--margin", "0.5", *QUICK)
    assert whole.code == 0
    judged = clean_captcha_work._judged

    def stop(path, *arguments):
        if path.name == "fold-2":
            raise KeyboardInterrupt
        return judged(path, *arguments)

    monkeypatch.setattr(clean_captcha_work, "_judged", stop)
    result = clean("data", "-o", "cut", "--clean", "3", "--margin", "0.5", *QUICK)
    assert result.code == 130
    assert "To go on: imgtool train-captcha -o cut --resume" in result.stderr
    monkeypatch.setattr(clean_captcha_work, "_judged", judged)
    assert clean("-o", "cut", "--resume").code == 0
    for name in ("suspects.jsonl", "suspects.csv", "fold-3/model.safetensors"):
        assert (folder / "cut" / name).read_bytes() == (folder / "whole" / name).read_bytes()


def test_no_suspects_are_no_picture(clean, trusting, folder):
    result = clean("data", "-o", "run", "--clean", "3", "--margin", "1e9", *QUICK)
    assert result.code == 0
    assert "0 of 20 labels (0.0%) are probably wrong" in result.stderr
    assert (folder / "run/suspects.jsonl").read_bytes() == b""
    assert not (folder / "run/suspects.png").exists()


def test_too_few(clean, folder):
    result = clean("data", "-o", "run", "--clean", "11", *QUICK)
    assert (result.code, result.error) == (1, "error: 20 captchas are too few for 11 parts")
    assert not (folder / "run").exists()


def test_a_place_that_is_taken(clean, folder):
    (folder / "run").mkdir()
    (folder / "run/photo.png").write_bytes(b"")
    result = clean("data", "-o", "run", "--clean", "3", *QUICK)
    assert result.code == 1
    assert "is no training run" in result.error


def test_options_of_another_version(clean, folder):
    (folder / "run").mkdir()
    (folder / "run/options.json").write_text('{"command": "train-captcha", "clean": {"parts": 3}}')
    result = clean("-o", "run", "--resume")
    assert result.code == 1
    assert "its options are of another version" in result.error
