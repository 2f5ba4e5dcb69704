"""AlexNet's convolutions, for what they say about whole pictures."""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, relu

LAYERS = (
    (3, 64, 11, 4, 2),
    (64, 192, 5, 1, 2),
    (192, 384, 3, 1, 1),
    (384, 256, 3, 1, 1),
    (256, 256, 3, 1, 1),
)
POOLED = (1, 2)  # layers after which the side is halved
SIDE = 64  # pixels that a picture is scaled to


class AlexNet(nn.Module):
    """The last convolution's features, averaged over the picture; the network normalises its own input.

    Reference:
        Krizhevsky 2014, https://arxiv.org/abs/1404.5997, as torchvision has it.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        for number, (before, after, side, stride, padding) in enumerate(LAYERS, start=1):
            self.add_module(f"conv{number}", nn.Conv2d(before, after, side, stride, padding))
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        self.register_buffer("mean", mean.view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", deviation.view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 1 or 3, H, W) in [0, 1] to (N, 256)."""
        image = image.expand(-1, 3, -1, -1)
        if image.shape[-2:] != (SIDE, SIDE):
            image = interpolate(image, (SIDE, SIDE), mode="bilinear", antialias=True)
        features = (image - self.mean) / self.deviation
        for number in range(1, len(LAYERS) + 1):
            features = relu(self.get_submodule(f"conv{number}")(features))
            if number in POOLED:
                features = max_pool2d(features, 3, 2)
        return features.mean(dim=(2, 3))
