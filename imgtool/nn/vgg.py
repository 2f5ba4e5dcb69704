"""VGG-16 and VGG-19 feature extractors whose layers are called by the paper's names."""

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from imgtool.options import vgg_layers

CHANNELS = (64, 128, 256, 512, 512)
STRIDE = 16  # of the fifth block


class Preprocessing(NamedTuple):
    """What turns sRGB in [0, 1] into the input that a set of weights was trained on."""

    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    bgr: bool


PREPROCESSING = {
    "caffe": Preprocessing((123.68 / 255, 116.779 / 255, 103.939 / 255), (255.0, 255.0, 255.0), bgr=True),
    "torchvision": Preprocessing((0.485, 0.456, 0.406), (1 / 0.229, 1 / 0.224, 1 / 0.225), bgr=False),
}


class VGG(nn.Module):
    """Convolutional part of VGG, frozen, up to the deepest layer that is asked for.

    A layer's features are taken after its ReLU, as in Gatys et al. The network normalises its own input.

    Args:
        network: "vgg16" or "vgg19".
        layers: names of the convolutions whose features `forward` returns.
        preprocessing: a key of `PREPROCESSING`; which one belongs to the weights, not to the network.
        pool: "max" as trained, or "average" as Gatys et al. prefer for synthesis.
        margin: pixels by which the picture is mirrored outwards before the first layer, and features are cropped
            after each; a multiple of 16. The network's own zeros at the border leave a frame of false colours in
            a picture that is optimised through it; a margin keeps them outside.
    Reference:
        Simonyan & Zisserman 2014, https://arxiv.org/abs/1409.1556
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        network: str,
        layers: Collection[str],
        *,
        preprocessing: str = "caffe",
        pool: str = "max",
        margin: int = 0,
    ) -> None:
        super().__init__()
        names = vgg_layers(network)
        unknown = sorted(set(layers) - set(names))
        if unknown or not layers:
            raise ValueError(f"{network} has no layer {', '.join(unknown)}" if unknown else "no layer asked for")
        self.layers = frozenset(layers)
        self.pool = {"max": functional.max_pool2d, "average": functional.avg_pool2d}[pool]
        self.margin = margin
        channels = 3
        for name in names[: max(names.index(layer) for layer in layers) + 1]:
            width = CHANNELS[_block(name) - 1]
            self.add_module(name, nn.Conv2d(channels, width, kernel_size=3, padding=1))
            channels = width
        mean, scale, self.bgr = PREPROCESSING[preprocessing]
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(scale).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Features of the layers asked for.

        Args:
            image: (N, 3, H, W) sRGB in [0, 1], any float type; H and W of at least 1.
        Returns:
            name -> (N, C, ceil(H / s), ceil(W / s)) in the network's own type, s = 1, 2, 4, 8, 16 by block.
        """
        height, width = image.shape[-2:]
        features = self.normalise(self._mirrored(image))
        found = {}
        for name, convolution in self.named_children():
            if name.endswith("_1") and name != "conv1_1":
                # ceil_mode keeps a picture of one pixel alive; for even sizes it changes nothing.
                features = self.pool(features, kernel_size=2, stride=2, ceil_mode=True)
            features = functional.relu(convolution(features), inplace=name not in self.layers)
            if name in self.layers:
                stride = 2 ** (_block(name) - 1)
                start, rows, columns = self.margin // stride, -(-height // stride), -(-width // stride)
                found[name] = features[..., start : start + rows, start : start + columns]
        return found

    def _mirrored(self, image: Tensor) -> Tensor:
        """The picture with its margin; at least the margin on each side, and a size that poolings divide evenly."""
        if not self.margin:
            return image
        height, width = image.shape[-2:]
        right, bottom = (self.margin + -side % STRIDE for side in (width, height))
        # A picture smaller than its mirror image has only its edge to repeat.
        mode = "reflect" if min(height, width) > max(right, bottom) else "replicate"
        return functional.pad(image, (self.margin, right, self.margin, bottom), mode=mode)

    def normalise(self, image: Tensor) -> Tensor:
        """The picture as these weights expect it, in the network's type and memory layout."""
        image = (image - self.mean) * self.scale
        image = image.flip(1) if self.bgr else image
        weight = self.get_parameter("conv1_1.weight")
        return image.to(weight.dtype).contiguous(memory_format=torch.channels_last)


def _block(name: str) -> int:
    """The block of a layer: 4 for "conv4_2"."""
    return int(name[4])


