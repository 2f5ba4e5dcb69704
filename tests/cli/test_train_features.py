import json

import numpy as np
import pytest
from PIL import Image

from imgtool.data.picture_set import read_picture_set
from imgtool.runtime.device import select_device
from imgtool.runtime.registry import find_weights
from imgtool.tasks.picture_features import space_of

QUICK = (
    "--size",
    "8",
    "--width",
    "8",
    "--features",
    "12",
    "--batch",
    "16",
    "--steps",
    "60",
    "--threads",
    "1",
)


@pytest.fixture
def data(folder):
    """Squares in three classes, by where they are."""
    random = np.random.default_rng(0)
    for index in range(90):
        place = folder / "pictures" / f"class{index % 3}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 90, (8, 8)).astype(np.uint8)
        pixels[3 * (index % 3) : 3 * (index % 3) + 2, 1:7] = 230
        Image.fromarray(pixels).save(place / f"{index}.png")
    return folder


def test_space_is_learnt_and_used(imgtool, data):
    result = imgtool("train-features", "pictures", "-o", "space", *QUICK, "--precision", "fp32")
    assert result.code == 0, result.stderr
    assert "90 pictures of 3 classes, 9 of them held out" in result.stderr
    scores = [json.loads(line) for line in (data / "space/log.jsonl").read_text().splitlines()]
    assert scores[-1]["score"]["accuracy"] > 0.8
    few = imgtool("score", "images", "pictures", "pictures/class1", "--features", "space", "--size", "8")
    assert few.code == 1 and "holds 30 pictures, expected at least 50" in few.stderr
    assert spread_of(data) == pytest.approx(1000, rel=0.5)  # of 9 pictures it was made 1000
    compare = ("score", "images", "pictures", "pictures", "--features", "space", "--size", "8")
    told = imgtool(*compare, "--json").records[-1]["summary"]
    assert told["space"].startswith("classifier-12-") and told["distance"] < 1e-3 < told["floor"]
    same = imgtool(*compare, "--train", "pictures", "--json").records[-1]["summary"]
    assert same["floor"] < 1e-3 and same["distance"] == told["distance"]


def spread_of(data):
    space = space_of(find_weights(str(data / "space")), select_device("cpu", "fp32"))
    pixels = read_picture_set(data / "pictures", size=8, fit="crop").pixels
    return space(pixels).var(axis=0).sum()


def test_goes_on(imgtool, data):
    imgtool("train-features", "pictures", "-o", "space", *QUICK)
    result = imgtool("train-features", "-o", "space", "--resume", "--steps", "70")
    assert result.code == 0 and "70 steps" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pictures/class0", "-o", "space"), "has no sub-folders to be classes"),
        (("pictures", "-o", "space"), "90 pictures are too few for a batch of 128"),
        (("pictures", "-o", "space", "--size", "20"), "must be a power of two"),
        (("-o", "space"), "DATA is missing"),
    ],
)
def test_what_will_not_do(imgtool, data, arguments, message):
    result = imgtool("train-features", *arguments)
    assert result.code in (1, 2) and message in result.stderr
    assert not (data / "space").exists()


def test_another_networks_weights(imgtool, data):
    result = imgtool("score", "images", "pictures", "pictures", "--features", "hed-lite")
    assert result.code == 3 and "holds hed, expected classifier" in result.error
