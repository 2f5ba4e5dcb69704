"""`imgtool stylize` with weights that repaint in one pass."""

import numpy as np
import pytest
import torch
from PIL import Image

from imgtool.nn.style_net import StyleNet
from imgtool.runtime.checkpoints import save_tensors

ABOUT = {"network": "style-net", "preprocessing": "none", "style": '{"styles": ["night", "waves"]}'}


@pytest.fixture
def paint(imgtool, folder, save):
    """Runs the command on photos of noise, with random weights."""
    torch.manual_seed(0)
    network = StyleNet(2, width=3, blocks=1)
    torch.nn.init.normal_(network.up_norm.shift)
    save_tensors(folder / "net.safetensors", network.state_dict(), ABOUT)
    save("photo.png", seed=1)
    return lambda *arguments, **more: imgtool(
        "stylize", *arguments, "--weights", "net.safetensors", "--threads", "1", **more
    )


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_result_has_the_photo_s_size_and_alpha(paint, save):
    save("clear.png", size=(37, 21), alpha=True)
    assert paint("clear.png", "-o", "out.png").code == 0
    with Image.open("out.png") as out, Image.open("clear.png") as photo:
        assert out.size == (37, 21) and out.mode == "RGBA"
        assert out.getchannel("A").tobytes() == photo.getchannel("A").tobytes()
    assert paint("clear.png", "-o", "small.png", "--size", "20").code == 0
    assert pixels("small.png").shape == (11, 20, 4)


def test_recipe_runs_again(paint, rerun, imgtool):
    options = ("--blend", "night=0.25,waves=0.75", "--strength", "0.8", "--size", "30", "--preserve-color")
    assert paint("photo.png", "-o", "out.png", *options).code == 0
    rerun("out.png")
    recipe = imgtool("inspect", "out.png", "--json").records[0]
    assert recipe["options"]["blend"] == {"night": 0.25, "waves": 0.75}
    assert [item["param"] for item in recipe["inputs"]] == ["pictures", "weights"]


def test_batch_and_what_is_written_beside(paint, folder, save):
    save("photos/a.png", seed=3)
    save("photos/b.png", seed=4)
    result = paint("photos", "-o", "out", "--sheet", "--sidecar", "--blend", "waves", "--json")
    assert result.code == 0
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        *("a-sheet.png", "a.png", "a.png.json", "b-sheet.png", "b.png", "b.png.json")
    ]
    assert result.records[0]["width"] == 40 and result.records[-1]["summary"]["done"] == 2


def test_strength_nothing_is_the_photo(paint):
    assert paint("photo.png", "-o", "out.png", "--strength", "0").code == 0
    assert np.array_equal(pixels("out.png"), pixels("photo.png"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--steps", "5"), "--steps does nothing with net.safetensors, which repaints in one pass"),
        (("--style", "photo.png"), "--style does nothing with"),
        (("--time", "5s"), "--time does nothing with"),
        (("--strength", "2"), "2.0 is not in the range 0<=x<=1"),
        (("--strength", "nan"), "no number from 0 to 1"),
        (("--blend", "dawn"), "--blend: no style 'dawn'; choose from night, waves"),
        (("--blend", "waves:0.6,night:0.4"), "weights follow an =, as in a=0.6,b=0.4"),
        (("--blend", "night=0"), "--blend: weight of night must be above 0"),
        (("--blend", "night=x"), "'x' is no weight for night"),
        (("--size", "0"), "--size: must be at least 1"),
        (("gone.png",), "gone.png does not exist"),
    ],
)
def test_refuses(paint, folder, arguments, message):
    result = paint("photo.png", "-o", "out/", *arguments)
    assert result.code == 2 and message in result.error
    assert not (folder / "out").exists()


def test_second_picture_is_no_style(paint, save, folder):
    """Both are photos; and one that is none does not stop the other."""
    save("other.png", seed=5)
    (folder / "broken.png").write_text("no picture")
    result = paint("photo.png", "broken.png", "other.png", "-o", "out")
    assert result.code == 1 and "2 done, 1 failed" in result.stderr.replace("0 skipped, ", "")
    told = paint("photo.png", "other.png", "-o", "both")
    assert told.code == 0 and "the styles are those in net.safetensors" in told.stderr


def test_options_of_one_pass_alone(stylize, pictures):
    result = stylize("photo.png", "painting.png", "--blend", "night")
    assert result.code == 2 and "--blend is of one pass" in result.error
