"""VGG-16 and VGG-19 feature extractors whose layers are called by the paper's names."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from imgtool.options.stylize import vgg_layers

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


# How much larger the features of the Caffe VGG-19 are, block by block: root mean squares of conv1_1 ... conv5_1 on
# the example pictures at 192 px, against torchvision's VGG-16. Its VGG-19 was not measured and takes the same.
FEATURE_SCALES = {"caffe": (1.0, 1.0, 1.0, 1.0, 1.0), "torchvision": (66.0, 116.0, 80.0, 225.0, 57.0)}


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
            raise ValueError(
                f"{network} has no layer {', '.join(unknown)}" if unknown else "no layer asked for"
            )
        self.layers = frozenset(layers)
        self.feature_scales = FEATURE_SCALES[preprocessing]
        self.pool = POOLS[pool]
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

    @torch.no_grad()
    def rescale(self, activations: Mapping[str, Tensor]) -> None:
        """Scale the weights so that each filter's mean activation is one, without changing what they compute.

        A layer's features come out divided by `activations`, and the next layer takes them times that again:
        ReLU and either pooling let a positive factor through.

        Args:
            activations: layer -> (C,), mean activations at least 0; a filter that is always silent is left alone.
        Reference:
            Gatys et al. 2016, section 2. https://doi.org/10.1109/CVPR.2016.265
        """
        before: Tensor | None = None
        for name, _ in self.named_children():
            weight, bias = (self.get_parameter(f"{name}.{part}") for part in ("weight", "bias"))
            means = activations[name].to(weight)
            means = torch.where(means > 0, means, torch.ones_like(means))
            weight.div_(means.view(-1, 1, 1, 1))
            bias.div_(means)
            if before is not None:
                weight.mul_(before.view(1, -1, 1, 1))
            before = means

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Features of the layers asked for.

        Args:
            image: (N, 3, H, W) sRGB in [0, 1], any float type; H and W of at least 1.
        Returns:
            name -> (N, C, ceil(H / s), ceil(W / s)) in the network's own type, s = 1, 2, 4, 8, 16 by block.
        """
        return dict(self.stream(image))

    def stream(self, image: Tensor) -> Iterator[tuple[str, Tensor]]:
        """The features of `forward` one layer after the other, as they come.

        A loss that is formed before the next layer runs is also the last to be differentiated before this one:
        autograd goes back in the order of making, and the gradients of shallow, large layers are not held while
        the deep ones are worked on.
        """
        for name, features in self.windowed(self.mirrored(image)):
            yield name, self._cropped(features, name, image.shape[-2], image.shape[-1])

    def windowed(self, padded: Tensor) -> Iterator[tuple[str, Tensor]]:
        """The features of a picture with its margin, or of a window of it, those of the margin among them.

        A window that begins at multiples of 16 has, `reach` from its inner edges, the features of the whole.

        Args:
            padded: (N, 3, H, W), what `mirrored` returns or a part of it.
        """
        features = self.normalise(padded)
        for name, convolution in self.named_children():
            if name.endswith("_1") and name != "conv1_1":
                # ceil_mode keeps a picture of one pixel alive; for even sizes it changes nothing.
                features = self.pool(features)
            features = functional.relu_(convolution(features))
            if name in self.layers:
                yield name, features

    @property
    def reach(self) -> int:
        """How far the features of the deepest layer see, in pixels, rounded up to a multiple of 16."""
        pixels = 0
        for name, _ in self.named_children():
            pooled = self.stride(name) // 2 if name.endswith("_1") else 0
            pixels += self.stride(name) + pooled
        return -(-pixels // STRIDE) * STRIDE

    @staticmethod
    def stride(layer: str) -> int:
        """Pixels from one place of a layer to the next."""
        return int(2 ** (_block(layer) - 1))

    def _cropped(self, features: Tensor, layer: str, height: int, width: int) -> Tensor:
        """Features of the picture itself, (height, width) pixels of it, without those of its margin."""
        if not self.margin:
            return features
        stride = self.stride(layer)
        start = self.margin // stride
        return crop(features, *(slice(start, start - (-side // stride)) for side in (height, width)))

    def mirrored(self, image: Tensor) -> Tensor:
        """The picture with its margin; at least the margin on each side, and a size that poolings divide evenly."""
        if not self.margin:
            return image
        right, bottom, mode = self._frame(*image.shape[-2:])
        return functional.pad(image, (self.margin, right, self.margin, bottom), mode=mode)

    def places(self, height: int, width: int) -> tuple[Tensor, Tensor]:
        """The rows and columns of a picture that `mirrored` shows, one after the other; on the CPU."""
        right, bottom, mode = self._frame(height, width)
        rows, columns = (
            functional.pad(torch.arange(side, dtype=torch.float64)[None], (self.margin, end), mode=mode)[0]
            for side, end in ((height, bottom), (width, right))
        )
        return rows.long(), columns.long()

    def _frame(self, height: int, width: int) -> tuple[int, int, str]:
        """How far the margin goes at the right and at the bottom, and what it shows."""
        right, bottom = (self.margin and self.margin + -side % STRIDE for side in (width, height))
        # A picture smaller than its mirror image has only its edge to repeat.
        return right, bottom, "reflect" if min(height, width) > max(right, bottom) else "replicate"

    def feature_scale(self, layer: str) -> float:
        """What brings the features of a layer to the size that the Caffe VGG-19 has, for which weights are tuned."""
        return self.feature_scales[_block(layer) - 1]

    def normalise(self, image: Tensor) -> Tensor:
        """The picture as these weights expect it, in the network's type and memory layout."""
        image = (image - self.mean) * self.scale
        image = image.flip(1) if self.bgr else image
        weight = self.get_parameter("conv1_1.weight")
        return image.to(weight.dtype).contiguous(memory_format=torch.channels_last)


class _MaxPool(torch.autograd.Function):
    """Max pooling that looks for its winners again in the backward pass.

    To remember them costs 8 bytes each, as much as all features of their block; to find them again costs nothing
    that can be measured.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        ctx.save_for_backward(features)
        return functional.max_pool2d(features, 2, ceil_mode=True)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        with torch.enable_grad():
            features = ctx.saved_tensors[0].detach().requires_grad_()
            pooled = functional.max_pool2d(features, 2, ceil_mode=True)
        gradient: Tensor = torch.autograd.grad(pooled, features, grad)[0]
        return gradient


def max_pool(features: Tensor) -> Tensor:
    """The largest of each 2 x 2: (N, C, H, W) -> (N, C, ceil(H / 2), ceil(W / 2))."""
    pooled: Tensor = _MaxPool.apply(features)
    return pooled


def average_pool(features: Tensor) -> Tensor:
    """The mean of each 2 x 2: (N, C, H, W) -> (N, C, ceil(H / 2), ceil(W / 2))."""
    return functional.avg_pool2d(features, 2, ceil_mode=True)


POOLS = {"max": max_pool, "average": average_pool}


def crop(features: Tensor, rows: slice, columns: slice) -> Tensor:
    """A window of a feature map."""
    cropped: Tensor = _Crop.apply(features, rows, columns)
    return cropped


class _Crop(torch.autograd.Function):
    """A window of a feature map, whose gradient keeps the memory layout.

    Autograd's own slicing gives a gradient in another layout, and adding the two costs as much as a convolution.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, rows: slice, columns: slice) -> Tensor:
        ctx.shape, ctx.window = features.shape, (rows, columns)
        return features[..., *ctx.window]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        whole = torch.empty(
            ctx.shape, dtype=grad.dtype, device=grad.device, memory_format=torch.channels_last
        ).zero_()
        whole[..., *ctx.window] = grad
        return whole, None, None


def _block(name: str) -> int:
    """The block of a layer: 4 for "conv4_2"."""
    return int(name[4])
