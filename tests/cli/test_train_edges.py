import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from imgtool.runtime.checkpoints import load_tensors
from imgtool.runtime.states import save_state

# The least work that is still the whole command.
QUICK = (
    *("--student", "--teacher", "none", "--crop", "64", "--batch", "2", "--steps", "6", "--score-every", "3"),
    *("--precision", "fp32", "--threads", "1"),
)


@pytest.fixture
def data(folder):
    """Squares on a ground, and their outlines, in the layout of BSDS500."""
    for part, names in (("train", "abc"), ("val", "de")):
        for number, name in enumerate(names):
            truth = np.zeros((48, 56), np.uint8)
            truth[10 + number : 38, 12 : 40 + number] = 255
            pixels = np.where(truth[..., None] > 0, (220, 180, 30), (20, 60, 120)).astype(np.uint8)
            truth[11 + number : 37, 13 : 39 + number] = 0
            for kind, each in (("images", pixels), ("groundTruth", truth)):
                (folder / "data" / kind / part).mkdir(parents=True, exist_ok=True)
                Image.fromarray(each).save(folder / "data" / kind / part / f"{name}.png")
    return folder / "data"


def test_run_is_a_folder_that_edges_takes(imgtool, data, pictures, require_run):
    result = imgtool("train-edges", "data", "-o", "run", *QUICK)
    assert result.code == 0
    assert "imgtool edges PHOTO --weights run" in result.stderr
    require_run(pictures / "run")
    assert len(list((pictures / "run/samples").glob("*.png"))) == 2
    options = json.loads((pictures / "run/options.json").read_text())
    assert (options["options"]["batch"], options["options"]["learning_rate"]) == (2, 2e-3)
    assert imgtool("edges", "photo.png", "--weights", "run", "--threads", "1").code == 0


def test_a_killed_run_goes_on_to_the_same_bytes(imgtool, data, folder):
    """SIGKILL at some step; the last checkpoint is of the step before or of the one before that."""
    assert imgtool("train-edges", "data", "-o", "whole", *QUICK, "--steps", "40").code == 0
    command = [sys.executable, "-m", "imgtool", "train-edges", "data", "-o", "cut", *QUICK, "--steps", "40"]
    child = subprocess.Popen([*command, "--save-every", "0"], stderr=subprocess.DEVNULL)
    log = folder / "cut" / "checkpoints/last.safetensors"
    while not log.exists() and child.poll() is None:
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL  # it had not come to its end
    assert imgtool("train-edges", "-o", "cut", "--resume").code == 0
    ours, theirs = (load_tensors(folder / run / "model.safetensors") for run in ("whole", "cut"))
    assert all((ours[name] == theirs[name]).all() for name in ours)
    model = [(folder / run / "model.safetensors").read_bytes() for run in ("whole", "cut")]
    assert model[0] == model[1]


def test_nought_is_a_value(imgtool, data, folder):
    imgtool("train-edges", "data", "-o", "run", *QUICK, "--teacher-weight", "0", "--threshold", "0")
    options = json.loads((folder / "run/options.json").read_text())["options"]
    assert (options["teacher_weight"], options["threshold"]) == (0, 0)


def test_a_damaged_run_is_refused_in_one_line(imgtool, data, folder):
    imgtool("train-edges", "data", "-o", "run", *QUICK)
    with (folder / "run/log.jsonl").open("ab") as file:
        file.write(b"5\n\xff\xfe\n")
    assert imgtool("train-edges", "-o", "run", "--resume", "--steps", "7").code == 0
    save_state(folder / "run/checkpoints/last.safetensors", {"step": 3})
    result = imgtool("train-edges", "-o", "run", "--resume")
    assert result.code == 1
    assert "is not of this run" in result.stderr.splitlines()[-1]
    options = json.loads((folder / "run/options.json").read_text())
    assert options["options"]["steps"] == 7  # the later end is kept
    options["options"]["odd"] = 1
    (folder / "run/options.json").write_text(json.dumps(options))
    assert "another version" in imgtool("train-edges", "-o", "run", "--resume").stderr.splitlines()[-1]


def test_goes_on_to_a_later_end(imgtool, data, folder):
    imgtool("train-edges", "data", "-o", "run", *QUICK)
    assert imgtool("train-edges", "-o", "run", "--resume", "--steps", "8").code == 0
    lines = [json.loads(line) for line in (folder / "run/log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 8


def test_imitates_a_teacher_whose_maps_stay(imgtool, data, folder):
    imgtool("train-edges", "data", "-o", "teacher", *QUICK)
    result = imgtool("train-edges", "data", "-o", "run", *QUICK, "--teacher", "teacher")
    assert result.code == 0
    assert len(list((folder / "run/teacher").glob("*.png"))) == 3
    first = json.loads((folder / "run/log.jsonl").read_text().splitlines()[0])
    assert first["teacher"] > 0


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: (data / "images/train/a.png").unlink(), "a.png has no photo of the same name"),
        (lambda data: (data / "groundTruth/val/d.png").write_bytes(b"x"), "d.png"),
        (lambda data: Image.new("L", (9, 9)).save(data / "groundTruth/train/b.png"), "9x9"),
    ],
)
def test_bad_data_is_named_and_leaves_no_run(imgtool, data, folder, spoil, words):
    spoil(data)
    result = imgtool("train-edges", "data", "-o", "run", *QUICK)
    assert result.code == 1
    assert words in result.stderr.splitlines()[-1]
    assert not (folder / "run").exists()


