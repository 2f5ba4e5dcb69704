import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from imgtool.cli.train_segment_work import metric_of, parts
from imgtool.data.coding import Coding
from imgtool.data.mask_pairs import MaskPair
from imgtool.errors import DataError
from imgtool.options.segment import TrainSegmentOptions
from imgtool.runtime.checkpoints import load_metadata, load_tensors
from imgtool.runtime.states import save_state

# The least work that is still the whole command.
QUICK = (
    *("--width", "3", "--depth", "1", "--crop", "24", "--batch", "1", "--steps", "4", "--score-every", "2"),
    *("--precision", "bf16", "--threads", "1"),
)


@pytest.fixture
def data(folder):
    """Bright squares and their masks."""
    for number, name in enumerate("abcde"):
        mask = np.zeros((40, 44), np.uint8)
        mask[8 + number : 26, 10 : 28 + number] = 255
        pixels = np.where(mask > 0, 200, 50).astype(np.uint8)
        pixels[::3] += 9
        for kind, each in (("images", pixels), ("masks", mask)):
            (folder / kind).mkdir(exist_ok=True)
            Image.fromarray(each).save(folder / kind / f"{name}.png")
    return folder


@pytest.fixture
def train(imgtool, data):
    return lambda *arguments: imgtool("train-segment", *arguments)


