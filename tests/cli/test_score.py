import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def folders(folder):
    """Two maps, one right and one not, and their ground truth."""
    for name in ("maps", "truth"):
        (folder / name).mkdir()
    distance = np.abs(np.arange(48)[:, None] - 20) * np.ones((1, 64))
    blurred = (255 * np.clip(1 - distance / 3, 0, 1)).astype(np.uint8)
    for name, row in (("right", 20), ("wrong", 32)):
        Image.fromarray(blurred).save(folder / "maps" / f"{name}.png")
        truth = np.zeros((48, 64), np.uint8)
        truth[row] = 255
        Image.fromarray(truth).save(folder / "truth" / f"{name}.png")
    return folder


QUICK = ("--thresholds", "9", "--workers", "1")


def test_prints_the_fields_own_measures(imgtool, folders):
    result = imgtool("score", "edges", "maps", "truth", *QUICK)
    assert result.code == 0
    rows = dict(line.split()[:2] for line in result.stdout.decode().splitlines())
    assert rows.keys() == {"ODS", "OIS", "AP", "R50"}
    assert 0.3 < float(rows["ODS"]) < 0.7


@pytest.mark.parametrize("binary", [True, False])
def test_says_when_there_is_no_curve(imgtool, folders, binary):
    """One threshold, or maps in black and white: one point, so no area under it."""
    for path in (folders / "maps").iterdir() if binary else ():
        Image.fromarray(255 * (np.array(Image.open(path)) > 200).astype(np.uint8)).save(path)
    words = ("--no-nms",) if binary else ("--thresholds", "1")
    told = imgtool("score", "edges", "maps", "truth", *QUICK, *words).stdout.decode()
    assert "AP   0.0000  no average precision: all thresholds give one point" in told
    summary = imgtool("score", "edges", "maps", "truth", *QUICK, *words, "--json").records[-1]["summary"]
    assert summary["ap"] is None


def test_json_has_a_line_a_picture_and_a_summary(imgtool, folders):
    *pictures, last = imgtool("score", "edges", "maps", "truth", *QUICK, "--json").records
    assert {each["name"]: each["f"] > 0.9 for each in pictures} == {"right": True, "wrong": False}
    assert last["summary"]["images"] == 2
    assert last["summary"].keys() >= {"ods", "ois", "ap", "r50"}


def test_inverted_maps_score_the_same(imgtool, folders):
    plain = imgtool("score", "edges", "maps", "truth", *QUICK, "--json").records[-1]["summary"]["ods"]
    for path in (folders / "maps").iterdir():
        Image.fromarray(255 - np.array(Image.open(path))).save(path)
    inverted = imgtool("score", "edges", "maps", "truth", *QUICK, "--json", "--invert").records[-1]
    assert inverted["summary"]["ods"] == pytest.approx(plain)


def test_processes_change_nothing(folders):
    def run(workers):
        words = ["score", "edges", "maps", "truth", "--thresholds", "5", "--workers", workers, "--json"]
        command = [sys.executable, "-m", "imgtool", *words]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        summary = json.loads(lines[-1])["summary"]
        return {**summary, "seconds": 0}

    assert run("2") == run("1")


def test_report_stands_on_its_own(imgtool, folders):
    assert imgtool("score", "edges", "maps", "truth", *QUICK, "-o", "report.html").code == 0
    page = (folders / "report.html").read_text()
    assert "<svg" in page
    assert "wrong" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    again = imgtool("score", "edges", "maps", "truth", *QUICK, "-o", "report.html")
    assert again.code == 2
    assert "--force" in again.error


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda here: (here / "maps/right.png").unlink(), "right.png has no map of edges"),
        (lambda here: (here / "truth/right.png").unlink(), "right.png has no ground truth"),
        (lambda here: (here / "maps/right.png").write_bytes(b"x"), "right.png"),
        (lambda here: Image.new("L", (9, 8)).save(here / "maps/right.png"), "is 9x8, its ground truth"),
        (lambda here: [path.unlink() for path in (here / "maps").iterdir()], "holds no picture"),
    ],
)
def test_what_is_wrong_is_named_before_scoring(imgtool, folders, spoil, words):
    spoil(folders)
    result = imgtool("score", "edges", "maps", "truth", *QUICK, "-o", "report.html")
    assert result.code == 1
    assert words in result.error
    assert not result.stdout
    assert not (folders / "report.html").exists()


def test_every_fault_has_a_line_but_very_many_are_counted(imgtool, folders):
    for index in range(30):
        (folders / "truth" / f"{index:02}.png").write_bytes(b"")
    result = imgtool("score", "edges", "maps", "truth", *QUICK)
    lines = result.stderr.splitlines()
    assert result.code == 1
    assert len(lines) == 20 and all(line.startswith("error: ") for line in lines)
    assert "00.png has no map of edges" in lines[0] and lines[-1].endswith("(and 10 more)")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere", "truth"), "does not exist"),
        (("maps/right.png", "truth"), "is a file, expected a folder"),
        (("maps", "truth", "-o", "here/report.txt"), "name it here/report.html"),
        (("maps", "truth", "-o", "-"), "a report is a file, and stdout has the scores"),
    ],
)
def test_refuses_in_one_line(imgtool, folders, arguments, words):
    result = imgtool("score", "edges", *arguments)
    assert result.code == 2
    assert words in result.error
