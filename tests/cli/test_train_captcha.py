import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from imgtool.cli.train_captcha_work import _drawn
from imgtool.options.captcha_reader import TrainCaptchaOptions
from imgtool.runtime.checkpoints import load_metadata, load_tensors
from imgtool.runtime.states import save_state

# The least work that is still the whole command.
QUICK = (
    *("--height", "24", "--hidden", "4", "--batch", "2", "--steps", "4", "--score-every", "2"),
    *("--precision", "bf16", "--threads", "1"),
)
QUICK_OPTIONS = TrainCaptchaOptions(height=24)
STYLE = 'size = [48, 24]\nlength = [2, 2]\nlines = 0\ndots = 0\nalphabet = "AX7"\n'


@pytest.fixture
def train(imgtool, folder, monkeypatch):
    """Styles that are quickly drawn and judged."""
    monkeypatch.setattr("imgtool.cli.train_captcha_work.JUDGED", 6)
    (folder / "style.toml").write_text(STYLE)
    return lambda *arguments: imgtool("train-captcha", *arguments)


@pytest.fixture
def data(folder):
    """Pictures with labels."""
    (folder / "data").mkdir()
    lines = []
    for number in range(20):
        pixels = np.random.default_rng(number).integers(0, 256, (24, 64, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"data/{number}.png")
        lines.append({"file": f"{number}.png", "text": "AX"[number % 2] + "7Q"})
    write(folder, lines)
    return lines


def write(folder, lines):
    (folder / "data/labels.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def options(run):
    return json.loads((run / "options.json").read_text())


def test_run_is_a_folder_that_captcha_read_takes(train, imgtool, folder, require_run):
    result = train("style.toml", "-o", "run", *QUICK)
    assert result.code == 0, result.stderr
    assert "captchas of one style, drawn as they are needed, with 7AX" in result.stderr
    assert "imgtool captcha-read IMAGE --weights run" in result.stderr
    require_run(folder / "run")
    assert [path.name for path in (folder / "run/samples").iterdir()] == ["wrong.png"]
    kept = options(folder / "run")
    assert kept["options"]["start"] == "random" and kept["styles"][0]["length"] == [2, 2]
    lines = [json.loads(line) for line in (folder / "run/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "score" in line] == [2, 4]
    about = json.loads(load_metadata(folder / "run/model.safetensors")["captcha"])
    assert about == {"alphabet": "7AX", "height": 24}
    Image.new("RGB", (48, 24)).save(folder / "a.png")
    assert imgtool("captcha-read", "a.png", "--weights", "run", "--threads", "1").code == 0


def test_a_killed_run_goes_on_to_the_same_bytes(train, folder):
    """SIGKILL at some step; the last checkpoint is of the step before or of the one before that."""
    long = (*QUICK, "--steps", "16", "--score-every", "16")
    assert train("style.toml", "-o", "whole", *long).code == 0
    script = (
        "import sys, imgtool.cli.train_captcha_work as work; work.JUDGED = 6\n"
        "from imgtool.cli.main import run; sys.exit(run(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", script, "train-captcha", "style.toml", "-o", "cut", *long]
    child = subprocess.Popen([*command, "--save-every", "0"], stderr=subprocess.DEVNULL)
    last = folder / "cut/checkpoints/last.safetensors"
    while not last.exists() and child.poll() is None:
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL  # it had not come to its end
    assert train("-o", "cut", "--resume").code == 0
    assert (folder / "whole/model.safetensors").read_bytes() == (
        folder / "cut/model.safetensors"
    ).read_bytes()


def test_goes_on_without_the_style(train, folder):
    train("style.toml", "-o", "run", *QUICK)
    (folder / "style.toml").unlink()
    result = train("-o", "run", "--resume", "--steps", "6")
    assert result.code == 0, result.stderr
    assert "6 steps" in result.stderr


def test_styles_and_levels_are_mixed(train, folder):
    result = train("style.toml", "easy", "-o", "run", *QUICK, "--height", "60")
    assert result.code == 0, result.stderr
    assert "captchas of 2 styles" in result.stderr
    assert [style["level"] for style in options(folder / "run")["styles"]] == ["easy", "medium"]


def test_mixed_styles_do_not_say_the_same(folder, train):
    (folder / "other.toml").write_text(STYLE)
    drawn, judged, _ = _drawn(
        {"style-1": folder / "style.toml", "style-2": folder / "other.toml"}, QUICK_OPTIONS, 24, None
    )
    texts = drawn.at(range(20), drawn.alphabet).texts
    assert texts[::2] != texts[1::2]
    assert texts != judged.at(range(20), drawn.alphabet).texts


def test_labelled_captchas(train, data, folder):
    result = train("data", "-o", "run", *QUICK, "--start", "random", "--val", "0.2")
    assert result.code == 0, result.stderr
    assert "16 captchas to train on, 4 to choose by, with 7AQX" in result.stderr
    assert "next to nothing is learnt" in result.stderr
    # On from there, with a character that is new.
    write(folder, [{**line, "text": "AÄ"} for line in data])
    result = train("data", "-o", "more", *QUICK, "--start", "run")
    assert result.code == 0, result.stderr
    assert json.loads(load_metadata(folder / "more/model.safetensors")["captcha"])["alphabet"] == "7AQXÄ"
    assert load_tensors(folder / "more/model.safetensors")["head.weight"].shape == (6, 8)


def test_data_that_changed_does_not_go_on(train, data, folder):
    train("data", "-o", "run", *QUICK, "--start", "random")
    write(folder, [{**line, "text": "AA"} for line in data])
    result = train("-o", "run", "--resume", "--steps", "6")
    assert result.code == 1
    assert "the data of the run changed" in result.stderr


def test_a_csv_of_somebody_else(train, data, folder):
    (folder / "data/labels.jsonl").unlink()
    rows = "".join(f"{line['file']},{line['text']}\n" for line in data)
    (folder / "data/labels.csv").write_text("file,text\n" + rows)
    assert train("data", "-o", "run", *QUICK, "--start", "random").code == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("no json", "labels.jsonl cannot be read"),
        ('{"file": "0.png"}', "line 21: expected a file and a text"),
        ('{"file": "gone.png", "text": "A"}', "line 21: gone.png is not there"),
        ('{"file": "bad.png", "text": "A"}', "bad.png: "),
        ('{"file": "0.png", "text": "AAAAAAAAAAAA"}', "0.png: 12 characters need 23 frames of 8 pixels"),
    ],
)
def test_bad_lines_are_named_before_a_run_begins(train, data, folder, line, words):
    (folder / "data/bad.png").write_bytes(b"no picture")
    with (folder / "data/labels.jsonl").open("a") as file:
        file.write(line + "\n")
    result = train("data", "-o", "run", *QUICK, "--start", "random")
    assert result.code == 1
    assert words in result.error
    assert not (folder / "run").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("mediun",), 2, "mediun is no level (easy, medium, hard), and no such file or folder"),
        ((), 2, "DATA, a STYLE.toml or a LEVEL is missing"),
        (("data", "easy"), 2, "a labelled set stands alone"),
        (("easy", "--clean", "5"), 2, "--clean takes labelled captchas"),
        (("data", "--margin", "5"), 2, "--margin goes with --clean"),
        (("data", "--clean", "1"), 2, "--clean: must be from 2 to 100"),
        (("data", "--val", "20"), 1, "cannot hold out 20"),
        (("data", "--fold", "11"), 1, "cannot hold out"),
        (("easy", "--height", "4"), 2, "--height: must be from 16"),
        (("easy", "--hidden", "0"), 2, "--hidden"),
        (("easy", "--places", "2"), 2, "--places"),
        (("bad.toml",), 2, "no option is called leng"),
        (("style.toml", "--start", "gone.safetensors"), 3, "no such file"),
        (("style.toml", "--start", "hed-lite"), 3, "holds hed, expected captcha-reader"),
        (
            ("long.toml", "--height", "24"),
            2,
            "--height: texts may need 19 frames of 8 pixels, and there are 8",
        ),
    ],
)
def test_refusals_leave_nothing_behind(train, data, folder, words, code, message):
    (folder / "bad.toml").write_text("leng = 3\n")
    (folder / "long.toml").write_text("length = [10, 10]\n")
    start = () if "--start" in words or "easy" in words or not words else ("--start", "random")
    result = train(*words, "-o", "run", *(word for word in start))
    assert result.code == code, result.stderr
    assert message in result.stderr
    assert not (folder / "run").exists()


