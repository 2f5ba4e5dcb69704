import hashlib
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from imgtool.runtime.checkpoints import load_metadata


@pytest.fixture
def quick(random_vgg19):
    """The least work that is still the whole command."""
    return (
        *("--crop", "16", "--photo-size", "24", "--style-size", "32", "--width", "3", "--blocks", "1"),
        *("--steps", "4", "--score-every", "2", "--precision", "bf16", "--threads", "1"),
        *("--content-layers", "conv2_1", "--style-layers", "conv1_1", "--weights", str(random_vgg19)),
    )


@pytest.fixture
def data(folder, save):
    """Three photos, one that is none, and two styles."""
    for index in range(3):
        save(f"photos/{index}.png", seed=index)
    (folder / "photos/broken.png").write_bytes(b"no picture")
    save("night.png", seed=8)
    save("waves.png", seed=9)
    return folder


@pytest.fixture
def train(imgtool, data, quick):
    return lambda *arguments: imgtool("train-style", *arguments, *quick)


def test_run_is_a_folder_that_stylize_takes(train, imgtool, data):
    result = train("night.png", "waves.png", "photos", "-o", "run")
    assert result.code == 0, result.stderr
    assert "2 photos to train on, 1 to choose by; styles: night, waves" in result.stderr
    assert "broken.png" in result.stderr and "imgtool stylize PHOTO --weights run" in result.stderr
    for name in ("options.json", "log.jsonl", "report.html", "model.safetensors", "samples/samples.png"):
        assert (data / "run" / name).is_file(), name
    lines = [json.loads(line) for line in (data / "run/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "score" in line] == [2, 4]
    assert json.loads(load_metadata(data / "run/model.safetensors")["style"]) == {
        "styles": ["night", "waves"]
    }
    result = imgtool("stylize", "photos/0.png", "--weights", "run", "-o", "out.png", "--threads", "1")
    assert result.code == 0 and "style night; --blend takes waves too" in result.stderr
    with Image.open("out.png") as out:
        assert out.size == (40, 24)


def test_killed_run_goes_on_to_the_same_bytes(data, quick):
    command = [sys.executable, "-m", "imgtool", "train-style", "-q"]
    long = [*quick, "--steps", "40", "--save-every", "0.01s"]
    subprocess.run([*command, "night.png", "photos", "-o", "whole", *long], check=True)
    child = subprocess.Popen([*command, "night.png", "photos", "-o", "cut", *long])
    while not (data / "cut/checkpoints/last.safetensors").exists():
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    subprocess.run([*command, "-o", "cut", "--resume"], check=True)
    ours, theirs = ((data / run / "model.safetensors").read_bytes() for run in ("cut", "whole"))
    assert hashlib.sha256(ours).digest() == hashlib.sha256(theirs).digest()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "STYLE or PHOTOS is missing"),
        (("night.png",), "STYLE or PHOTOS is missing"),
        (("gone.png", "photos"), "style gone.png does not exist"),
        (("photos", "photos"), "style photos is a folder"),
        (("night.png", "night.png", "photos"), "a name that is taken"),
        (("a=b.png", "photos"), "a name with , or ="),
        (("night.png", "photos", "--photo-size", "30"), "--photo-size: must be a multiple of 4"),
        (("night.png", "photos", "--crop", "20"), "--crop: must be a multiple of 16"),
        (("night.png", "photos", "--crop", "32"), "at most --photo-size 24"),
        (("night.png", "photos", "--style-layers", "conv9_1"), "no layer 'conv9_1'"),
        (("night.png", "photos", "--learning-rate", "0"), "--learning-rate: must be above 0"),
        (("night.png", "photos", "--average", "1"), "--average: must be from 0 to below 1"),
        (("night.png", "photos", "--precision", "fp16"), "fp16 loses small gradients"),
    ],
)
def test_impossible_options(imgtool, quick, data, save, arguments, message):
    save("a=b.png")
    result = imgtool("train-style", *quick, *arguments, "-o", "run")
    assert result.code == 2 and message in result.error
    assert not (data / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("night.png", "nothing"), "nothing: no such file or folder"),
        (("night.png", "one"), "one holds one photo only"),
        (("text.png", "photos"), "text.png"),
    ],
)
def test_data_that_will_not_do(train, data, save, arguments, message):
    save("one/only.png")
    (data / "text.png").write_text("no picture")
    result = train(*arguments, "-o", "run")
    assert result.code == 1 and message in result.stderr
    assert not (data / "run").exists()


def test_data_that_changed(train, imgtool, data, save):
    train("night.png", "photos", "-o", "run")
    save("night.png", seed=77)
    assert "changed: styles were night" in imgtool("train-style", "-o", "run", "--resume").stderr
    save("night.png", seed=8)
    save("photos/more.png", seed=5)
    assert "photos were 3, are 4" in imgtool("train-style", "-o", "run", "--resume").stderr


def test_first_style_may_be_asked_for_by_name(train, imgtool, data):
    train("night.png", "waves.png", "photos", "-o", "run")
    shared = ("stylize", "photos/1.png", "--weights", "run", "--threads", "1")
    for name, more in {"a": (), "b": ("--blend", "night"), "c": ("--blend", "waves=2,night=1")}.items():
        assert imgtool(*shared, *more, "-o", f"{name}.png").code == 0
    pixels = {name: np.asarray(Image.open(f"{name}.png")) for name in "abc"}
    assert np.array_equal(pixels["a"], pixels["b"]) and not np.array_equal(pixels["a"], pixels["c"])


def test_start(train, imgtool, data, save):
    train("night.png", "waves.png", "photos", "-o", "first")
    save("dawn.png", seed=11)
    assert train("dawn.png", "photos", "-o", "second", "--start", "first").code == 0
    (data / "first/model.safetensors").unlink()
    result = imgtool("train-style", "-o", "second", "--resume", "--steps", "6")
    assert result.code == 0 and "second: 6 steps" in result.stderr


def test_start_of_another_size(train, imgtool, quick, data):
    train("night.png", "photos", "-o", "first")
    arguments = ("night.png", "photos", "-o", "second", "--start", "first", *quick, "--blocks", "2")
    result = imgtool("train-style", *arguments)
    assert result.code == 2 and "first has another size" in result.stderr
    assert "--width 3 --blocks 1" in result.stderr and not (data / "second").exists()
