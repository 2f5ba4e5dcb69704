import pytest
import torch
from torch import nn

from imgtool.nn import winograd
from imgtool.nn.winograd import Winograd


def convolution_of(channels, width):
    torch.manual_seed(0)
    return nn.Conv2d(channels, width, 3, padding=1, padding_mode="reflect").requires_grad_(False)


@pytest.mark.parametrize("size", [(2, 2), (3, 5), (8, 6), (21, 32)])
@pytest.mark.parametrize("images", [1, 3])
def test_is_the_convolution(size, images):
    convolution = convolution_of(5, 7).double()
    features = torch.rand(images, 5, *size, dtype=torch.float64)
    torch.testing.assert_close(Winograd(convolution)(features), convolution(features))


def test_chunks_join(monkeypatch):
    convolution, features = convolution_of(5, 7), torch.rand(1, 5, 20, 12)
    whole = Winograd(convolution)(features)
    monkeypatch.setattr(winograd, "CHUNK", 6 * 12 * 7 * 4)
    torch.testing.assert_close(Winograd(convolution)(features), whole)


def test_half_precision_loses_little():
    convolution = convolution_of(128, 128)
    features = torch.rand(1, 128, 16, 16)
    exact, coarse = convolution(features), Winograd(convolution).to(torch.bfloat16)(features.bfloat16())
    assert (coarse - exact).std() < 0.01 * exact.std()


def test_features_come_out_with_channels_last():
    found = Winograd(convolution_of(3, 4))(torch.rand(1, 3, 6, 8))
    assert found.is_contiguous(memory_format=torch.channels_last)
