"""States of trainings: they come back as they were, and hostile files are refused."""

import json
import math
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from imgtool.errors import WeightsError
from imgtool.runtime.states import load_state, save_state


@pytest.fixture
def path(tmp_path):
    return tmp_path / "last.safetensors"


def through(path, state):
    save_state(path, state)
    return load_state(path)


def trained(steps):
    """A network with kernels in channels_last, and its optimiser after some steps."""
    torch.manual_seed(0)
    network = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), betas=(0.5, 0.9))
    for _ in range(steps):
        optimizer.zero_grad()
        network(torch.ones(1, 3, 4, 4)).square().sum().backward()
        optimizer.step()
    return network, optimizer


def test_numbers_and_words_come_back(path):
    state = {
        "step": 3,
        "seconds": 0.1 + 0.2,
        "best": -math.inf,
        "seed": 2**100,
        "name": "a \u00e9\n",
        "none": None,
        "done": True,
        "list": [1, [2.0, {}], []],
        "by number": {0: "a", 7: {1: "b"}},
        "$tensor": "no tensor",
    }
    assert through(path, state) == state


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 1, 3)])
def test_tensors_come_back(path, dtype, shape):
    tensor = (torch.rand(shape) * 3).to(dtype)
    (found,) = through(path, {"deep": [{"one": tensor}]})["deep"]
    assert found["one"].dtype == dtype and torch.equal(found["one"], tensor)


def test_memory_format_comes_back(path):
    state = {
        "moment": torch.rand(4, 3, 5, 2).to(memory_format=torch.channels_last),
        "turned": torch.rand(2, 3).T,
    }
    found = through(path, state)
    for name, tensor in state.items():
        assert torch.equal(found[name], tensor) and found[name].stride() == tensor.stride()


def test_tensors_that_share_memory(path):
    weights = torch.arange(6.0)
    found = through(path, {"whole": weights, "half": weights[:3], "same": weights})
    assert torch.equal(found["half"], weights[:3]) and torch.equal(found["same"], weights)


def test_an_optimizer_goes_on(path):
    network, optimizer = trained(3)
    state = through(path, {"network": network.state_dict(), "optimizer": optimizer.state_dict()})
    again, other = trained(0)
    again.load_state_dict(state["network"])
    other.load_state_dict(state["optimizer"])
    for each, steps in ((network, optimizer), (again, other)):
        steps.zero_grad()
        each(torch.ones(1, 3, 4, 4)).sum().backward()
        steps.step()
    assert torch.equal(network.weight, again.weight)


def test_same_state_same_bytes(path):
    network, optimizer = trained(2)
    state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
    save_state(path, state)
    before = path.read_bytes()
    save_state(path, load_state(path))
    assert path.read_bytes() == before


def test_any_reader_of_safetensors_sees_names(path):
    network, optimizer = trained(1)
    save_state(path, {"network": network.state_dict(), "optimizer": optimizer.state_dict()})
    assert set(load_file(path)) == {
        "network.weight",
        "network.bias",
        *(f"optimizer.state.{each}.{name}" for each in (0, 1) for name in ("step", "exp_avg", "exp_avg_sq")),
    }


def test_two_tensors_of_one_name_are_no_state(path):
    with pytest.raises(ValueError, match=r"a\.b"):
        save_state(path, {"a": {"b": torch.ones(1)}, "a.b": torch.zeros(1)})
    assert not path.exists()


class Hostile:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "{",
        "[" * 100_000,
        json.dumps({"a": {"$tensor": "missing"}}),
        json.dumps({"a": {"$tensor": []}}),
        json.dumps({"a": {"$tensor": "x", "$order": [0, 1]}}),
        json.dumps({"a": {"$tensor": "x", "$order": ["0", 1]}}),
        json.dumps({"a": {"$items": [[[], 1]]}}),
        json.dumps({"a": {"$items": 3}}),
    ],
)
def test_damaged_words_are_refused(path, text):
    save_file({"x": torch.ones(1)}, path, None if text is None else {"state": text})
    with pytest.raises(WeightsError, match="no checkpoint of a training"):
        load_state(path)


def test_another_thing_is_refused(path):
    save_file({"x": torch.ones(1)}, path, {"state": "[1]"})
    with pytest.raises(WeightsError, match="holds a list"):
        load_state(path)


@pytest.mark.parametrize("contents", [b"", b"nothing", pickle.dumps(Hostile()), b"\xff" * 100])
def test_other_files_are_refused(path, capsys, contents):
    path.write_bytes(contents)
    with pytest.raises(WeightsError, match="no checkpoint of a training"):
        load_state(path)
    assert capsys.readouterr().out == ""


def test_every_cut_is_refused(path):
    save_state(path, {"step": 1, "network": {"weight": torch.ones(3)}})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError):
            load_state(path)


def test_a_folder_is_no_state(tmp_path):
    with pytest.raises(WeightsError, match="cannot be read"):
        load_state(tmp_path)
