"""`stylize --content-mask auto`: what is refused, what is saved, and that a recipe makes it again."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imgtool.imaging.io import read_recipe

STEPS = ("--steps", "3")
TWO = ("--style", "painting.png", "--style", "third.png", "--content-mask", "auto")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("photo.png painting.png --content-mask auto --content-mask photo.png", "without other masks"),
        ("photo.png painting.png --content-mask auto --style-mask photo.png", "leave --style-mask away"),
        ("photo.png painting.png --mask-weights nuclei", "--mask-weights goes with --content-mask auto"),
        ("photo.png painting.png --save-masks", "--save-masks goes with --content-mask auto"),
    ],
)
def test_refusals(imgtool, pictures, arguments, error):
    result = imgtool("stylize", *arguments.split())
    assert result.code == 2
    assert error in result.error


@pytest.fixture
def again(rerun, random_vgg19):
    """Makes a picture again, with the weights where they are."""
    return lambda picture, *more: rerun(picture, "--find", str(random_vgg19.parent), *more)


def mask(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("L"), int)


def test_masks_of_each_photo(stylize, pictures, save, again):
    save("third.png", seed=3)
    save("in/a.png", seed=4)
    save("in/b.png", seed=5)
    result = stylize("in", *TWO, "-o", "out", "--save-masks", "--sheet")
    assert result.code == 0, result.stderr
    names = {path.name for path in Path("out").iterdir()}
    assert names == {
        f"{photo}{end}" for photo in "ab" for end in (".png", "-mask1.png", "-mask2.png", "-sheet.png")
    }
    first, second = (mask(f"out/a-mask{index}.png") for index in (1, 2))
    assert np.abs(first + second - 255).max() <= 1
    with Image.open("in/a.png") as image:
        photo = np.asarray(image.convert("L").resize((32, 19)))
    assert photo[first > 200].mean() < photo[second > 200].mean()
    assert not np.array_equal(first, mask("out/b-mask1.png"))
    assert read_recipe(Path("out/a.png"))["options"]["content_mask"] == ["auto"]
    again("out/a.png", "--find", "in")


def test_without_masks_the_result_is_another(stylize, pictures, save):
    save("third.png", seed=3)
    stylize("photo.png", *TWO, *STEPS, "-o", "masked.png")
    stylize("photo.png", *TWO[:4], *STEPS, "-o", "mixed.png")
    assert not np.array_equal(mask("masked.png"), mask("mixed.png"))


def test_regions_by_a_segmenting_network(stylize, pictures, save, again):
    save("third.png", seed=3)
    result = stylize("photo.png", *TWO, "--mask-weights", "nuclei", "-o", "out.png")
    assert result.code == 0, result.stderr
    recipe = read_recipe(Path("out.png"))
    assert recipe["options"]["mask_weights"] == "nuclei"
    assert "nuclei" in [item["name"] for item in recipe["weights"]]
    again("out.png")


def test_regions_by_a_file_of_weights(stylize, pictures, save, again):
    save("third.png", seed=3)
    ours = Path(__file__).parents[2] / "weights" / "nuclei.safetensors"
    Path("mine.safetensors").write_bytes(ours.read_bytes())
    result = stylize("photo.png", *TWO, "--mask-weights", "mine.safetensors", "-o", "out.png")
    assert result.code == 0, result.stderr
    inputs = {item["param"]: item["path"] for item in read_recipe(Path("out.png"))["inputs"]}
    assert inputs["mask_weights"] == "mine.safetensors"
    again("out.png")


def test_a_mask_of_another_shape_is_told(stylize, pictures, save):
    save("odd.png", size=(10, 90))
    with Image.open("photo.png") as photo:
        save("alike.png", size=(2 * photo.width, 2 * photo.height))
    words = ("photo.png", "painting.png", "--content-mask")
    assert "of 10x90 is stretched over" in stylize(*words, "odd.png", "-o", "a.png").stderr
    assert "stretched" not in stylize(*words, "alike.png", "-o", "b.png").stderr


def test_more_styles_than_a_network_tells(stylize, pictures, save):
    styles = [word for seed in range(5) for word in ("--style", str(save(f"style{seed}.png", seed=seed)))]
    result = stylize("photo.png", *styles, "--content-mask", "auto", "--mask-weights", "nuclei")
    assert result.code == 2
    assert "5 styles for regions that are 2" in result.error