def test_resume_takes_no_data(train, folder):
    train("style.toml", "-o", "run", *QUICK)
    result = train("style.toml", "-o", "run", "--resume")
    assert result.code == 2
    assert "--resume goes on with the data of the run" in result.error
    assert train("-o", "run", "--resume", "--hidden", "5").code == 2
    assert train("-o", "run", "--resume", "--clean", "5").code == 2


def test_a_run_of_another_command(train, folder):
    (folder / "run").mkdir()
    (folder / "run/options.json").write_text('{"command": "train-edges"}')
    result = train("-o", "run", "--resume")
    assert "run is a run of train-edges, expected train-captcha" in result.error


@pytest.mark.parametrize(
    "damage",
    [
        lambda run: (run / "checkpoints/last.safetensors").write_bytes(b"damaged"),
        lambda run: save_state(run / "checkpoints/last.safetensors", {"trainee": {}, "step": 2}),
        lambda run: change(run, network={}),
        lambda run: change(run, network={"hidden": -1}),
        lambda run: change(run, network={"height": 24}),
        lambda run: change(run, network={"height": 24, "widths": [2, 2, 2, 2], "hidden": 4}),
        lambda run: change(run, alphabet="AB"),
        lambda run: change(run, alphabet=None),
        lambda run: change(run, styles=[{"level": "medium", "nonsense": 1}]),
        lambda run: change(run, styles=[]),
        lambda run: change(run, fonts=["of another font"]),
        lambda run: change(run, options={"nonsense": 1}),
    ],
)
def test_a_damaged_run_is_told_in_a_line(train, folder, damage):
    train("style.toml", "-o", "run", *QUICK)
    damage(folder / "run")
    result = train("-o", "run", "--resume", "--steps", "6")
    assert result.code in (1, 2, 3), result.stderr
    assert sum(line.startswith("error: ") for line in result.stderr.splitlines()) == 1
    assert "Traceback" not in result.stderr


def change(run, **news):
    (run / "options.json").write_text(json.dumps({**options(run), **news}))
