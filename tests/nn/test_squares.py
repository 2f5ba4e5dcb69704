import torch
from torch.nn import functional

from imgtool.nn.squares import squares


def test_squares_are_those_of_pixel_unshuffle():
    image = torch.rand(2, 3, 12, 18, generator=torch.Generator().manual_seed(0))
    for side in (2, 3):
        assert torch.equal(squares(image, side), functional.pixel_unshuffle(image, side))
