"""Hostile files that claim to hold a reader of captchas."""

import json

import pytest
import torch
from safetensors.torch import save_file

from imgtool.errors import WeightsError
from imgtool.nn.captcha_reader import CaptchaReader
from imgtool.runtime.device import Device
from imgtool.runtime.registry import find_weights
from imgtool.tasks.load import load_reader

CPU = Device(torch.device("cpu"), torch.float32, "test")
ABOUT = {"alphabet": "ABC", "height": 24}


def loaded(path, about=ABOUT, network="captcha-reader", **changed):
    """A reader from a file of a tiny one's weights, of which some are others; a None is left out."""
    tensors = CaptchaReader(4, height=24, widths=(2, 3, 3, 4), hidden=5).state_dict()
    tensors |= {name.replace("__", "."): each for name, each in changed.items()}
    metadata = {"network": network, "captcha": about if isinstance(about, str) else json.dumps(about)}
    kept = {name: each for name, each in tensors.items() if each is not None and each.is_floating_point()}
    save_file(kept, path / "a.safetensors", metadata)
    return load_reader(find_weights(str(path / "a.safetensors")), CPU)


def test_a_reader_as_it_was_saved(tmp_path):
    reader = loaded(tmp_path)
    network = reader.network
    assert (reader.alphabet, network.height, network.widths, network.hidden) == ("ABC", 24, (2, 3, 3, 4), 5)
    assert not network.training and not any(each.requires_grad for each in network.parameters())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"head__weight": torch.zeros(4, 0)}, "0 units"),
        ({"head__weight": torch.zeros(10**9, 0)}, "units"),
        ({"conv0__weight": torch.zeros(0, 4, 3, 3)}, "channels"),
        ({"conv1__weight": torch.zeros(10**7, 0, 3, 3)}, "channels"),
        ({"conv2__weight": None}, "conv2.weight is missing"),
        ({"norm1__running_var": None}, "norm1.running_var is missing"),
        ({"flat__weight": torch.zeros(10, 7)}, "flat.weight is"),
        ({"recurrent__weight_hh_l1_reverse": torch.zeros(15, 6)}, "weight_hh_l1_reverse is"),
        ({"early__bias": torch.full((4,), torch.nan)}, "NaN or infinity"),
        ({"early__bias": torch.zeros(4, dtype=torch.float64)}, "expected float32"),
        ({"extra": torch.zeros(1)}, "extra is unknown"),
        ({"head__weight": torch.tensor(1.0)}, "no reader of captchas"),
    ],
)
def test_weights_that_are_of_no_reader(tmp_path, changed, words):
    with pytest.raises(WeightsError, match=words) as caught:
        loaded(tmp_path, **changed)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ("", "no reader of captchas"),
        ("[" * 100_000, "no reader of captchas"),
        ("[]", "no reader of captchas"),
        ({}, "alphabet is missing"),
        ({**ABOUT, "alphabet": "AB"}, "names 2 characters and has 3"),
        ({**ABOUT, "alphabet": "ABA"}, "its alphabet is none"),
        ({**ABOUT, "alphabet": ["A", "B", "C"]}, "its alphabet is none"),
        ({**ABOUT, "height": "24"}, "its height is no number"),
        ({**ABOUT, "height": 24.5}, "its height is no number"),
        ({**ABOUT, "height": -24}, "a height of -24 pixels"),
        ({**ABOUT, "height": 10**12}, "a height of"),
        ({**ABOUT, "height": 48}, "flat.weight is"),
    ],
)
def test_words_about_it_that_do_not_fit(tmp_path, about, words):
    with pytest.raises(WeightsError, match=words):
        loaded(tmp_path, about)


def test_no_words_about_it(tmp_path):
    """Its tensors tell what it is, but not what it reads."""
    tensors = CaptchaReader(4, height=24, widths=(2, 3, 3, 4), hidden=5).state_dict()
    save_file({k: v for k, v in tensors.items() if v.is_floating_point()}, tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match="captcha is missing"):
        load_reader(find_weights(str(tmp_path / "a.safetensors")), CPU)


def test_weights_of_another_network(tmp_path):
    with pytest.raises(WeightsError, match="holds hed, expected captcha-reader"):
        loaded(tmp_path, network="hed")
