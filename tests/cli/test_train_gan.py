import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imgtool.imaging.animation import read_timing

# The least work that is still the whole command.
QUICK = (
    *("--size", "8", "--width", "4", "--latent", "4", "--batch", "4", "--steps", "4", "--score-every", "2"),
    *("--precision", "fp32", "--threads", "1"),
)


@pytest.fixture
def data(folder):
    """Bright squares in two classes, and a file that is no picture."""
    for index in range(12):
        place = folder / "pictures" / ("even" if index % 2 else "odd")
        place.mkdir(parents=True, exist_ok=True)
        pixels = np.zeros((10, 10, 3), np.uint8)
        pixels[index % 5 : index % 5 + 4, 2:7] = (220, 40 * (index % 5), 90)
        Image.fromarray(pixels).save(place / f"{index}.png")
    (folder / "pictures/odd/broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture
def train(imgtool, data):
    return lambda *arguments: imgtool("train-gan", *arguments)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_run_is_a_folder_that_sample_gan_takes(train, imgtool, data):
    result = train("pictures", "-o", "run", *QUICK)
    assert result.code == 0, result.stderr
    assert "broken.png" in result.stderr and "1 pictures are left out" in result.stderr
    assert "12 RGB pictures of 8x8" in result.stderr
    assert "imgtool sample-gan run" in result.stderr
    for name in ("options.json", "log.jsonl", "report.html", "model.safetensors", "samples/0-pictures.png"):
        assert (data / "run" / name).is_file(), name
    lines = [json.loads(line) for line in (data / "run/log.jsonl").read_text().splitlines()]
    assert {"D", "G", "D(x)", "D(G(z))", "slope D", "slope G", "variety"} <= lines[0].keys()
    assert imgtool("sample-gan", "run", "--count", "5", "-o", "grid.png").code == 0
    with Image.open("grid.png") as grid:
        assert grid.size == (3 * 10 - 2, 2 * 10 - 2)


def test_zero_is_an_answer(train, data):
    train("pictures", "-o", "run", *QUICK, "--average", "0", "--gradient-penalty", "0")
    options = json.loads((data / "run/options.json").read_text())["options"]
    assert (options["average"], options["gradient_penalty"]) == (0, 0)


def test_batch_of_one(train, data):
    result = train("pictures", "-o", "run", *QUICK, "--batch", "1", "--norm", "layer")
    assert result.code == 0, result.stderr


def test_weights_too_large_for_halves(train, imgtool, data):
    train("pictures", "-o", "run", *QUICK, "--learning-rate", "1e6", "--norm", "layer")
    assert imgtool("sample-gan", "run", "-o", "grid.png").code == 0


def test_scores_in_a_space_of_ones_own(train, imgtool, data, monkeypatch):
    monkeypatch.setattr("imgtool.cli.train_gan_work.FEWEST_HELD_OUT", 3)
    monkeypatch.setattr("imgtool.cli.train_gan_work.FEWEST_COMPARED", 10)
    monkeypatch.setattr("imgtool.cli.train_gan_work.HELD_OUT", 0.3)
    imgtool("train-features", "pictures", "-o", "space", "--size", "8", "--batch", "4", "--steps", "2")
    result = train("pictures", "-o", "run", *QUICK, "--features", "space", "--json")
    assert result.code == 0, result.stderr
    assert "in classifier-128-" in result.stderr
    assert result.records[-1]["steps"] == 4 and result.records[-1]["best"] < 0
    lines = [json.loads(line) for line in (data / "run/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "score" in line] == [2, 4]
    assert train("pictures", "-o", "other", *QUICK, "--features", "nowhere").code == 3


def test_few_pictures_are_scored_by_themselves(train, imgtool, data, monkeypatch):
    imgtool("train-features", "pictures", "-o", "space", "--size", "8", "--batch", "4", "--steps", "2")
    assert (
        "Too few pictures for scores."
        in train("pictures", "-o", "none", *QUICK, "--features", "space").stderr
    )
    monkeypatch.setattr("imgtool.cli.train_gan_work.FEWEST_COMPARED", 3)
    result = train("pictures", "-o", "run", *QUICK, "--features", "space", "--json")
    assert result.code == 0, result.stderr
    assert "compare with the pictures trained on" in result.stderr
    assert " on the pictures trained on\n" in result.stderr
    assert result.records[-1]["best"] < 0


def test_classes(train, imgtool, data):
    assert "2 classes" in train("pictures", "-o", "run", "--classes", *QUICK).stderr
    assert imgtool("sample-gan", "run", "--classes", "1,0", "--count", "4", "-o", "many").code == 0
    assert len(list((data / "many").glob("*.png"))) == 4
    assert (
        "no '2'; there is 0 even, 1 odd"
        in imgtool("sample-gan", "run", "--classes", "2", "-o", "x.png").error
    )
    assert imgtool("sample-gan", "run", "--classes", "odd", "-n", "1", "-o", "odd.png").code == 0
    assert imgtool("rerun", "odd.png", "-o", "again.png").code == 0
    assert (data / "odd.png").read_bytes() == (data / "again.png").read_bytes()


def test_killed_run_goes_on_to_the_same_bytes(data):
    command = [sys.executable, "-m", "imgtool", "train-gan", "-q"]
    quick = [*QUICK, "--steps", "60", "--save-every", "0.01s"]
    subprocess.run([*command, "pictures", "-o", "whole", *quick], check=True)
    child = subprocess.Popen([*command, "pictures", "-o", "cut", *quick])
    while not (data / "cut/checkpoints/last.safetensors").exists():
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    subprocess.run([*command, "-o", "cut", "--resume"], check=True)
    assert sha256(data / "whole/model.safetensors") == sha256(data / "cut/model.safetensors")


def test_a_run_among_its_data_goes_on(train, data):
    assert train("pictures", "-o", "pictures/run", *QUICK).code == 0
    result = train("-o", "pictures/run", "--resume", "--steps", "6")
    assert result.code == 0 and "12 RGB pictures" in result.stderr


def test_a_run_by_time_goes_on_by_steps(train, data):
    result = train("pictures", "-o", "run", *QUICK[:8], *QUICK[10:], "--time", "0.2s", "--json")
    steps = result.records[-1]["steps"]
    assert train("-o", "run", "--resume", "--steps", steps + 5, "--json").records[-1]["steps"] == steps + 5
    both = ("--steps", steps + 7, "--time", "1h")
    assert train("-o", "run", "--resume", *both, "--json").records[-1]["steps"] == steps + 7
    options = json.loads((data / "run/options.json").read_text())["options"]
    assert (options["steps"], options["time"]) == (steps + 7, 3600)


def test_data_that_changed(train, data):
    train("pictures", "-o", "run", *QUICK)
    (data / "pictures/odd/0.png").unlink()
    result = train("-o", "run", "--resume", "--steps", "6")
    assert result.code == 1
    assert "the data of the run changed: pictures were 12, are 11" in result.stderr
    Image.new("RGB", (10, 10)).save(data / "pictures/odd/0.png")
    assert "the data of the run changed: sha256" in train("-o", "run", "--resume", "--steps", "6").stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pictures", "-o", "run", "--size", "12"), "--size: must be a power of two"),
        (
            ("pictures", "-o", "run", "--loss", "wgan-gp", "--critic-norm", "batch"),
            "--critic-norm: batch mixes",
        ),
        (("-o", "run"), "DATA is missing"),
        (("pictures", "-o", "run", "--augment", "twist"), "no 'twist'"),
        (("pictures", "-o", "run", "--betas", "0.5,1"), "--betas: must be two numbers from 0 to below 1"),
        (("pictures", "-o", "run", "--betas", "0.5"), "--betas: must be two numbers"),
        (("pictures", "-o", "run", "--average", "1"), "--average: must be from 0 to below 1"),
        (("pictures", "-o", "run", "--steps", "0"), "--steps: must be above 0"),
        (("pictures", "-o", "run", "--size", "0"), "--size: must be a power of two"),
        (("pictures", "-o", "run", "--squeeze"), "--squeeze: has no place in dcgan"),
        (
            ("pictures", "-o", "run", "--arch", "resnet", "--attention", "--size", "16"),
            "inside of 32 or more",
        ),
    ],
)
def test_impossible_options(train, data, arguments, message):
    result = train(*arguments)
    assert result.code == 2 and message in result.error
    assert not (data / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing", "-o", "run"), "nothing: no such file or folder"),
        (("empty", "-o", "run"), "empty holds no pictures"),
        (("pictures", "-o", "run", "--size", "8"), "12 pictures are less than a batch of 64"),
    ],
)
def test_data_that_will_not_do(train, data, arguments, message):
    (data / "empty").mkdir()
    result = train(*arguments)
    assert result.code == 1 and message in result.stderr
    assert not (data / "run").exists()


