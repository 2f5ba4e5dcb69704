import pickle

import numpy as np
import pytest
import torch
from torch import nn

from imgtool.errors import WeightsError
from imgtool.nn.classifier import Classifier, ClassifierShape
from imgtool.runtime.checkpoints import save_tensors
from imgtool.runtime.device import Device
from imgtool.runtime.given import given_weights
from imgtool.tasks.picture_features import space_of

CPU = Device(torch.device("cpu"), torch.float32, "test")


def pictures(count, side, channels):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, channels)).astype(np.uint8)


@pytest.fixture
def classifier(tmp_path):
    network = Classifier(ClassifierShape(size=8, channels=1, classes=2, width=4, features=6)).eval()
    about = '{"shape": {"size": 8, "channels": 1, "classes": 2, "width": 4, "features": 6}, "classes": ["a", "b"]}'
    floats = {name: each for name, each in network.state_dict().items() if each.is_floating_point()}
    path = tmp_path / "space.safetensors"
    save_tensors(path, floats, {"network": "classifier", "classifier": about})
    return network, given_weights(str(path))


def test_features_of_a_classifier(classifier):
    network, weights = classifier
    space = space_of(weights, CPU)
    shown = pictures(5, 8, 1)
    expected = network.features(torch.from_numpy(shown).permute(0, 3, 1, 2).float() / 255)
    torch.testing.assert_close(torch.from_numpy(space(shown)), expected.detach())
    assert space.name == f"classifier-6-{weights.sha256[:8]}"
    assert space(pictures(3, 20, 3)).shape == (3, 6)


@pytest.fixture
def inception(tmp_path, monkeypatch):
    """A file of the library's own network with random weights, as nobody may pass on the real ones."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    with monkeypatch.context() as patch:
        patch.setattr(nn.Module, "load_state_dict", lambda *args, **more: None)
        patch.setattr(torch, "load", lambda *args, **more: {})
        torch.manual_seed(0)
        network = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path="none")
    path = tmp_path / "inception.pth"
    torch.save(network.state_dict(), path)
    return network, path


@pytest.mark.fid
def test_features_of_inception(inception):
    network, path = inception
    space = space_of(given_weights(str(path)), CPU)
    shown = pictures(2, 40, 3)
    expected = network(torch.from_numpy(shown).permute(0, 3, 1, 2))[0]
    torch.testing.assert_close(torch.from_numpy(space(shown)), expected)
    assert space.name == "fid-inception-2048"
    assert space(pictures(2, 32, 1)).shape == (2, 2048)


@pytest.mark.fid
def test_inception_that_lacks_tensors(inception, tmp_path):
    state = inception[0].state_dict()
    del state["fc.weight"]
    torch.save(state, tmp_path / "cut.pth")
    with pytest.raises(WeightsError, match=r"is no Inception of FID: .*fc.weight"):
        space_of(given_weights(str(tmp_path / "cut.pth")), CPU)


@pytest.mark.fid
def test_code_in_a_file_is_not_run(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    (tmp_path / "bad.pth").write_bytes(pickle.dumps({"Mixed_7c.branch_pool.conv.weight": Hostile()}))
    with pytest.raises(WeightsError):
        space_of(given_weights(str(tmp_path / "bad.pth")), CPU)
    assert not (tmp_path / "ran").exists()
