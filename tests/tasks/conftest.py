"""One thread: for pictures this small, several only wait for each other. What several tests need."""

import pytest
import torch

from imgtool.nn.vgg import VGG
from imgtool.runtime.states import load_state, save_state


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(count)


@pytest.fixture(scope="module")
def network():
    """The first two blocks of a VGG; modules whose networks are others have their own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return VGG("vgg19", ("conv1_1", "conv2_1")).eval()


@pytest.fixture
def kept(tmp_path):
    """What becomes of the state of a training on disk, now."""

    def written_and_read(state):
        save_state(tmp_path / "kept.safetensors", state)
        return load_state(tmp_path / "kept.safetensors")

    return written_and_read