def test_samples_are_kept_and_come_again(train, imgtool, data):
    train("pictures", "-o", "run", *QUICK)
    draw = ("sample-gan", "run", "--threads", "1", "--count", "3", "--seed", "4")
    imgtool(*draw, "-o", "a.png")
    before = (data / "a.png").read_bytes()
    assert "a.png exists" in imgtool(*draw, "-o", "a.png").error
    imgtool(*draw, "-o", "b.png")
    assert (data / "b.png").read_bytes() == before
    assert imgtool("rerun", "a.png", "-o", "c.png").code == 0
    assert (data / "c.png").read_bytes() == before
    assert "holds hed" in imgtool("sample-gan", "hed-lite", "-o", "d.png").error


def test_file_of_a_folder_is_made_again_alone(train, imgtool, data):
    train("pictures", "-o", "run", *QUICK)
    assert imgtool("sample-gan", "run", "-n", "5", "--seed", "4", "-o", "many").code == 0
    assert imgtool("rerun", "many/000003.png", "-o", "again.png").code == 0
    assert (data / "again.png").read_bytes() == (data / "many/000003.png").read_bytes()
    assert "many/000000.png exists" in imgtool("sample-gan", "run", "-o", "many").error


def test_file_of_a_class_is_made_again_alone(train, imgtool, data):
    train("pictures", "-o", "run", "--classes", *QUICK)
    imgtool("sample-gan", "run", "--seeds", "3,14,15", "--classes", "even,odd", "-o", "some/")
    imgtool("sample-gan", "run", "--start", "4", "-n", "3", "-o", "more/")
    for name in ("some/000001.png", "some/000002.png", "more/000005.png"):
        assert imgtool("rerun", name, "-o", "again.png", "-f").code == 0
        assert (data / "again.png").read_bytes() == (data / name).read_bytes(), name


