import json
import os
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.numpy import load_file, save_file

from imgtool.cli import doctor
from imgtool.runtime import device, index
from imgtool.runtime.registry import WeightsFile


@pytest.fixture
def ready(random_vgg19, monkeypatch):
    """vgg19 is here."""
    found = WeightsFile("vgg19", random_vgg19, "0" * 64, "vgg19", "caffe", "a test")
    for place in ("imgtool.runtime.registry.local_weights", "imgtool.runtime.registry._in_cache"):
        monkeypatch.setattr(
            place, lambda name, *_: found if "vgg19" in (name, getattr(name, "name", 0)) else None
        )


@pytest.fixture(autouse=True)
def pip(request, monkeypatch):
    """What pip is configured for, without asking pip."""
    if "credentials" not in request.node.name:
        monkeypatch.setattr(index, "read_settings", lambda _: index.IndexSettings())


def report(imgtool, code):
    result = imgtool("doctor", "--json")
    assert result.code == code, result
    (facts,) = result.records
    assert facts["exit_code"] == code
    return facts


def test_a_machine_that_works(imgtool, ready):
    result = imgtool("doctor")
    assert result.code == 0, result
    text = result.stdout.decode()
    for word in ("versions", "chosen", "processor", "memory", "cache", "weights", "index", "settings"):
        assert f"\n{word} " in f"\n{text}", word
    assert torch.__version__.partition("+")[0] in text
    assert result.stderr == "imgtool stylize works here.\n"


def test_facts(imgtool, ready):
    facts = report(imgtool, 0)
    assert facts["problems"] == []
    assert facts["device"]["why"]
    assert facts["memory"]["largest_size"] > 64
    assert facts["cache"]["writable"]
    assert facts["weights"]["vgg19"]["state"] == "ready"
    assert facts["index"]["offline"]
    assert facts["environment"]["IMGTOOL_OFFLINE"] == "1"


def test_the_largest_size_fits_exactly(imgtool, ready, monkeypatch):
    from imgtool.options.stylize import StylizeOptions
    from imgtool.tasks.stylize import memory_needed

    dtype = device.select_device().dtype
    needed = memory_needed((700, 700), StylizeOptions(), dtype)
    monkeypatch.setattr(device, "memory_available", lambda _: needed)
    assert report(imgtool, 0)["memory"]["largest_size"] == 700


