import numpy as np
import pytest
import torch
from PIL import Image

from imgtool.nn.alexnet import AlexNet
from imgtool.runtime.checkpoints import save_tensors
from imgtool.runtime.given import given_weights


@pytest.fixture
def alexnet(tmp_path, monkeypatch):
    """A network with random weights in the place of the fetched ones."""
    torch.manual_seed(0)
    path = tmp_path / "alexnet.safetensors"
    save_tensors(path, AlexNet().state_dict(), {"network": "alexnet", "preprocessing": "torchvision"})
    monkeypatch.setattr("imgtool.cli.score_images_work.weights_told", lambda name: given_weights(str(path)))


def squares(folder, count, level):
    random = np.random.default_rng(level)
    folder.mkdir()
    for index in range(count):
        pixels = random.integers(0, 60, (20, 20, 3)).astype(np.uint8)
        pixels[4 : 10 + index % 6, 5:15] = level
        Image.fromarray(pixels).save(folder / f"{index}.png")


def test_sets_of_one_kind_are_nearer(imgtool, folder, alexnet):
    for name, level in (("real", 200), ("same", 200), ("other", 90)):
        squares(folder / name, 60, level)
    found = {}
    for name in ("same", "other"):
        result = imgtool("score", "images", "real", name, "--size", "32", "--threads", "1", "--json")
        assert result.code == 0, result.stderr
        found[name] = result.records[-1]["summary"]
    assert found["same"]["space"] == "alexnet-256" and found["same"]["real"] == 60
    assert found["same"]["distance"] < found["other"]["distance"]
    assert found["same"]["coverage"] > found["other"]["coverage"]


def test_report_of_two_sets(imgtool, folder, alexnet):
    for name in ("real", "fake"):
        squares(folder / name, 60, 150)
    result = imgtool("score", "images", "real", "fake", "-o", "report.html", "--threads", "1")
    assert result.code == 0 and b"alexnet-256 at 64 px: distance" in result.stdout
    assert "are not comparable" in (folder / "report.html").read_text()
    assert "exists" in imgtool("score", "images", "real", "fake", "-o", "report.html").error


def test_too_few_pictures(imgtool, folder, alexnet):
    squares(folder / "few", 5, 150)
    assert "few holds 5 pictures, expected at least 50" in imgtool("score", "images", "few", "few").error
