"""`imgtool save-style`, and `imgtool stylize` with what it wrote."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imgtool.imaging.io import read_recipe

LAYERS = ("--style-layers", "conv1_1,conv2_1")


@pytest.fixture
def save_style(imgtool, random_vgg19):
    """Runs the command with random weights and next to no work."""
    quick = ("--weights", random_vgg19, "--precision", "fp32", "--threads", "1", "--size", "128", *LAYERS)
    return lambda *arguments, **more: imgtool("save-style", *quick, *arguments, **more)


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def test_the_file_stands_for_the_picture(save_style, stylize, pictures, rerun, random_vgg19):
    result = save_style("painting.png", "-o", "painting.imgstyle", "--json")
    assert result.code == 0, result.stderr
    assert result.records[0]["sides"] == [32, 64, 128]
    assert result.stderr.startswith("painting.imgstyle: 32 to 128 px, ")
    size = ("--size", "64", "--steps", "3")
    assert stylize("photo.png", "painting.png", "-o", "a.png", *size).code == 0
    assert stylize("photo.png", "painting.imgstyle", "-o", "b.png", *size).code == 0
    assert abs(pixels("a.png") - pixels("b.png")).max() <= 1
    assert read_recipe(Path("b.png"))["inputs"][1]["path"] == "painting.imgstyle"
    rerun("b.png", "--find", random_vgg19.parent)
    mixed = ("--style", "painting.imgstyle:0.7", "--style", "photo.png:0.3", "--sheet", "--stroke", "1.5")
    assert stylize("photo.png", *mixed, "-o", "c.png", *size).code == 0
    assert [item.get("weight") for item in read_recipe(Path("c.png"))["inputs"]][1:3] == [0.7, 0.3]
    assert stylize("photo.png", "painting.imgstyle", "--kind", "strengths", "-o", "d.png", *size).code == 0


def test_its_own_recipe(save_style, pictures, rerun, imgtool, random_vgg19):
    assert save_style("painting.png").code == 0
    assert imgtool("inspect", "painting-save-style.imgstyle", "--json").records[0]["command"] == "save-style"
    rerun("painting-save-style.imgstyle", "--find", random_vgg19.parent)


def test_batches_and_streams(save_style, stylize, pictures, save):
    save("in/a.png", seed=3)
    save("in/b.png", seed=4)
    assert save_style("in", "-o", "styles").code == 0
    assert sorted(path.name for path in Path("styles").iterdir()) == ["a.imgstyle", "b.imgstyle"]
    assert "exists" in save_style("in", "-o", "styles").error
    result = save_style("-", "-o", "-", stdin=Path("painting.png").read_bytes())
    Path("renamed").write_bytes(result.stdout)  # told by its contents, not by its name
    assert stylize("photo.png", "renamed", "--size", "64").code == 0
    assert io.BytesIO(result.stdout).read(9)[8:] == b"{"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--size", "1024"), "painting.imgstyle was measured at 32 to 128 px and is wanted at 1024 px"),
        (("--style-layers", "conv1_2"), "painting.imgstyle has no conv1_2, only conv1_1, conv2_1"),
        (("--pool", "average"), "was measured with max pooling, not average pooling"),
        (("--preserve-color",), "--preserve-color: takes the style picture itself, which painting.imgstyle has"),
        (("--init", "style"), "--init: takes the style picture itself"),
        (("--content-mask", "photo.png", "--style-mask", "photo.png"), "--style-mask: takes the style picture"),
    ],
)  # fmt: skip
def test_what_it_does_not_hold_is_refused(save_style, stylize, pictures, words, message):
    assert save_style("painting.png", "-o", "painting.imgstyle").code == 0
    result = stylize("photo.png", "painting.imgstyle", "--size", "64", "-o", "out.png", *words)
    assert result.code == 2, result
    assert message in result.error and not Path("out.png").exists()


def test_damaged_files_are_told_in_one_line(stylize, save_style, pictures):
    assert save_style("painting.png", "-o", "flipped.imgstyle").code == 0
    data = bytearray(Path("flipped.imgstyle").read_bytes())
    data[-100] ^= 1
    Path("flipped.imgstyle").write_bytes(data)
    result = stylize("photo.png", "flipped.imgstyle", "-o", "out.png")
    assert result.code == 1 and "its numbers are not those that were written" in result.error
    assert "it is a style file or weights" in stylize("flipped.imgstyle", "painting.png", "-o", "o.png").error
    Path("bad.imgstyle").write_bytes(b"no style")
    result = stylize("photo.png", "bad.imgstyle", "-o", "out.png")
    assert result.code == 1 and "bad.imgstyle" in result.error and not Path("out.png").exists()
    assert "bad.imgstyle" in stylize("bad.imgstyle", "painting.png", "-o", "out.png").error


def test_refuses(save_style, pictures):
    assert "--size: must be from 32" in save_style("painting.png", "--size", "31").error
    assert "use one of .imgstyle" in save_style("painting.png", "-o", "style.png").error
    assert "does not exist" in save_style("gone.png").error
