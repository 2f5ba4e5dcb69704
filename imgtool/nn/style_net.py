"""Feed-forward style network: a picture repainted in one pass, in one of several styles or between them."""

from collections.abc import Mapping
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from imgtool.nn.squares import squares

COLORS, CELL = 3, 2  # side of the squares of pixels that the first and the last layer take as one
STRIDE = 4  # of the residual blocks
LEAST = 2 * STRIDE  # of heights and widths, so that the blocks have something to reflect
EPSILON = 1e-5


class Statistics(NamedTuple):
    """Mean and variance of each channel over a picture, both (C,) in fp32."""

    mean: Tensor
    variance: Tensor


class ConditionalNorm(nn.Module):
    """Instance normalisation whose scale and shift each style has for itself.

    Args:
        styles: how many.
        channels: of the features.
    Reference:
        Dumoulin, Shlens & Kudlur 2017, eq. 5. https://arxiv.org/abs/1610.07629
    """

    def __init__(self, styles: int, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(styles, channels))
        self.shift = nn.Parameter(torch.zeros(styles, channels))

    def forward(self, features: Tensor, mix: Tensor, statistics: Statistics | None = None) -> Tensor:
        """Normalised features of one picture.

        Args:
            features: (1, C, H, W).
            mix: (S,) weights of the styles, which sum to 1.
            statistics: of the whole picture, if the features are a part of it.
        """
        # A batch of one: its statistics are those of the instance, by a kernel that is made for them.
        mean, variance = statistics or (None, None)
        # Not as a product of matrices, which autocast would round to halves.
        scale, shift = ((mix[:, None] * each).sum(dim=0) for each in (self.scale, self.shift))
        return functional.batch_norm(features, mean, variance, scale, shift, statistics is None, 0.0, EPSILON)


class StyleNet(nn.Module):
    """An image repainted, one at a time.

    The network of Johnson et al. (2016), but nothing in it is larger than half of the picture: it begins with
    squares of 2x2 pixels as one, its residual blocks are at a quarter, and its last layer draws four pixels at once.
    Each is averaged with its neighbours, or they would show as a checkerboard. Features are reflected at the border,
    where zeros draw a frame.

    Args:
        styles: how many it knows.
        width: channels at half the size; there are twice as many at a quarter.
        blocks: residual blocks.
    Reference:
        Johnson, Alahi & Fei-Fei 2016, https://arxiv.org/abs/1603.08155; Ulyanov, Vedaldi & Lempitsky 2016,
        https://arxiv.org/abs/1607.08022; Sugawara, Shiota & Kiya 2018, https://arxiv.org/abs/1806.02658
    """

    def __init__(self, styles: int, *, width: int = 24, blocks: int = 5) -> None:
        super().__init__()
        self.styles, self.width, self.blocks = styles, width, blocks
        pixels, deep = COLORS * CELL**2, 2 * width
        self.first, self.first_norm = _convolution(pixels, width), ConditionalNorm(styles, width)
        self.down, self.down_norm = _convolution(width, deep, stride=2), ConditionalNorm(styles, deep)
        for index in range(1, blocks + 1):
            for half in "ab":
                self.add_module(f"block{index}{half}", _convolution(deep, deep))
                self.add_module(f"block{index}{half}_norm", ConditionalNorm(styles, deep))
        self.up, self.up_norm = _convolution(deep, width), ConditionalNorm(styles, width)
        self.last = _convolution(width, pixels, bias=True)

    @classmethod
    def shaped_as(cls, tensors: Mapping[str, Tensor]) -> Self:
        """A network of the sizes that a set of weights was made for.

        Raises:
            LookupError: these are not the weights of such a network.
        """
        styles, width = tensors["first_norm.scale"].shape
        if not styles or not width:
            raise LookupError("it has no styles or no channels")
        blocks = sum(f"block{index}a.weight" in tensors for index in range(1, len(tensors)))
        return cls(styles, width=width, blocks=blocks)

    def forward(self, image: Tensor, mix: Tensor) -> Tensor:
        """The image in a mix of styles.

        Args:
            image: (1, 3, H, W) sRGB in [0, 1]; H and W multiples of 4, at least 8.
            mix: (S,) weights of the styles, which sum to 1.
        Returns:
            (1, 3, H, W) fp32 in [0, 1].
        """
        return self.decode(self.transform(self.encode(image, mix), mix), mix)

    def halved(self, image: Tensor) -> Tensor:
        """The first features, (1, C, H / 2, W / 2), whose statistics `encode` can be given."""
        image = (image - 0.5) * 4
        features: Tensor = self.first(squares(image.to(self.first.weight.dtype), CELL))
        return features

    def encode(self, image: Tensor, mix: Tensor, statistics: Statistics | None = None) -> Tensor:
        """Features at a quarter of the size, (1, 2 C, H / 4, W / 4)."""
        features: Tensor = self.down(functional.relu_(self.first_norm(self.halved(image), mix, statistics)))
        return features

    def transform(self, features: Tensor, mix: Tensor) -> Tensor:
        """Features in the mix of styles, of a whole picture."""
        features = functional.relu_(self.down_norm(features, mix))
        for index in range(1, self.blocks + 1):
            inner = functional.relu_(self._normed(f"block{index}a", features, mix))
            features = features + self._normed(f"block{index}b", inner, mix)
        return features

    def _normed(self, name: str, features: Tensor, mix: Tensor) -> Tensor:
        convolved = self.get_submodule(name)(features)
        normed: Tensor = self.get_submodule(f"{name}_norm")(convolved, mix)
        return normed

    def raised(self, features: Tensor) -> Tensor:
        """The last features, (1, C, H / 2, W / 2), whose statistics `decode` can be given."""
        raised: Tensor = self.up(functional.interpolate(features, scale_factor=2, mode="nearest"))
        return raised

    def decode(self, features: Tensor, mix: Tensor, statistics: Statistics | None = None) -> Tensor:
        """The picture of transformed features."""
        features = functional.relu_(self.up_norm(self.raised(features), mix, statistics))
        image = functional.pixel_shuffle(self.last(features).float().contiguous(), CELL)
        return _smooth(image).sigmoid()


def _convolution(channels: int, width: int, *, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """3x3, over features that are reflected at the border."""
    return nn.Conv2d(channels, width, 3, stride=stride, padding=1, padding_mode="reflect", bias=bias)


def _smooth(image: Tensor) -> Tensor:
    """Each pixel averaged with those above and to the left: the 2x2 box that a checkerboard cannot pass."""
    image = functional.pad(image, (1, 0, 1, 0), mode="reflect")  # so that the first row has both kinds too
    image = image[..., 1:, :] + image[..., :-1, :]
    return (image[..., 1:] + image[..., :-1]) / 4