def test_stdout_is_for_the_picture_alone(imgtool, data):
    assert "no room for --json" in imgtool("sample-gan", "-n", "1", "-o", "-", "--json").error


def test_picture_on_stdout(train, imgtool, data):
    train("pictures", "-o", "run", *QUICK)
    result = imgtool("sample-gan", "run", "-n", "1", "-o", "-")
    assert result.stdout.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("output", "message"),
    [("x.txt", "no format .txt"), ("x.PNGG", "no format .PNGG".lower()), ("run", "is a training run")],
)
def test_places_that_will_not_do(train, imgtool, data, output, message):
    train("pictures", "-o", "run", *QUICK)
    before = sorted(data.rglob("*"))
    assert message in imgtool("sample-gan", "run", "-o", output).error
    assert sorted(data.rglob("*")) == before


def test_walk(train, imgtool, data):
    train("pictures", "-o", "run", *QUICK)
    draw = ("sample-gan", "run", "--seeds", "1,2,3", "--interpolate", "4")
    for name in ("walk.gif", "walk.webp", "walk.png"):
        assert imgtool(*draw, "-o", name).code == 0
        with Image.open(name) as image:
            assert image.size == ((4 * 10 - 2, 3 * 10 - 2) if name == "walk.png" else (8, 8))
    # A GIF holds frames that are the same in its colours once, for as long.
    still, times = (read_timing(Path(f"walk.{suffix}")).seconds for suffix in ("gif", "webp"))
    assert len(times) == 12 and sum(still) == pytest.approx(sum(times), abs=0.05)  # it counts in hundredths
    assert imgtool("rerun", "walk.webp", "-o", "again.webp").code == 0
    assert (data / "again.webp").read_bytes() == (data / "walk.webp").read_bytes()


