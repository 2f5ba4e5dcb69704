import hashlib
import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from imgtool.errors import WeightsError
from imgtool.runtime.checkpoints import (
    described,
    halved,
    load_into,
    load_tensors,
    save_tensors,
)
from imgtool.runtime.entries import Pin, WeightsEntry
from imgtool.runtime.registry import find_weights


def layer():
    return nn.ModuleDict({"conv1_1": nn.Conv2d(3, 4, 3)})


def fitting():
    return {"conv1_1.weight": torch.ones(4, 3, 3, 3), "conv1_1.bias": torch.zeros(4)}


def torchvision_vgg():
    """The names of torchvision's VGG-16, on tiny tensors that hold their own place in the list."""
    indices = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    features = {
        f"features.{index}.{kind}": torch.tensor([index]) for index in indices for kind in ("weight", "bias")
    }
    return features | {"classifier.0.weight": torch.zeros(2), "classifier.6.bias": torch.zeros(1)}


# Reading


def test_safetensors(tmp_path):
    save_file(fitting(), tmp_path / "a.safetensors")
    tensors = load_tensors(tmp_path / "a.safetensors")
    assert torch.equal(tensors["conv1_1.weight"], torch.ones(4, 3, 3, 3))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrapper", [None, "state_dict"])
def test_checkpoint_of_torch(tmp_path, zipped, wrapper):
    saved = {wrapper: fitting(), "epoch": 3} if wrapper else fitting()
    torch.save(saved, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    assert torch.equal(load_tensors(tmp_path / "a.pth")["conv1_1.bias"], torch.zeros(4))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_torchvision_names_become_the_papers(tmp_path, suffix):
    write = torch.save if suffix == ".pth" else save_file
    write(torchvision_vgg(), tmp_path / f"vgg16{suffix}")
    tensors = load_tensors(tmp_path / f"vgg16{suffix}")
    expected = [
        f"conv{block}_{index}"
        for block, count in enumerate((2, 2, 3, 3, 3), 1)
        for index in range(1, count + 1)
    ]
    assert {name.split(".")[0] for name in tensors} == set(expected)
    assert [int(tensors[f"{name}.bias"]) for name in expected] == [
        0,
        2,
        5,
        7,
        10,
        12,
        14,
        17,
        19,
        21,
        24,
        26,
        28,
    ]


@pytest.mark.parametrize("stray", ["features.1.running_mean", "head.weight", "features.9.weight"])
def test_other_networks_are_not_taken_for_a_vgg(tmp_path, stray):
    torch.save(torchvision_vgg() | {stray: torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="expected a plain VGG"):
        load_tensors(tmp_path / "a.pth")


def test_checkpoint_from_an_address_is_converted(tmp_path, isolated, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    path = tmp_path / "vgg16.pth"
    tensors = {name: tensor.float() for name, tensor in torchvision_vgg().items()}
    torch.save(tensors, path, _use_new_zipfile_serialization=False)
    entry = WeightsEntry(
        name="web",
        network="vgg16",
        preprocessing="torchvision",
        url=path.as_uri(),
        archive=Pin(path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()),
    )
    found = find_weights("web", entries={"web": entry})
    assert found.path.suffix == ".safetensors"
    assert float(load_tensors(found)["conv5_3.weight"]) == 28.0


# Hostile files


class Hostile:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("form", ["pickle", "legacy", "zip"])
def test_pickle_is_not_executed(tmp_path, form):
    marker, path = tmp_path / "executed", tmp_path / "a.pth"
    if form == "pickle":
        path.write_bytes(pickle.dumps(Hostile(marker)))
    else:
        torch.save({"weight": Hostile(marker)}, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(WeightsError, match="no checkpoint of plain tensors"):
        load_tensors(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "value", [{}, [torch.zeros(1)], {"weight": "text"}, {1: torch.zeros(1)}, torch.zeros(3)], ids=repr
)
def test_anything_but_tensors_by_name(tmp_path, value):
    torch.save(value, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="expected"):
        load_tensors(tmp_path / "a.pth")


def header(claimed, text=b""):
    return claimed.to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "contents",
    [
        b"",
        b"\x01",
        header(2**63, b"{}"),
        header(200_000_000, b"{}"),
        header(2, b"[]"),
        header(9, b'{"a": {}}'),
        b"GIF89a" * 99,
    ],
    ids=["empty", "byte", "absurd", "long", "list", "no-offsets", "picture"],
)
def test_damaged_safetensors(tmp_path, contents):
    (tmp_path / "a.safetensors").write_bytes(contents)
    with pytest.raises(WeightsError):
        load_tensors(tmp_path / "a.safetensors")


@pytest.mark.parametrize("keep", [4, 40, 300])
def test_truncated_safetensors(tmp_path, keep):
    path = tmp_path / "a.safetensors"
    save_file(fitting(), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(WeightsError, match=r"claims a header|cut short"):
        load_tensors(path)


def test_tensor_larger_than_its_file(tmp_path):
    text = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    (tmp_path / "a.safetensors").write_bytes(header(len(text), text) + bytes(64))
    with pytest.raises(WeightsError, match="cut short"):
        load_tensors(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.eye(3).to_sparse(),
        lambda: torch.eye(3).to_sparse_csr(),
        lambda: torch.empty(3, 3, device="meta"),
        lambda: torch.quantize_per_tensor(torch.eye(3), 0.1, 0, torch.qint8),
        lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    ],
    ids=["sparse", "csr", "meta", "quantised", "nested"],
)
@pytest.mark.filterwarnings("ignore")  # torch says that some of these are young
def test_tensors_that_are_not_plain(tmp_path, make):
    torch.save(fitting() | {"odd": make()}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="no "):
        load_tensors(tmp_path / "a.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_repeated_numbers_that_are_not_in_the_file(tmp_path, zipped):
    repeated = {"conv1_1.weight": torch.zeros(1).expand(1 << 20, 1 << 20, 3, 3)}
    torch.save(repeated, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match="claims tensors of 39,582,418,599,936"):
        load_tensors(tmp_path / "a.pth")


def test_zip_that_is_no_checkpoint(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("../../evil", b"x")
    with pytest.raises(WeightsError, match="no checkpoint of plain tensors"):
        load_tensors(tmp_path / "a.pth")


def test_missing_file(tmp_path):
    with pytest.raises(WeightsError, match="cannot be read: No such file"):
        load_tensors(tmp_path / "a.safetensors")


# Into a network


def test_load_into():
    network = layer()
    load_into(network, fitting(), name="tiny")
    assert torch.equal(network.state_dict()["conv1_1.weight"], fitting()["conv1_1.weight"])


def test_surplus_is_allowed_on_request():
    tensors = fitting() | {"conv1_2.bias": torch.zeros(4)}
    with pytest.raises(WeightsError, match=r"tiny: conv1_2\.bias is unknown"):
        load_into(layer(), tensors, name="tiny")
    load_into(layer(), tensors, name="tiny", surplus=True)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (torch.ones(4, 3, 5, 5), r"is float32 \(4, 3, 5, 5\), expected float32 \(4, 3, 3, 3\)"),
        (torch.ones(4, 3, 3, 3, dtype=torch.int64), r"is int64 .* expected float32"),
        (torch.full((4, 3, 3, 3), torch.nan), "holds NaN or infinity"),
        (torch.full((4, 3, 3, 3), torch.inf), "holds NaN or infinity"),
        (None, r"is missing, expected float32 \(4, 3, 3, 3\)"),
    ],
    ids=["shape", "dtype", "nan", "inf", "missing"],
)
def test_first_misfit_is_named(wrong, complaint):
    network, tensors = layer(), fitting()
    tensors["conv1_1.weight"] = wrong
    before = network["conv1_1"].bias.clone()
    with pytest.raises(WeightsError, match=rf"^tiny: conv1_1\.weight {complaint}"):
        load_into(
            network, {name: tensor for name, tensor in tensors.items() if tensor is not None}, name="tiny"
        )
    assert torch.equal(network["conv1_1"].bias, before)  # Nothing was changed


class TestStoredSmall:
    """`halved`, `described` and `save_tensors`."""

    @pytest.fixture
    def tensors(self):
        torch.manual_seed(0)
        return {
            "a.weight": torch.randn(4, 3, 3, 3) * torch.tensor([1e-3, 1, 10, 0]).view(4, 1, 1, 1),
            "a.bias": torch.randn(4),
        }

    def test_a_round_trip_loses_less_than_a_level(self, tmp_path, tensors):
        save_tensors(tmp_path / "small.safetensors", halved(tensors), {"network": "test"})
        again = load_tensors(tmp_path / "small.safetensors")
        assert again.keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert again[name].dtype == torch.float32
            torch.testing.assert_close(again[name], tensor, rtol=2**-11, atol=1e-6)

    def test_what_is_too_large_for_a_half_stays(self):
        found = halved({"small": torch.tensor([1.0]), "large": torch.tensor([1.0, 1e6])})
        assert [found[name].dtype for name in ("small", "large")] == [torch.float16, torch.float32]

    def test_a_network_says_what_it_is(self):
        tensors, words = described(nn.BatchNorm1d(2), "test", preprocessing="caffe", more={"height": 3})
        assert set(tensors) == {
            "weight",
            "bias",
            "running_mean",
            "running_var",
        }  # not how many batches it saw
        assert words == {"format": "pt", "network": "test", "preprocessing": "caffe", "more": '{"height": 3}'}

    def test_same_tensors_same_bytes(self, tmp_path, tensors):
        for name in ("one", "two"):
            save_tensors(tmp_path / name, tensors, {"b": "1", "a": "2", "format": "pt", "network": "test"})
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
