import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from imgtool.cli import main
from imgtool.cli.console import Console, console
from imgtool.nn.hed import HED
from imgtool.nn.style_net import StyleNet
from imgtool.nn.unet import UNet
from imgtool.runtime.checkpoints import save_tensors

# The least work that is still the whole command.
QUICK = (
    *("--size", "32", "--steps", "1", "--scales", "1", "--precision", "fp32", "--threads", "1"),
    *("--content-layers", "conv2_1", "--style-layers", "conv1_1,conv2_1"),
)


class Result(NamedTuple):
    code: int
    stdout: bytes
    stderr: str

    @property
    def records(self):
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def error(self):
        """The only line on stderr, which tells of a failure."""
        (line,) = self.stderr.splitlines()
        assert line.startswith("error: ")
        return line


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, no_settings):
    """The current folder, where nothing is yet."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    yield work
    vars(console).update(vars(Console()))


@pytest.fixture
def imgtool():
    """Runs a command line in this process."""

    def run(*arguments, stdin=b""):
        with CliRunner().isolation(stdin) as (stdout, stderr, _):
            code = main.run([str(argument) for argument in arguments])
            return Result(code, stdout.getvalue(), stderr.getvalue().decode())

    return run


@pytest.fixture
def quick(random_vgg19):
    """The words of next to no work, with random weights."""
    return ("--weights", str(random_vgg19), *QUICK)


@pytest.fixture
def stylize(imgtool, quick):
    """Runs `imgtool stylize` with random weights and next to no work."""
    return lambda *arguments, **more: imgtool("stylize", *quick, *arguments, **more)


@pytest.fixture(scope="session")
def narrow(tmp_path_factory):
    """A folder of narrow networks with random weights: edges, segment, segment3 (of colours), paint."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("narrow")
    segment = json.dumps({"classes": ["0", "255"], "threshold": 0.5, "objects": False, "probes": False})
    unet = {"network": "unet", "preprocessing": "none", "segment": segment}
    style = {"network": "style-net", "preprocessing": "none", "style": '{"styles": ["night", "waves"]}'}
    for name, network, about in (
        ("edges", HED((3, 4, 5, 6, 7)), {"network": "hed", "preprocessing": "caffe"}),
        ("segment", UNet(1, 2, width=4, depth=2, norm=False), unet),
        ("segment3", UNet(3, 2, width=4, depth=2, norm=False), unet),
        ("paint", StyleNet(2, width=3, blocks=1), style),
    ):
        save_tensors(folder / f"{name}.safetensors", network.state_dict(), about)
    return folder


@pytest.fixture
def rerun(imgtool):
    """Makes a picture again, and expects the same bytes."""

    def rerun(picture, *arguments, **more):
        again = Path(picture).with_stem("again")
        result = imgtool("rerun", picture, "-o", again, *arguments, **more)
        assert result.code == 0, result.stderr
        assert again.read_bytes() == Path(picture).read_bytes()
        again.unlink()

    return rerun


@pytest.fixture
def save():
    """Writes a small picture of smooth noise."""

    def save(path, *, seed=0, size=(40, 24), alpha=False):
        coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 4 if alpha else 3), np.uint8)
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(coarse).resize(size).save(path)
        return path

    return save


@pytest.fixture
def pictures(folder, save):
    """photo.png and painting.png in the current folder."""
    save("photo.png", seed=1)
    save("painting.png", seed=2)
    return folder


@pytest.fixture
def require_run():
    """Looks whether a folder has all that a training leaves."""

    def require(folder):
        for name in (
            *("options.json", "log.jsonl", "report.html"),
            *("model.safetensors", "checkpoints/last.safetensors"),
        ):
            assert (folder / name).is_file(), name

    return require