def test_nearest(train, imgtool, data):
    train("pictures", "-o", "run", *QUICK)
    imgtool("train-features", "pictures", "-o", "space", "--size", "8", "--batch", "4", "--steps", "2")
    draw = ("sample-gan", "run", "--nearest", "pictures", "--features", "space")
    result = imgtool(*draw, "-o", "nearest.png", "--json")
    assert result.code == 0, result.stderr
    assert imgtool("inspect", "nearest.png").code == 0
    assert result.records[0]["closeness"] > 0 and result.records[0]["space"].startswith("classifier-")
    with Image.open("nearest.png") as sheet:
        assert sheet.size == (4 * 18 - 2, 2 * 10 - 2)  # pairs without a gap inside
    assert "does not go with --interpolate" in imgtool(*draw, "--interpolate", "3", "-o", "x.png").error
    assert "draws one sheet" in imgtool(*draw, "-o", "folder").error


TRAIN = (sys.executable, "-m", "imgtool", "train-gan")
ANEW = (*TRAIN, "pictures", "-o", "run", *QUICK)
AGAIN = (*TRAIN, "-o", "run", "--resume")


def ended(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_two_processes(data):
    done = ended(*ANEW, "--devices", "2")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("12 RGB pictures of 8x8") == 1
    assert json.loads((data / "run/options.json").read_text())["ranks"] == 2
    assert "run: 4 steps" in done.stderr
    done = ended(*AGAIN, "--steps", "6", "--devices", "2")
    assert done.returncode == 0 and "run: 6 steps" in done.stderr and "the run had" not in done.stderr
    done = ended(*AGAIN, "--steps", "8")
    assert done.returncode == 0 and "the run had 2 processes, now 1" in done.stderr


def test_two_processes_are_interrupted(data):
    long = [*ANEW, "--devices", "2", "--steps", "1000000"]
    with subprocess.Popen(long, stderr=subprocess.PIPE, text=True) as parent:
        log = data / "run/log.jsonl"
        while not log.exists() or not log.read_text():
            assert parent.poll() is None
            time.sleep(0.05)
        parent.send_signal(signal.SIGTERM)  # SIGINT is ignored where tests run in the background
        _, said = parent.communicate()
    assert parent.returncode == 143 and "Traceback" not in said, said
    assert "To go on: imgtool train-gan -o run --resume --devices 2" in said
    steps = int(said.split("run: ")[1].split(" steps")[0]) + 2
    done = ended(*AGAIN, "--steps", str(steps), "--devices", "2")
    assert done.returncode == 0 and f"run: {steps} steps" in done.stderr


def test_two_processes_on_what_is_there(train, data):
    train("pictures", "-o", "run", *QUICK)
    done = ended(*ANEW, "--devices", "2")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "run holds a training run already" in done.stderr


def test_processes_that_cannot_share_a_batch(data):
    done = ended(*ANEW, "--devices", "3")
    assert done.returncode and "4 cannot be shared by 3 processes" in done.stderr
    assert not (data / "run").exists()


def test_fresh_machine_has_a_generator(imgtool, folder):
    result = imgtool("sample-gan", "--classes", "sneaker,boot", "-n", "6", "-o", "shoes.png")
    assert result.code == 0, result.stderr
    with Image.open("shoes.png") as grid:
        assert grid.size == (3 * 34 - 2, 2 * 34 - 2)
        rows = np.asarray(grid.convert("L"))
    assert rows[:32, :32].std() > 40  # a light shoe on black
    assert imgtool("rerun", "shoes.png", "-o", "again.png").code == 0
    assert (folder / "shoes.png").read_bytes() == (folder / "again.png").read_bytes()