def test_run_is_a_folder_that_segment_takes(train, imgtool, data, require_run):
    result = train("images", "masks", "-o", "run", *QUICK)
    assert result.code == 0, result.stderr
    assert "4 pairs to train on, 1 to choose by; masks hold classes 0, 255" in result.stderr
    assert "imgtool segment IMAGE --weights run" in result.stderr
    assert "None" not in (data / "run/report.html").read_text()
    require_run(data / "run")
    assert [path.name for path in (data / "run/samples").glob("*.png")] == ["worst-1.png"]
    options = json.loads((data / "run/options.json").read_text())["options"]
    assert (options["width"], options["learning_rate"], options["steps"]) == (3, 2e-3, 4)
    lines = [json.loads(line) for line in (data / "run/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "score" in line] == [2, 4]
    assert load_tensors(data / "run/model.safetensors")["down0.first.weight"].shape[1] == 1  # grey
    about = json.loads(load_metadata(data / "run/model.safetensors")["segment"])
    best = max((line["score"] for line in lines if "score" in line), key=lambda score: score["dice"])
    assert about["threshold"] == best["threshold"]
    assert about["probes"] == (best["probes"] > best["running"])
    assert imgtool("segment", "images/a.png", "--weights", "run", "--threads", "1").code == 0


def test_a_killed_run_goes_on_to_the_same_bytes(train, data):
    """SIGKILL at some step; the last checkpoint is of the step before or of the one before that."""
    long = (*QUICK, "--steps", "24", "--score-every", "24")
    assert train("images", "masks", "-o", "whole", *long).code == 0
    command = [sys.executable, "-m", "imgtool", "train-segment", "images", "masks", "-o", "cut", *long]
    child = subprocess.Popen([*command, "--save-every", "0"], stderr=subprocess.DEVNULL)
    last = data / "cut" / "checkpoints/last.safetensors"
    while not last.exists() and child.poll() is None:
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL  # it had not come to its end
    assert train("-o", "cut", "--resume").code == 0
    ours, theirs = (load_tensors(data / run / "model.safetensors") for run in ("whole", "cut"))
    assert all((ours[name] == theirs[name]).all() for name in ours)
    model = [(data / run / "model.safetensors").read_bytes() for run in ("whole", "cut")]
    assert model[0] == model[1]


def test_goes_on_to_a_later_end(train, data):
    train("images", "masks", "-o", "run", *QUICK)
    result = train("-o", "run", "--resume", "--steps", "6")
    assert result.code == 0
    assert "6 steps" in result.stderr
    assert json.loads((data / "run/options.json").read_text())["options"]["steps"] == 6


def test_a_run_that_is_there_is_kept(train, data):
    train("images", "masks", "-o", "run", *QUICK)
    before = (data / "run/model.safetensors").read_bytes()
    result = train("images", "masks", "-o", "run", *QUICK)
    assert result.code == 1
    assert "--resume goes on" in result.error
    assert (data / "run/model.safetensors").read_bytes() == before


def test_patience_ends_a_run(train, data):
    """A rate of nought makes no score better than the first."""
    result = train(
        *("images", "masks", "-o", "run", *QUICK, "--steps", "50", "--score-every", "1"),
        *("--learning-rate", "0", "--no-norm", "--patience", "2"),
    )
    assert result.code == 0
    assert "run: 3 steps" in result.stderr
    assert "ended early: no better" in result.stderr


def test_which_pairs_are_held_out():
    pairs = [MaskPair(name, name) for name in "abcdefghij"]

    def held(val, fold):
        train, out = parts(pairs, val, fold)
        assert sorted([*train, *out], key=pairs.index) == pairs
        return "".join(pair.image for pair in out)

    assert [held(0.2, fold) for fold in range(5)] == ["ij", "gh", "ef", "cd", "ab"]
    assert held(3, 0) == "hij"
    assert held(1, 9) == "a"
    assert held(0.01, 0) == "j"
    assert held(0, 0) == ""
    for val, fold in ((0.2, 5), (10, 0), (1, 10), (0.99, 0)):
        with pytest.raises(DataError, match="10 pairs cannot hold out"):
            parts(pairs, val, fold)


def test_folds_of_a_run(train, data):
    result = train("images", "masks", "-o", "run", *QUICK, "--val", "2", "--fold", "1")
    assert "3 pairs to train on, 2 to choose by" in result.stderr


def test_without_pairs_to_choose_by(train, data):
    result = train("images", "masks", "-o", "run", *QUICK, "--val", "0")
    assert result.code == 0, result.stderr
    assert "5 pairs to train on, 0 to choose by" in result.stderr
    assert "best" not in result.stderr
    assert (data / "run/model.safetensors").is_file()


def test_metric():
    options = TrainSegmentOptions()
    assert (metric_of(options, Coding((0, 1))), metric_of(options, Coding(()))) == ("dice", "ap")
    assert metric_of(TrainSegmentOptions(metric="v-rand"), Coding((0, 1))) == "v-rand"


def test_numbered_objects(train, data):
    for path in (data / "masks").iterdir():
        mask = np.asarray(Image.open(path)) // 255
        mask[30:36, 3:9] = 2
        Image.fromarray(mask).save(path)
    result = train("images", "masks", "-o", "run", *QUICK, "--objects")
    assert result.code == 0, result.stderr
    assert "masks hold numbers of objects\n" in result.stderr
    about = json.loads(load_metadata(data / "run/model.safetensors")["segment"])
    assert (about["classes"], about["objects"]) == (["background", "core", "rim"], True)


def test_small_numbers_may_be_objects_and_that_is_told(train, data):
    for path in (data / "masks").iterdir():
        mask = np.asarray(Image.open(path)) // 255
        mask[30:36, 3:9] = 2
        Image.fromarray(mask).save(path)
    result = train("images", "masks", "-o", "run", *QUICK)
    assert "masks hold classes 0, 1, 2 (--objects if each value is one object)" in result.stderr
    result = train("images", "masks", "-o", "sure", *QUICK, "--classes")
    assert "masks hold classes 0, 1, 2\n" in result.stderr


def test_colour_and_grey_pictures_go_together(train, data):
    pixels = np.asarray(Image.open(data / "images/b.png").convert("RGB")) // (1, 2, 3)
    Image.fromarray(pixels.astype(np.uint8)).save(data / "images/b.png")
    assert train("images", "masks", "-o", "run", *QUICK).code == 0
    assert load_tensors(data / "run/model.safetensors")["down0.first.weight"].shape[1] == 3


def blank(path):
    Image.new("L", (44, 40)).save(path)


def spoil_all(folder):
    for path in folder.iterdir():
        blank(path)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: (data / "masks/a.png").unlink(), "a.png has no mask of the same name"),
        (lambda data: (data / "images/a.png").unlink(), "a.png has no image of the same name"),
        (lambda data: (data / "masks/d.png").write_bytes(b"x"), "d.png"),
        (lambda data: Image.new("L", (9, 9)).save(data / "masks/b.png"), "masks/b.png is 9x9"),
        (lambda data: spoil_all(data / "masks"), "all 4 masks hold the value 0 alone"),
        (
            lambda data: Image.new("L", (44, 40), 7).save(data / "masks/e.png"),
            "e.png is held out and has the value 7",
        ),
        (lambda data: np.save(data / "images/x.npy", np.zeros((4, 4))), "x.npy has no mask"),
        (
            lambda data: (
                [(data / f"images/{name}.png").unlink() for name in "bc"],
                np.save(data / "images/b.npy", np.zeros((40, 44, 2), np.uint8)),
                np.save(data / "images/c.npy", np.zeros((40, 44, 5), np.uint8)),
            ),
            "b.npy has 2 channels, others have 5",
        ),
    ],
)
def test_bad_data_is_named_and_leaves_no_run(train, data, spoil, words):
    spoil(data)
    result = train("images", "masks", "-o", "run", *QUICK)
    assert result.code == 1
    assert words in result.stderr.splitlines()[-1]
    assert not (data / "run").exists()


