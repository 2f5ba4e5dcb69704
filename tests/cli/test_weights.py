import hashlib
import json
import os
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import imgtool.runtime.registry
from imgtool.cli.weights import weights_group
from imgtool.errors import WeightsError
from imgtool.runtime.entries import Distribution, Member, Pin, StoredTensor, WeightsEntry

WHEEL = "tinynet-1.0-py3-none-any.whl"


@pytest.fixture
def entry(tmp_path, monkeypatch):
    """The only weights there are: a made-up distribution in a folder that pip is told to look in."""
    for name in os.environ:
        if name.startswith(("PIP_", "IMGTOOL_")) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    member = np.arange(8, dtype="<f4").tobytes()
    links = tmp_path / "links"
    links.mkdir()
    with zipfile.ZipFile(links / WHEEL, "w") as archive:
        archive.writestr("tinynet/w.bin", member)
    contents = (links / WHEEL).read_bytes()
    entry = WeightsEntry(
        name="tiny",
        network="vgg16",
        preprocessing="caffe",
        licence="free for all",
        distribution=Distribution("tinynet", "1.0", WHEEL),
        archive=Pin(len(contents), hashlib.sha256(contents).hexdigest()),
        member=Member("tinynet/w.bin", len(member), hashlib.sha256(member).hexdigest()),
        layout={"conv1_1.bias": StoredTensor(at=0, shape=(8,))},
    )
    settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(links)}
    for name, value in (settings | {"IMGTOOL_CACHE": str(tmp_path / "cache")}).items():
        monkeypatch.setenv(name, value)
    lost = replace(entry, name="lost", distribution=Distribution("lost", "1.0", "lost-1.0.tar.gz"))
    entries = {"tiny": entry, "lost": lost}
    monkeypatch.setattr(imgtool.runtime.registry, "registry", lambda: entries)
    return entry


@pytest.fixture
def run(entry):
    def run(*arguments, code=0):
        result = CliRunner().invoke(weights_group, [str(argument) for argument in arguments])
        found = getattr(result.exception, "exit_code", result.exit_code)
        assert found == code, (result.output, result.exception)
        return result

    return run


def test_every_command_has_an_example():
    for name, command in weights_group.commands.items():
        assert command.epilog.startswith(f"Try: imgtool weights {name}"), name


def test_list(run):
    lines = run("list").stdout.splitlines()
    assert lines[0].split()[:2] == ["tiny", "missing"]
    run("fetch", "tiny")
    first = json.loads(run("list", "--json").stdout.splitlines()[0])
    assert first["state"] == "ready"
    assert first["path"].endswith(".safetensors")


def test_show(run, entry):
    result = run("show", "tiny")
    assert "free for all" in result.stdout
    assert entry.archive.sha256 in result.stdout
    assert json.loads(run("show", "tiny", "--json").stdout)["member_bytes"] == 32


def test_fetch_prints_the_path(run, tmp_path):
    result = run("fetch", "tiny")
    path = tmp_path / "cache" / "weights"
    assert result.stdout.startswith(str(path))
    assert run("path", "tiny").stdout == result.stdout


def test_fetch_goes_on_after_a_failure(run):
    result = run("fetch", "lost", "tiny", code=3)
    assert "tiny-" in result.stdout
    assert json.loads(run("fetch", "tiny", "--json").stdout)["name"] == "tiny"
    assert isinstance(result.exception, WeightsError)
    assert "pip download --no-deps -d DIR lost==1.0" in result.exception.hint


def test_path_fetches_nothing(run, tmp_path):
    result = run("path", "tiny", code=3)
    assert result.exception.hint == "imgtool weights fetch tiny"
    assert not (tmp_path / "cache").exists()


def test_unknown_name(run):
    for command in ("show", "path", "fetch", "verify", "rm"):
        assert "did you mean tiny?" in run(command, "tyny", code=3).exception.message


def test_verify(run, tmp_path):
    assert run("verify").stdout == ""
    run("verify", "tiny", code=3)
    path = run("fetch", "tiny").stdout.strip()
    assert run("verify").stdout.startswith("tiny ok ")
    with Path(path).open("ab") as file:
        file.write(b"x")
    assert "damaged" in run("verify", code=3).exception.message


def test_rm(run, tmp_path):
    run("rm", code=2)
    path = tmp_path / "cache" / "weights"
    run("fetch", "tiny")
    (path / "tiny-torchvision-0123456789ab.safetensors").write_text("another")
    assert "deleted" in run("rm", "tiny").stderr
    left = [file.name for file in path.iterdir() if file.suffix != ".lock"]
    assert left == ["tiny-torchvision-0123456789ab.safetensors"]


def test_export_feeds_a_machine_without_network(run, tmp_path, monkeypatch):
    run("export", tmp_path / "stick", "tiny")
    run("rm", "tiny")
    monkeypatch.setenv("IMGTOOL_WEIGHTS_DIR", str(tmp_path / "stick"))
    monkeypatch.setenv("IMGTOOL_OFFLINE", "1")
    assert run("path", "tiny").stdout.strip() == str(tmp_path / "stick" / "tiny.safetensors")


def test_no_torch_for_weights(run):
    before = "torch" in sys.modules
    run("fetch", "tiny")
    assert ("torch" in sys.modules) == before
