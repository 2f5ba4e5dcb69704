import json

import numpy as np
import pytest
import torch
from PIL import Image

from imgtool.nn.captcha_reader import CaptchaReader
from imgtool.runtime.checkpoints import described, load_tensors, save_tensors


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A reader with random weights, as a file for --weights."""
    torch.manual_seed(0)
    network = CaptchaReader(4, height=24, widths=(4, 4, 4, 4), hidden=4)
    torch.nn.init.normal_(network.head.weight, std=3)
    path = tmp_path_factory.mktemp("reader") / "reader.safetensors"
    save_tensors(path, *described(network, "captcha-reader", captcha={"alphabet": "XYZ", "height": 24}))
    return path


@pytest.fixture
def read(imgtool, reader, folder):
    random = np.random.default_rng(0)
    for name, size in (("a.png", (24, 64)), ("b.jpg", (30, 90)), ("deep/c.png", (24, 64))):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (*size, 3), np.uint8)).save(folder / name)
    return lambda *arguments, **more: imgtool(
        "captcha-read", *arguments, "--weights", reader, "--threads", "1", **more
    )


def test_a_line_for_each_picture(read):
    result = read("a.png", "b.jpg")
    assert result.code == 0, result.stderr
    lines = [line.split("\t") for line in result.stdout.decode().splitlines()]
    assert [name for _, _, name in lines] == ["a.png", "b.jpg"]
    for text, confidence, _ in lines:
        assert set(text) <= set("XYZ")
        assert 0 <= float(confidence) <= 1
    assert "2 done, 0 skipped, 0 failed" in result.stderr


def test_json(read, reader):
    result = read("a.png", "--json")
    line, summary = result.records
    assert line["input"] == "a.png"
    assert set(line["text"]) <= set("XYZ") and 0 <= line["confidence"] <= 1
    assert (line["width"], line["height"]) == (64, 24)
    assert summary == {"summary": {"done": 1, "skipped": 0, "failed": 0}}
    assert read("a.png").stdout.decode().startswith(f"{line['text']}\t")


def test_a_wider_beam_is_no_less_sure(read):
    one, wide = (read("b.jpg", "--json", "--beam", beam).records[0]["confidence"] for beam in (1, 32))
    assert wide >= one


def test_folders_patterns_and_stdin(read, folder):
    assert len(read(".").stdout.splitlines()) == 2
    assert len(read(".", "-r").stdout.splitlines()) == 3
    assert len(read("*.png").stdout.splitlines()) == 1
    result = read("-", stdin=(folder / "a.png").read_bytes())
    assert result.stdout.split(b"\t")[:2] == read("a.png").stdout.split(b"\t")[:2]


def test_one_that_fails_does_not_stop_the_others(read, folder):
    (folder / "a.png").write_bytes(b"no picture")
    result = read("a.png", "b.jpg", "--json")
    assert result.code == 1
    broken, good, summary = result.records
    assert "not a picture" in broken["error"] and broken["input"] == "a.png"
    assert "text" in good
    assert summary["summary"] == {"done": 1, "skipped": 0, "failed": 1}
    assert "text" not in read("a.png", "b.jpg", "--json", "--fail-fast").records[1]


def test_a_picture_that_is_no_line(read, folder):
    Image.new("RGB", (700, 10)).save(folder / "line.png")
    result = read("line.png")
    assert (result.code, result.error) == (1, "error: line.png: 700x10 pixels are no line of text")


@pytest.mark.parametrize("beam", ["0", "-1", "x"])
def test_refuses_senseless_beams(read, beam):
    result = read("a.png", "--beam", beam)
    assert result.code == 2
    assert "--beam" in result.error


def test_weights_of_another_network(imgtool, random_vgg19, folder):
    Image.new("RGB", (64, 24)).save(folder / "a.png")
    result = imgtool("captcha-read", "a.png", "--weights", random_vgg19)
    assert result.code == 3
    assert "holds vgg19, expected captcha-reader" in result.error


def test_characters_that_do_not_print_are_escaped(imgtool, reader, folder):
    """An alphabet is the file's, and a terminal obeys what it is sent."""
    about = {"network": "captcha-reader", "captcha": json.dumps({"alphabet": "\x1b\t\n", "height": 24})}
    save_tensors(folder / "evil.safetensors", load_tensors(reader), about)
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (24, 400, 3), np.uint8)).save(folder / "a.png")
    result = imgtool("captcha-read", "a.png", "--weights", "evil.safetensors", "--threads", "1")
    (line,) = result.stdout.splitlines()
    text, _, _ = line.split(b"\t")
    assert text and set(text) <= set(rb"\x1b\t\n")
