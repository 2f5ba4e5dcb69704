import os
import signal
from contextlib import contextmanager

import numpy as np
import pytest

from imgtool.options.stylize import VGG_CONVOLUTIONS
from imgtool.runtime.convert import write_safetensors

CHANNELS = (64, 128, 256, 512, 512)


@pytest.fixture(scope="session")
def random_vgg19(tmp_path_factory):
    """A VGG-19 up to conv5_1 with random weights (He et al. 2015), as a file for --weights."""
    random = np.random.default_rng(0)
    tensors, before = {}, 3
    for block, (count, channels) in enumerate(zip(VGG_CONVOLUTIONS["vgg19"], CHANNELS, strict=True), start=1):
        for index in range(1, (1 if block == 5 else count) + 1):
            spread = np.float32(np.sqrt(2 / (9 * before)))
            weight = random.standard_normal((channels, before, 3, 3), np.float32) * spread
            tensors[f"conv{block}_{index}.weight"] = weight
            tensors[f"conv{block}_{index}.bias"] = np.zeros(channels, np.float32)
            before = channels
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    with path.open("wb") as file:
        write_safetensors(file, tensors, {"network": "vgg19", "preprocessing": "caffe"})
    return path


@pytest.fixture
def no_settings(tmp_path, monkeypatch):
    """Nothing of the user's speaks for a command: no environment, no settings file, no cache, no network."""
    for name in os.environ:
        if name.startswith(("IMGTOOL_", "PIP_")) or name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name)
    ours = {"CONFIG_DIR": "config", "CACHE": "cache"}
    for name, folder in ours.items():
        monkeypatch.setenv(f"IMGTOOL_{name}", str(tmp_path / "user" / folder))
    monkeypatch.setenv("IMGTOOL_OFFLINE", "1")


@pytest.fixture
def listening():
    """A process that was started in the background may have been told to ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def ordinary_user():
    """Lets a block that works in a folder run without root's right to write anywhere."""

    @contextmanager
    def ordinary_user(folder):
        if os.geteuid() != 0:
            yield
            return
        for each in (folder, *folder.parents[:-2]):
            each.chmod(each.stat().st_mode | 0o055)
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    return ordinary_user
