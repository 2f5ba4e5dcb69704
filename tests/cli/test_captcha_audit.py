import numpy as np
import pytest
import torch
from PIL import Image

from imgtool.nn.captcha_reader import CaptchaReader
from imgtool.runtime.checkpoints import described, save_tensors

QUICK = ("-n", "8", "--threads", "1")


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A reader that says nothing, as a file for --weights."""
    torch.manual_seed(0)
    network = CaptchaReader(33, height=60, widths=(4, 4, 4, 4), hidden=4)
    torch.nn.init.zeros_(network.head.weight)
    torch.nn.init.zeros_(network.head.bias)
    with torch.no_grad():
        network.head.bias[0] = 9
    path = tmp_path_factory.mktemp("reader") / "reader.safetensors"
    about = {"alphabet": "2346789ABCDEFGHIJKLMNOPQRSTUVWXZ", "height": 60}
    save_tensors(path, *described(network, "captcha-reader", captcha=about))
    return path


@pytest.fixture
def audit(imgtool, reader):
    return lambda *arguments: imgtool("captcha-audit", *arguments, "--weights", reader, *QUICK)


def test_a_level_in_words(audit):
    result = audit("easy")
    assert result.code == 0, result.stderr
    lines = result.stdout.decode().splitlines()
    assert lines[0] == "easy: 8 captchas"
    assert lines[1].startswith("    0.0% read by") and "(95 %: 0.0% to 32.4%)" in lines[1]
    assert "at least" in lines[2] and "WCAG" in lines[2]
    assert "visible share" in lines[3]
    assert "no proof of strength" in lines[4]


def test_json(audit):
    result = audit("easy", "hard", "--json")
    easy, hard = result.records
    assert (easy["input"], hard["input"], easy["captchas"]) == ("easy", "hard", 8)
    (rate,) = easy["rates"]
    assert rate["read"] == 0 and rate["share"] == 0 and rate["interval"][0] == 0
    assert easy["legibility"]["contrast"][0] >= 4.5
    assert easy["legibility"]["visible"][1] > hard["legibility"]["visible"][1]
    assert easy["verdict"]


def test_what_is_drawn_depends_on_the_seed(audit):
    one, again, other = (
        audit("easy", "--json", "--seed", seed).records[0]["legibility"] for seed in (1, 1, 2)
    )
    assert one == again != other


def test_a_style(audit, folder):
    (folder / "mine.toml").write_text("length = [3, 3]\nmin-contrast = 7.0\n")
    result = audit("mine.toml", "--json")
    assert result.code == 0, result.stderr
    assert result.records[0]["legibility"]["contrast"][0] >= 7


def test_a_set_with_its_truth(audit, imgtool, folder):
    assert imgtool("captcha-gen", "-n", "12", "-o", "set", "--truth").code == 0
    result = audit("set", "--json")
    assert result.code == 0, result.stderr
    assert result.records[0]["captchas"] == 8
    assert result.records[0]["legibility"]["contrast"][0] >= 4.5


def test_a_set_of_somebody_else(audit, folder):
    (folder / "set").mkdir()
    Image.fromarray(np.zeros((30, 90, 3), np.uint8)).save(folder / "set/a.png")
    (folder / "set/labels.csv").write_text(
        "file,text\na.png,abß\n"
    )  # characters that the reader does not know
    result = audit("set")
    assert result.code == 0, result.stderr
    assert "how legible it is for people is not known" in result.stdout.decode()


def test_after_training_for_the_style(audit, folder):
    (folder / "mine.toml").write_text('length = [1, 1]\nalphabet = "AX"\nlines = 0\ndots = 0\n')
    result = audit("mine.toml", "--train", "0.01s", "-o", "attacker", "--json")
    assert result.code == 0, result.stderr
    _, after = result.records[0]["rates"]
    assert "training for it" in after["reader"]
    assert (folder / "attacker/model.safetensors").is_file()
    assert not list(folder.glob("run*"))


def test_a_training_too_short_for_a_step(audit):
    result = audit("easy", "--train", "0.000001s", "--json")
    assert result.code == 0, result.stderr
    _, after = result.records[0]["rates"]
    assert after["reader"].endswith("1e-06 s of training for it, 0 steps")


def test_training_on_a_set_rates_what_is_held_out(audit, imgtool, folder):
    imgtool("captcha-gen", "-n", "30", "-o", "set")
    result = audit("set", "--train", "0.01s", "--json")
    assert result.code == 0, result.stderr
    assert result.records[0]["captchas"] == 6
    assert sorted(path.name for path in folder.iterdir()) == ["set"]  # the reader is thrown away


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("esay",), 2, "esay is no level (easy, medium, hard), and no such file or folder"),
        (("easy", "-o", "run"), 2, "-o keeps what --train trains; there is no --train"),
        (("easy", "hard", "--train", "1s", "-o", "run"), 2, "give one"),
        (("easy", "--train", "0s"), 2, "--train: must be above 0"),
        (("easy", "-n", "0"), 2, "--count: must be from 1"),
        (("easy", "--seed", "-1"), 2, "--seed"),
        (("empty",), 1, "empty holds no labels.jsonl or labels.csv"),
    ],
)
def test_refusals(imgtool, reader, folder, words, code, message):
    (folder / "empty").mkdir()
    result = imgtool("captcha-audit", *words, "--weights", reader)
    assert result.code == code, result.stderr
    assert message in result.error


def test_one_that_fails_does_not_stop_the_others(audit, folder):
    (folder / "empty").mkdir()
    result = audit("empty", "easy", "--json")
    assert result.code == 1
    failed, easy = result.records
    assert "error" in failed and easy["input"] == "easy"