class TestProblems:
    def test_no_weights_and_no_network(self, imgtool):
        facts = report(imgtool, 3)
        (problem,) = facts["problems"]
        assert "IMGTOOL_OFFLINE forbids the network" in problem["message"]
        assert "imgtool weights fetch vgg19" in problem["cure"]
        result = imgtool("doctor")
        assert result.code == 3
        assert b"\nproblem      vgg19 is not here and cannot be fetched" in result.stdout
        assert result.stderr == "error: imgtool stylize would end with exit code 3 here\n"

    def test_weights_that_a_folder_offers(self, imgtool, tmp_path, monkeypatch):
        from imgtool.runtime.registry import entry_of

        archive = tmp_path / entry_of("vgg19").archive_name
        with zipfile.ZipFile(archive, "w"):
            pass
        monkeypatch.setenv("IMGTOOL_WEIGHTS_DIR", str(tmp_path))
        assert report(imgtool, 0)["weights"]["vgg19"]["source"] == str(archive)

    def test_cache_that_cannot_be_written(self, imgtool, monkeypatch):
        Path("file").touch()
        monkeypatch.setenv("IMGTOOL_CACHE", str(Path("file/cache").absolute()))
        facts = report(imgtool, 3)
        assert not facts["cache"]["writable"]
        assert "cannot be written" in facts["problems"][0]["message"]
        assert facts["problems"][0]["cure"].startswith("IMGTOOL_CACHE=FOLDER")

    def test_full_disk(self, imgtool, monkeypatch):
        usage = doctor.shutil.disk_usage("/")
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage._replace(free=1000))
        assert "MB are free" in report(imgtool, 3)["problems"][0]["message"]

    def test_device_from_a_setting(self, imgtool, ready, monkeypatch):
        monkeypatch.setattr(device, "available_devices", lambda: iter(["cpu"]))
        monkeypatch.setenv("IMGTOOL_STYLIZE_DEVICE", "cuda")
        facts = report(imgtool, 4)
        assert facts["problems"][0]["cure"] == "--device cpu"
        assert facts["settings"][0]["origin"] == "IMGTOOL_STYLIZE_DEVICE"

    def test_too_little_memory(self, imgtool, ready, monkeypatch):
        monkeypatch.setattr(device, "memory_available", lambda _: 2e8)
        facts = report(imgtool, 4)
        assert facts["problems"][0]["cure"] == f"--size {facts['memory']['largest_size']}"
        assert 0 < facts["memory"]["largest_size"] < 512

    def test_weights_from_a_setting(self, imgtool, monkeypatch, random_vgg19):
        monkeypatch.setenv("IMGTOOL_STYLIZE_WEIGHTS", str(random_vgg19))
        report(imgtool, 0)
        monkeypatch.setenv("IMGTOOL_STYLIZE_WEIGHTS", "gone.safetensors")
        assert "gone.safetensors: no such file" in report(imgtool, 3)["problems"][0]["message"]
        monkeypatch.setenv("IMGTOOL_STYLIZE_WEIGHTS", "nonsense")
        assert "no weights are called 'nonsense'" in report(imgtool, 3)["problems"][0]["message"]

    @pytest.mark.parametrize("content", [b"not weights", b"", b"\x08\0\0\0\0\0\0\0{}      "])
    def test_weights_from_a_setting_are_opened(self, imgtool, monkeypatch, content):
        Path("bad.pth").write_bytes(content)
        monkeypatch.setenv("IMGTOOL_STYLIZE_WEIGHTS", "bad.pth")
        result = imgtool("doctor")
        assert result.code in (2, 3)
        (line,) = [line for line in result.stdout.decode().splitlines() if line.startswith("problem")]
        assert "bad.pth" in line and "(from IMGTOOL_STYLIZE_WEIGHTS, for stylize)" in line

    def test_weights_from_a_setting_that_do_not_fit(self, imgtool, monkeypatch, random_vgg19):
        tensors = {name: tensor[:1] for name, tensor in load_file(random_vgg19).items()}
        save_file(tensors, "thin.safetensors", {"network": "vgg19", "preprocessing": "caffe"})
        monkeypatch.setenv("IMGTOOL_STYLIZE_WEIGHTS", "thin.safetensors")
        assert "thin.safetensors: conv1_1.weight is" in report(imgtool, 3)["problems"][0]["message"]

    def test_weights_of_another_command_are_only_noted(self, imgtool, ready, monkeypatch, random_vgg19):
        monkeypatch.setenv("IMGTOOL_EDGES_WEIGHTS", str(random_vgg19))
        (problem,) = report(imgtool, 0)["problems"]
        assert "holds vgg19, expected hed (from IMGTOOL_EDGES_WEIGHTS, for edges)" in problem["message"]

    def test_weights_of_segment_are_opened_too(self, imgtool, ready, monkeypatch, random_vgg19):
        monkeypatch.setenv("IMGTOOL_SEGMENT_WEIGHTS", str(random_vgg19))
        (problem,) = report(imgtool, 0)["problems"]
        assert "holds vgg19, expected unet (from IMGTOOL_SEGMENT_WEIGHTS, for segment)" in problem["message"]

    def test_settings_that_make_no_sense(self, imgtool, ready, monkeypatch):
        monkeypatch.setenv("IMGTOOL_STYLIZE_STEPS", "many")
        problem = report(imgtool, 2)["problems"][0]
        assert "'many' is no whole number" in problem["message"]
        assert "IMGTOOL_STYLIZE_STEPS" in problem["cure"]
        monkeypatch.setenv("IMGTOOL_STYLIZE_STEPS", "-1")
        assert "must be at least 0" in report(imgtool, 2)["problems"][0]["message"]

    def test_a_damaged_file(self, imgtool, ready):
        Path("imgtool.toml").write_text("[stylise]")
        assert "Did you mean 'stylize'?" in report(imgtool, 2)["problems"][0]["message"]

    def test_a_misspelt_variable_is_only_noted(self, imgtool, ready, monkeypatch):
        monkeypatch.setenv("IMGTOOL_STYLIZE_STPES", "5")
        problem = report(imgtool, 0)["problems"][0]
        assert problem["message"] == (
            "IMGTOOL_STYLIZE_STPES is no setting. Did you mean 'IMGTOOL_STYLIZE_STEPS'?"
        )


def test_where_settings_come_from(imgtool, ready, tmp_path, monkeypatch):
    user = Path(os.environ["IMGTOOL_CONFIG_DIR"]) / "imgtool.toml"
    user.parent.mkdir(parents=True)
    user.write_text("[stylize]\nsteps = 1\nsize = 100\nscales = 1\n")
    Path("imgtool.toml").write_text("[stylize]\nsteps = 2\nsize = 200\n")
    monkeypatch.setenv("IMGTOOL_STYLIZE_STEPS", "3")
    found = {each["option"]: (each["value"], each["origin"]) for each in report(imgtool, 0)["settings"]}
    assert found == {
        "size": ("200", "imgtool.toml"),
        "steps": ("3", "IMGTOOL_STYLIZE_STEPS"),
        "scales": ("1", str(user)),
    }


def test_credentials_are_hidden(imgtool, ready, monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:secret@index.invalid/simple")
    monkeypatch.setenv("PIP_PROXY", "http://me:secret@proxy.invalid:3128")
    result = imgtool("doctor", "--json")
    assert b"secret" not in result.stdout
    facts = json.loads(result.stdout)["index"]
    assert "index.invalid" in facts["urls"][0]
    assert "proxy.invalid" in facts["proxy"]
