import pytest
import torch
from safetensors.torch import save_file

from imgtool.errors import WeightsError
from imgtool.nn.hed import HED
from imgtool.runtime.device import Device
from imgtool.runtime.registry import find_weights
from imgtool.tasks.load import load_hed

CPU = Device(torch.device("cpu"), torch.float32, "test")


def loaded(path, **changed):
    """A detector from a file of a tiny one's weights, of which some are others; a None is left out."""
    tensors = HED((2, 3, 4, 5, 6)).state_dict() | {
        name.replace("__", "."): each for name, each in changed.items()
    }
    save_file({name: each for name, each in tensors.items() if each is not None}, path / "a.safetensors")
    return load_hed(find_weights(str(path / "a.safetensors")), CPU)


def test_shape_is_that_of_the_weights(tmp_path):
    assert loaded(tmp_path).widths == (2, 3, 4, 5, 6)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        # A file of a few bytes: no network of that size is made.
        (
            {"conv1_1__weight": torch.ones(10**7, 0, 3, 3)},
            "its first block takes 0 channels, expected 3 or 12",
        ),
        (
            {"lateral1__weight": torch.ones(10**7, 0, 1, 1)},
            r"lateral1.weight is .*, expected float32 \(10{7}, 2,",
        ),
        ({"conv1_1__weight": torch.ones(10**18, 0, 3, 3)}, "is no edge detector"),
        ({"conv2_1__weight": torch.ones(10**7, 0, 3, 3)}, r"expected float32 \(10000000, 2, 3, 3\)"),
        ({"conv2_1__weight": torch.ones(0, 2, 3, 3)}, "a block has no channels"),
        ({"conv3_1__weight": torch.tensor(1.0)}, "is no edge detector"),
        ({"conv3_1__weight": None}, "conv3_1.weight is missing"),
        ({"conv3_2__weight": torch.ones(4, 5, 3, 3)}, "conv3_2.weight is float32 .4, 5, 3, 3., expected"),
    ],
)
def test_weights_that_are_of_no_detector(tmp_path, changed, words):
    with pytest.raises(WeightsError, match=words):
        loaded(tmp_path, **changed)
