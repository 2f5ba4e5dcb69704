"""`imgtool stylize --kind strengths`: a sheet instead of a picture."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from imgtool.imaging.io import read_recipe
from imgtool.nn.style_net import StyleNet
from imgtool.runtime.checkpoints import save_tensors

ABOUT = {"network": "style-net", "preprocessing": "none", "style": '{"styles": ["night", "waves"]}'}


@pytest.fixture
def one_pass(folder):
    torch.manual_seed(0)
    save_tensors(folder / "net.safetensors", StyleNet(2, width=3, blocks=1).state_dict(), ABOUT)
    return ("--weights", "net.safetensors", "--threads", "1")


def size_of(path):
    with Image.open(path) as image:
        return image.size


def test_a_row_for_each_style(stylize, pictures, save, rerun, random_vgg19):
    save("third.png", seed=3, size=(24, 40))
    styles = ("--style", "painting.png", "--style", "third.png")
    result = stylize("photo.png", *styles, "--kind", "strengths", "-o", "sheet.png", "--json")
    assert result.code == 0, result.stderr
    assert result.records[0]["kind"] == "strengths"
    assert result.stderr.startswith("sheet.png: 10 pictures, ")
    recipe = read_recipe(Path("sheet.png"))
    assert recipe["options"]["kind"] == "strengths" and "strength" not in recipe["options"]
    assert recipe["options"]["steps"] == [1]
    rerun("sheet.png", "--find", random_vgg19.parent)
    one = stylize("photo.png", "painting.png", "--kind", "strengths", "-o", "one.png")
    assert one.code == 0
    assert size_of("one.png")[0] == size_of("sheet.png")[0]
    assert size_of("sheet.png")[1] - size_of("one.png")[1] > 200


def test_small_and_quick_unless_told(imgtool, pictures, random_vgg19, monkeypatch):
    from imgtool.cli import strengths_work

    seen = []

    class Seen(Exception):
        pass

    def work(options, *_):
        seen.append(options)
        raise Seen

    monkeypatch.setattr(strengths_work, "StrengthsWork", work)
    for words in ((), ("--size", "64", "--scales", "3"), ("--stroke", "16")):
        with pytest.raises(Seen):
            imgtool("stylize", "photo.png", "painting.png", "--kind", "strengths", *words)
    quick, told, stroke = seen
    assert (quick.size, quick.steps_per_scale) == (192, (25, 25))
    assert (told.size, told.steps_per_scale) == (64, (25, 25, 25))
    assert (stroke.size, stroke.steps_per_scale) == (192, (25, 25))


def test_in_one_pass_all_styles_of_the_network(imgtool, pictures, one_pass, rerun):
    result = imgtool(
        "stylize", "photo.png", *one_pass, "--kind", "strengths", "-o", "sheet.png", "--size", "32"
    )
    assert result.code == 0, result.stderr
    assert "10 pictures" in result.stderr
    rerun("sheet.png")


@pytest.mark.parametrize(
    "words", [("--strength", "0.5"), ("--time", "5s"), ("--sheet",), ("--preview",), ("--save-every", "3")]
)
def test_refuses_what_it_does_not_do(stylize, imgtool, pictures, one_pass, words):
    for run in (stylize, lambda *arguments: imgtool("stylize", *one_pass, *arguments)):
        result = run("photo.png", "painting.png", "--kind", "strengths", *words, "-o", "sheet.png")
        assert result.code == 2
        assert f"{words[0]} does nothing with --kind strengths" in result.error
        assert not Path("sheet.png").exists()


def test_ctrl_c_leaves_nothing(stylize, pictures, monkeypatch):
    from imgtool.cli import strengths_work

    real = strengths_work.stylize

    def stopped(*arguments, on_step, **more):
        def stop(step, image):
            raise KeyboardInterrupt

        return real(*arguments, on_step=stop, **more)

    monkeypatch.setattr(strengths_work, "stylize", stopped)
    result = stylize("photo.png", "painting.png", "--kind", "strengths", "-o", "sheet.png")
    assert result.code == 130 and not Path("sheet.png").exists()
