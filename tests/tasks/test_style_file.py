"""Style files: the same Gram matrices as the picture's, and nothing else is believed."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from imgtool.errors import BadImage, OptionError
from imgtool.imaging.tensors import fit, resize
from imgtool.losses.gram import gram_matrix
from imgtool.nn.vgg import VGG
from imgtool.runtime.checkpoints import load_safetensors
from imgtool.runtime.convert import write_safetensors
from imgtool.tasks.style_file import Measured, is_style_file, load_style, measure_style, style_bytes

LAYERS = ("conv1_1", "conv2_1")
MEASURED = Measured("ab" * 32, "vgg19", "max", rescaled=False, precision="fp32")


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return VGG("vgg19", LAYERS).eval()


@pytest.fixture(scope="module")
def image():
    return resize(torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(1)), (120, 180))


@pytest.fixture(scope="module")
def style(network, image):
    return measure_style(image, LAYERS, network=network, measured=MEASURED, largest=256)


@pytest.fixture
def path(style, tmp_path):
    path = tmp_path / "waves.imgstyle"
    path.write_bytes(style_bytes(style, "{}"))
    return path


def test_what_is_saved_is_read(style, path):
    found = load_style(path)
    assert is_style_file(path) and list(found.grams) == [32, 64, 128, 256]
    assert found.measured == MEASURED
    for side, grams in found.grams.items():
        for layer, gram in grams.items():
            torch.testing.assert_close(gram, style.grams[side][layer], rtol=1e-6, atol=0)
    assert style_bytes(found, "{}") == path.read_bytes()


def test_sizes_that_were_measured_are_those_of_the_picture(network, image, path):
    features = network(resize(image, fit((120, 180), 128)))
    grams = load_style(path).at(128, LAYERS)
    for layer in LAYERS:
        torch.testing.assert_close(grams[layer], gram_matrix(features[layer]), rtol=1e-5, atol=1e-3)


def test_other_sizes_lie_between(path):
    style = load_style(path)
    low, high = style.grams[64]["conv2_1"], style.grams[128]["conv2_1"]
    between = style.at(64 * 2**0.5, LAYERS)["conv2_1"]
    torch.testing.assert_close(between, (low + high) / 2)
    assert torch.equal(style.at(25, LAYERS)["conv2_1"], style.grams[32]["conv2_1"])
    assert torch.equal(style.at(300, LAYERS)["conv2_1"], style.grams[256]["conv2_1"])


@pytest.mark.parametrize(("side", "cure"), [(20, "a larger --size"), (400, "save-style --size 400")])
def test_sizes_far_away_are_refused(path, side, cure):
    message = rf"was measured at 32 to 256 px and is wanted at {side} px"
    with pytest.raises(OptionError, match=message) as refusal:
        load_style(path).require_sides([128, side])
    assert refusal.value.hint == cure
    load_style(path).require_sides([23, 360])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": "cd" * 32}, "was measured with vgg19 abababababab…, not vgg19 cdcdcdcdcdcd…"),
        ({"pool": "average"}, "was measured with max pooling, not average pooling"),
        ({"rescaled": True}, "max pooling, not max pooling and activations of 1"),
    ],
)
def test_another_network_is_refused(path, change, message):
    with pytest.raises(OptionError, match=message):
        load_style(path).require(replace(MEASURED, **change), LAYERS)


def test_a_missing_layer_is_refused(path):
    load_style(path).require(replace(MEASURED, precision="bf16"), LAYERS)
    with pytest.raises(OptionError, match="has no conv3_1, only conv1_1, conv2_1"):
        load_style(path).require(MEASURED, ("conv1_1", "conv3_1"))


def rewritten(path, change):
    """The file with its tensors and description changed."""
    tensors, metadata = load_safetensors(path, at_most=1 << 30)
    arrays, about = (
        {name: each.numpy().copy() for name, each in tensors.items()},
        json.loads(metadata["imgstyle"]),
    )
    change(arrays, about)
    with path.open("wb") as file:
        write_safetensors(file, arrays, {"imgstyle": json.dumps(about)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays, about: arrays["64/conv1_1"].fill(np.nan), "64/conv1_1 holds NaN or infinity"),
        (lambda arrays, about: arrays.update({"64/conv1_1": np.ones(9, np.float32)}), r"expected float32 \(2080,\)"),
        (lambda arrays, about: arrays.update({"64/conv1_1": np.ones(2080, np.float16)}), "is float16"),
        (lambda arrays, about: arrays.pop("64/conv1_1"), "its sizes have not the same layers"),
        (lambda arrays, about: arrays.update({"64/conv9_1": np.ones(9, np.float32)}), "is no layer"),
        (lambda arrays, about: arrays.update({"x": np.ones(9, np.float32)}), "is no size and layer"),
        (lambda arrays, about: arrays.update({"99999/conv1_1": np.ones(9, np.float32)}), "a size of 99999 px"),
        (lambda arrays, about: arrays.clear(), "0 sizes"),
        (lambda arrays, about: about.update(format=2), "it is of format 2, expected 1"),
        (lambda arrays, about: about.pop("pool"), "pool is missing"),
        (lambda arrays, about: about.update(network="a\nb"), "no style file"),
        (lambda arrays, about: about.update(weights=7), "no style file"),
        (lambda arrays, about: about.update(rescaled="no"), "no style file"),
    ],
)  # fmt: skip
def test_hostile_files_are_refused(path, change, message):
    rewritten(path, change)
    with pytest.raises(BadImage, match=message) as found:
        load_style(path)
    assert str(path) in str(found.value) and "\n" not in str(found.value)


@pytest.mark.parametrize("keep", [0, 5, 8, 60, 5000])
def test_cut_short(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadImage, match=r"waves\.imgstyle"):
        load_style(path)


def test_what_is_no_style_file(path, tmp_path, monkeypatch):
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(BadImage, match="claims a header"):
        load_style(path)
    with pytest.raises(BadImage, match="no such file"):
        load_style(tmp_path / "gone.imgstyle")
    other = tmp_path / "weights.safetensors"
    with other.open("wb") as file:
        write_safetensors(file, {"conv1_1.weight": np.ones((3, 3), np.float32)}, {"network": "vgg19"})
    assert is_style_file(other)
    with pytest.raises(BadImage, match="imgstyle is missing"):
        load_style(other)
    monkeypatch.setattr("imgtool.tasks.style_file.MOST_BYTES", 50)
    with pytest.raises(BadImage, match="expected at most 50"):
        load_style(path)