def test_a_held_out_mask_of_nothing_cannot_be_scored_by_v_rand(train, data):
    blank(data / "masks/e.png")
    result = train("images", "masks", "-o", "run", *QUICK, "--metric", "v-rand")
    assert result.code == 1
    assert "e.png" in result.stderr.splitlines()[-1]
    assert not (data / "run").exists()


def test_a_mask_of_nothing_is_told_and_kept(train, data):
    blank(data / "masks/a.png")
    result = train("images", "masks", "-o", "run", *QUICK)
    assert result.code == 0
    assert "1 masks hold one value only" in result.stderr


def test_refuses_in_one_line(train, data):
    train("images", "masks", "-o", "run", *QUICK)
    both = ("images", "masks")
    for arguments, code, words in (
        ((*both, "-o", "new", "--depth", "9"), 2, "--depth: must be from 1 to 8"),
        ((*both, "-o", "new", "--width", "0"), 2, "--width: must be from 1 to 512"),
        ((*both, "-o", "new", "--border-sigma", "0"), 2, "--border-sigma"),
        ((*both, "-o", "new", "--crop-scales", "0"), 2, "--crop-scales"),
        ((*both, "-o", "new", "--patience", "0"), 2, "--patience: must be at least 1"),
        ((*both, "-o", "new", "--invert", "2"), 2, "--invert: must be from 0 to 1"),
        ((*both, "-o", "new", "--val", "nan"), 2, "--val"),
        ((*both, "-o", "new", "--seed", "-1"), 2, "--seed"),
        ((*both, "-o", "new", "--metric", "iou"), 2, "--metric"),
        ((*both, "-o", "new", "--time", "soon"), 2, "no time"),
        ((*both, "-o", "new", "--precision", "fp16"), 2, "fp16 loses small gradients"),
        ((*both, "-o", "new", *QUICK, "--objects", "--metric", "v-rand"), 2, "v-rand is of masks with two"),
        (("images", "-o", "new"), 2, "IMAGES or MASKS is missing"),
        ((*both, "-o", "run", "--resume"), 2, "leave IMAGES MASKS away"),
        (("-o", "nowhere", "--resume"), 1, "no training run"),
        (("nothing", "masks", "-o", "new"), 1, "no such file"),
    ):
        result = train(*arguments)
        assert result.code == code, (arguments, result.stderr)
        assert words in result.error, arguments
        assert not (data / "new").exists()


def test_a_run_of_another_command_is_refused(train, data):
    train("images", "masks", "-o", "run", *QUICK)
    options = json.loads((data / "run/options.json").read_text())
    (data / "run/options.json").write_text(json.dumps({**options, "command": "train-edges"}))
    result = train("-o", "run", "--resume")
    assert result.code == 1
    assert "is a run of train-edges, expected train-segment" in result.error


def test_a_damaged_checkpoint_is_refused_in_one_line(train, data):
    train("images", "masks", "-o", "run", *QUICK)
    save_state(data / "run/checkpoints/last.safetensors", {"step": 3})
    result = train("-o", "run", "--resume")
    assert result.code == 1
    assert "is not of this run" in result.stderr.splitlines()[-1]


def test_data_that_is_gone_is_named_on_resume(train, data):
    train("images", "masks", "-o", "run", *QUICK)
    (data / "masks/b.png").unlink()
    result = train("-o", "run", "--resume", "--steps", "8")
    assert result.code == 1
    assert "b.png has no mask" in result.error


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: twin(data, "c", "f"), "the pair f is new"),
        (
            lambda data: [(data / kind / "b.png").unlink() for kind in ("images", "masks")],
            "the pair b is gone",
        ),
        (lambda data: Image.new("L", (44, 40), 7).save(data / "masks/a.png"), "the class 7 is new"),
    ],
)
def test_data_that_changed_is_refused_on_resume(train, data, change, words):
    train("images", "masks", "-o", "run", *QUICK)
    before = (data / "run/options.json").read_bytes()
    change(data)
    result = train("-o", "run", "--resume", "--steps", "8")
    assert result.code == 1
    assert result.stderr.splitlines()[-1].count("the data of the run changed") == 1
    assert words in result.error
    assert (data / "run/options.json").read_bytes() == before


def twin(data, name, other):
    for kind in ("images", "masks"):
        (data / kind / f"{other}.png").write_bytes((data / kind / f"{name}.png").read_bytes())


def test_a_run_without_a_checkpoint_takes_the_data_as_they_are(train, data):
    train("images", "masks", "-o", "run", *QUICK)
    (data / "run/checkpoints/last.safetensors").unlink()
    twin(data, "c", "f")
    assert train("-o", "run", "--resume").code == 0
    about = json.loads((data / "run/options.json").read_text())
    assert (about["pairs"], about["held_out"]) == (list("abcde"), ["f"])
    assert about["classes"] == ["0", "255"]
    assert train("-o", "run", "--resume", "--steps", "6").code == 0
