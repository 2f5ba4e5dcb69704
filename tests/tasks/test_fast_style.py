import numpy as np
import pytest
import torch

from imgtool.errors import OptionError, WeightsError
from imgtool.nn.style_net import StyleNet
from imgtool.options.fast_style import FastStyleOptions
from imgtool.runtime.checkpoints import save_tensors
from imgtool.runtime.device import Device
from imgtool.runtime.given import given_weights
from imgtool.tasks.fast_style import Painter, _Passes, fast_style, statistics_of
from imgtool.tasks.load import load_painter

CPU = Device(torch.device("cpu"), torch.float32, "test")
OPTIONS = FastStyleOptions()


@pytest.fixture
def painter():
    torch.manual_seed(0)
    network = StyleNet(2, width=4, blocks=2).eval().requires_grad_(False)
    for name, parameter in network.named_parameters():
        if "norm" in name:
            parameter.add_(0.4 * torch.randn(parameter.shape))
    return Painter(network, ("a", "b"))


def photo(height, width, seed=0):
    """Smooth, with other statistics at its top than at its bottom."""
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / 5 + seed) * np.cos(y / (3 + c)) for c in range(3)], axis=-1)
    return (127 + 100 * waves * (y / height)[..., None]).astype(np.uint8)


def painted(painter, pixels, mix, strip_pixels):
    """Strips by their first row."""
    passes = _Passes(pixels, painter.network, mix, strip_pixels, lambda done, total: None)
    return dict(passes.painted())


@pytest.mark.parametrize("weight", [1e-50, 1.0, 1e300])
def test_shares_are_told_by_ratios(painter, weight):
    assert painter.mix({"a": weight, "b": 3 * weight}).tolist() == [0.25, 0.75]


@pytest.mark.parametrize("size", [(64, 40), (61, 47), (101, 30), (9, 200)])
@pytest.mark.parametrize("rows", [1, 3, 8])
def test_strips_are_the_whole(painter, size, rows):
    pixels, mix = photo(*size), painter.mix({"a": 1, "b": 2})
    with torch.inference_mode():
        (whole,) = painted(painter, pixels, mix, 1 << 20).values()
        height, width = whole.shape[2:]
        parts = painted(painter, pixels, mix, rows * 4 * width)
    assert list(parts) == list(range(0, height, 4 * rows))
    together = torch.cat(list(parts.values()), dim=2)
    assert (together - whole).abs().max() < 1e-4


def test_statistics_of_parts_are_those_of_the_whole():
    features = torch.randn(1, 5, 30, 7, generator=torch.Generator().manual_seed(0)) * 0.01 + 40
    parts = features.split((11, 1, 18), dim=2)
    found = statistics_of(parts)
    exact = features.double()
    torch.testing.assert_close(found.mean.double(), exact.mean((0, 2, 3)), rtol=1e-6, atol=0)
    torch.testing.assert_close(found.variance.double(), exact.var((0, 2, 3), correction=0), rtol=1e-3, atol=0)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (7, 5), (16, 16)])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_every_size_and_depth(painter, size, depth):
    pixels = photo(*size).astype(depth) * (257 if depth == np.uint16 else 1)
    result = fast_style(pixels, OPTIONS, painter=painter)
    assert result.shape == (*size, 3) and result.dtype == np.uint8
    assert np.array_equal(result, fast_style(photo(*size), OPTIONS, painter=painter))


def test_strength_goes_from_the_photo_to_the_style(painter):
    pixels = photo(40, 40)
    none, half, full = (
        fast_style(pixels, FastStyleOptions(strength=strength), painter=painter).astype(int)
        for strength in (0, 0.5, 1)
    )
    assert np.array_equal(none, pixels)
    assert np.abs(2 * half - none - full).max() <= 2
    assert np.abs(full - none).mean() > 5


def test_colours_of_the_photo_can_be_kept(painter):
    pixels = np.broadcast_to(photo(40, 40)[..., :1], (40, 40, 3))
    result = fast_style(pixels, FastStyleOptions(preserve_color=True), painter=painter).astype(int)
    assert np.abs(result - result[..., :1]).max() <= 1


def test_size(painter):
    assert fast_style(photo(40, 80), FastStyleOptions(size=50), painter=painter).shape == (25, 50, 3)


def test_blends_are_shares(painter):
    assert painter.mix({}).tolist() == [1, 0]
    assert painter.mix({"b": 3, "a": 1}).tolist() == [0.25, 0.75]
    with pytest.raises(OptionError, match="no style 'c'; choose from a, b"):
        painter.mix({"c": 1})


def test_progress_ends_with_all(painter):
    told = []
    fast_style(
        photo(64, 20),
        OPTIONS,
        painter=painter,
        strip_pixels=400,
        on_strip=lambda done, total: told.append((done, total)),
    )
    assert told[-1][0] == told[-1][1] == len(told)


# Weights

ABOUT = {"network": "style-net", "preprocessing": "none", "style": '{"styles": ["a", "b"]}'}


@pytest.fixture
def load(tmp_path, painter):
    def load(device=CPU, **metadata):
        path = tmp_path / "model.safetensors"
        save_tensors(path, painter.network.state_dict(), {**ABOUT, **metadata})
        return load_painter(given_weights(str(path)), device)

    return load


def test_weights_come_back(painter, load):
    found = load()
    assert found.styles == ("a", "b")
    pixels = photo(32, 32)
    assert np.array_equal(
        fast_style(pixels, OPTIONS, painter=found), fast_style(pixels, OPTIONS, painter=painter)
    )


def test_bf16_is_close(painter, load):
    ours = load(Device(torch.device("cpu"), torch.bfloat16, "test"))
    pixels = photo(64, 64)
    one, other = (fast_style(pixels, OPTIONS, painter=each).astype(int) for each in (ours, painter))
    assert np.abs(one - other).mean() < 3


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"style": "{}"}, "styles is missing"),
        ({"style": '{"styles": ["a"]}'}, "does not name its 2 styles"),
        ({"style": '{"styles": ["a", "a"]}'}, "does not name its 2 styles"),
        ({"style": "[1]"}, "no style network"),
        ({"style": "no JSON"}, "no style network"),
        ({"network": "hed"}, "holds hed, expected style-net"),
    ],
)
def test_hostile_weights(load, metadata, message):
    with pytest.raises(WeightsError, match=message):
        load(**metadata)
