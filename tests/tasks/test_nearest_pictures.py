import numpy as np
import pytest
import torch
from torch import nn

from imgtool.runtime.device import Device
from imgtool.tasks.nearest_pictures import nearest_pictures
from imgtool.tasks.picture_features import FeatureSpace

SPACE = FeatureSpace("pixels", nn.Flatten(), Device(torch.device("cpu"), torch.float32, "test"))


@pytest.fixture
def known():
    return np.random.default_rng(0).integers(0, 256, (40, 6, 6, 1)).astype(np.uint8)


def test_copies_are_found(known):
    copied = [known[7], known[31], known[7]]
    found = nearest_pictures(copied, known, SPACE)
    assert found.indices.tolist() == [7, 31, 7] and found.closeness == 0


def test_others_are_as_far_as_pictures_are(known):
    others = list(np.random.default_rng(1).integers(0, 256, (30, 6, 6, 1)).astype(np.uint8))
    assert 0.8 < nearest_pictures(others, known, SPACE).closeness < 1.2