def test_refuses_in_one_line(imgtool, data, folder, random_vgg19):
    imgtool("train-edges", "data", "-o", "run", *QUICK)
    for arguments, code, words in (
        (("data", "-o", "run", *QUICK), 1, "--resume goes on"),
        (("data", "-o", "new", "--crop", "50"), 2, "--crop: must be a multiple of 16"),
        (("-o", "new"), 2, "DATA is missing"),
        (("data", "-o", "run", "--resume"), 2, "leave DATA away"),
        (("-o", "nowhere", "--resume"), 1, "no training run"),
        (("data", "-o", "new", "--start", str(random_vgg19)), 3, "holds vgg19, expected hed or vgg16"),
        (("data", "-o", "new", *QUICK, "--teacher", str(random_vgg19)), 3, "holds vgg19, expected hed"),
        (("data", "-o", "new", "--save-every", "nan"), 2, "'nan' is no time"),
        (("data", "-o", "new", "--learning-rate", "nan"), 2, "--learning-rate: must be at least 0, got nan"),
        (
            ("data", "-o", "new", "--teacher-weight", "inf"),
            2,
            "--teacher-weight: must be at least 0, got inf",
        ),
    ):
        result = imgtool("train-edges", *arguments)
        assert result.code == code, arguments
        assert words in result.stderr.splitlines()[-1], arguments
        assert not (folder / "new").exists()


def test_a_run_that_goes_on_keeps_what_it_is(imgtool, data, folder):
    imgtool("train-edges", "data", "-o", "run", *QUICK)
    for words in (("--batch", "4"), ("--student",), ("--start", "vgg16"), ("--seed", "1")):
        result = imgtool("train-edges", "-o", "run", "--resume", "--steps", "8", *words)
        assert result.code == 2
        assert f"{words[0]} cannot change when a run goes on; leave it away" in result.error
    # How it is worked on may change, and stays so.
    result = imgtool("train-edges", "-o", "run", "--resume", "--score-every", "7", "--threads", "2", "-q")
    assert (result.code, result.stderr) == (0, "")
    machine = json.loads((folder / "run/options.json").read_text())["machine"]
    assert (machine["score_every"], machine["threads"], machine["precision"]) == (7, 2, "fp32")


def test_settings_do_not_speak_for_a_run_that_goes_on(imgtool, data, folder, monkeypatch):
    imgtool("train-edges", "data", "-o", "run", *QUICK)
    monkeypatch.setenv("IMGTOOL_TRAIN_EDGES_STEPS", "9")
    monkeypatch.setenv("IMGTOOL_TRAIN_EDGES_BATCH", "1")
    assert imgtool("train-edges", "-o", "run", "--resume").code == 0
    options = json.loads((folder / "run/options.json").read_text())["options"]
    assert (options["steps"], options["batch"]) == (6, 2)


def test_goes_on_from_another_folder_without_what_it_started_from(imgtool, data, folder, monkeypatch):
    tuned = ("--crop", "64", "--batch", "1", "--score-every", "99", "--precision", "fp32", "--threads", "1")
    imgtool("train-edges", "data", "-o", "first", *QUICK)
    named = ("--start", "first", "--teacher", "first", "--steps", "2")
    assert imgtool("train-edges", "data", "-o", "run", *tuned, *named).code == 0
    options = json.loads((folder / "run/options.json").read_text())["options"]
    assert options["start"] == options["teacher"] == str(folder / "first")
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    (folder / "run/checkpoints/last.safetensors").rename(folder / "last.safetensors")
    assert imgtool("train-edges", "-o", "../run", "--resume").code == 0  # from the start's weights
    (folder / "first").rename(folder / "gone")
    assert imgtool("train-edges", "-o", "../run", "--resume", "--steps", "3").code == 0
    assert imgtool("edges", "../data/images/val/d.png", "--weights", "../run").code == 0
    options = json.loads((folder / "run/options.json").read_text())
    options["network"]["depths"] = 3
    (folder / "run/options.json").write_text(json.dumps(options))
    result = imgtool("train-edges", "-o", "../run", "--resume")
    assert (result.code, "another version" in result.error) == (1, True)


def test_a_student_has_a_teacher_unless_told_otherwise(imgtool, data, folder):
    alone = [word for word in QUICK if word not in ("--teacher", "none")]
    result = imgtool("train-edges", "data", "-o", "run", *alone)
    assert (result.code, "hed cannot be had" in result.stderr) == (3, True)  # there is no network here
    assert not (folder / "run").exists()
    assert imgtool("train-edges", "data", "-o", "run", *QUICK).code == 0
    assert json.loads((folder / "run/options.json").read_text())["options"]["teacher"] is None


def test_out_of_memory_is_one_line_and_keeps_the_checkpoint(imgtool, data, folder, monkeypatch):
    imgtool("train-edges", "data", "-o", "run", *QUICK)

    def full(self, number):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr("imgtool.tasks.train_edges.EdgesTrainee.batch", full)
    before = (folder / "run/checkpoints/last.safetensors").read_bytes()
    result = imgtool("train-edges", "-o", "run", "--resume", "--steps", "8")
    assert result.code == 4
    assert "the last checkpoint is kept. Try: --batch 1 or a smaller --crop" in result.stderr.splitlines()[-1]
    assert (folder / "run/checkpoints/last.safetensors").read_bytes() == before


def test_two_processes_do_not_train_in_one_folder(imgtool, data, folder):
    from imgtool.training.run_folder import RunFolder

    imgtool("train-edges", "data", "-o", "run", *QUICK)
    with RunFolder.resumed(folder / "run").locked():
        result = imgtool("train-edges", "-o", "run", "--resume")
    assert result.code == 1
    assert "another process" in result.stderr
