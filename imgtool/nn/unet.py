"""U-Net: a contracting path of valid convolutions, an expanding one, and between them the copies of each level."""

import copy
from collections.abc import Iterator, Mapping
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

MAX_WIDTH, MAX_DEPTH = 512, 8  # of a file that claims to hold a U-Net


class UNet(nn.Module):
    """Class logits of the middle of an image.

    No convolution is padded, so an output sees real pixels only, and the same ones wherever the image was cut: with
    mirrored borders and cuts at multiples of `stride`, tiles add up exactly to the whole (Ronneberger 2015, fig. 2).

    Args:
        channels: of the image.
        classes: of the output, two at least.
        width: channels of the first level, doubled with each pooling; 64 in the paper.
        depth: poolings; four in the paper.
        norm: batch normalisation after each convolution, which the paper has not; `folded` removes it.
    Reference:
        Ronneberger, Fischer & Brox 2015, https://arxiv.org/abs/1505.04597
    """

    def __init__(
        self, channels: int = 1, classes: int = 2, *, width: int = 64, depth: int = 4, norm: bool = True
    ) -> None:
        super().__init__()
        self.channels, self.classes, self.width, self.depth = channels, classes, width, depth
        self.norm = norm
        widths = [width * 2**level for level in range(depth + 1)]
        before = channels
        for level, after in enumerate(widths):
            self.add_module(f"down{level}", Double(before, after, norm=norm))
            before = after
        for level in range(depth - 1, -1, -1):
            self.add_module(f"up{level}", nn.ConvTranspose2d(widths[level + 1], widths[level], 2, stride=2))
            self.add_module(f"merge{level}", Double(2 * widths[level], widths[level], norm=norm))
        self.head = nn.Conv2d(width, classes, 1)

    @classmethod
    def shaped_as(cls, tensors: Mapping[str, Tensor]) -> Self:
        """A network of the size that a set of weights was made for.

        Raises:
            LookupError, ValueError: these are not the weights of such a network.
        """
        first, head = tensors["down0.first.weight"].shape, tensors["head.weight"].shape
        depth = sum(f"down{level}.first.weight" in tensors for level in range(1, MAX_DEPTH + 1))
        if not (0 < first[0] <= MAX_WIDTH and depth and 0 < first[1] <= MAX_WIDTH and 1 < head[0] <= 256):
            raise ValueError(
                f"a width of {first[0]}, {depth} poolings, {first[1]} channels, {head[0]} classes"
            )
        norm = "down0.first_norm.weight" in tensors
        return cls(first[1], head[0], width=first[0], depth=depth, norm=norm)

    @property
    def stride(self) -> int:
        """Where windows may begin: at multiples of it."""
        return int(2**self.depth)

    @property
    def halo(self) -> int:
        """Pixels on each side of an output that the network can make, which it needs: 92 with four poolings."""
        return 6 * self.stride - 4

    def output_side(self, least: int) -> int:
        """The smallest side of an output that the network can make and that has `least` pixels at least."""
        lost = 4 * (self.stride - 1)  # by the convolutions of the expanding path
        return -(-(max(1, least) + lost) // self.stride) * self.stride - lost

    def forward(self, image: Tensor) -> Tensor:
        """Logits of each class.

        Args:
            image: (N, channels, H, W), of mean 0 and variance 1 over the whole picture it is a part of; H and W are
                `output_side(...)` + 2 * `halo`.
        Returns:
            (N, classes, H - 2 * halo, W - 2 * halo) fp32.
        Raises:
            ValueError: a side that does not fit the poolings.
        """
        for side in image.shape[-2:]:
            inner = side - 2 * self.halo
            if inner < 1 or self.output_side(inner) != inner:
                expected = 2 * self.halo + self.output_side(max(1, inner))
                raise ValueError(f"a side of {side} pixels does not fit, expected for example {expected}")
        weight = self.head.weight
        features = image.to(weight.dtype).contiguous(memory_format=torch.channels_last)
        levels = []
        for level in range(self.depth + 1):
            if level:
                features = functional.max_pool2d(features, 2)
            features = self.get_submodule(f"down{level}")(features)
            levels.append(features)
        for level in range(self.depth - 1, -1, -1):
            above = self.get_submodule(f"up{level}")(features)
            del features
            levels.pop()  # of the features that were just enlarged: freed as soon as they are used
            features = self.get_submodule(f"merge{level}")(
                torch.cat((_middle(levels[-1], above), above), dim=1)
            )
        return self.head(features).float()  # type: ignore[no-any-return]

    def folded(self) -> "UNet":
        """The same function without batch normalisation, for inference; a network of its own."""
        plain = copy.deepcopy(self).eval()
        plain.norm = False
        for double in plain._doubles():
            double.fold()
        return plain

    @torch.no_grad()
    def normalised_by(self, images: Tensor) -> "UNet":
        """A copy whose batch normalisation has the statistics of these images, and keeps them.

        Args:
            images: (N, channels, H, W) as for `forward`.
        """
        own = copy.deepcopy(self).train()
        for module in own.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
                module.momentum = None  # a plain mean over all that is seen
        own(images)
        return own.eval()

    def _doubles(self) -> Iterator["Double"]:
        yield from (module for module in self.modules() if isinstance(module, Double))


class Double(nn.Module):
    """Two valid 3x3 convolutions, each with ReLU."""

    def __init__(self, before: int, after: int, *, norm: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, bias=not norm)
        self.first_norm: nn.Module = nn.BatchNorm2d(after) if norm else nn.Identity()
        self.second = nn.Conv2d(after, after, 3, bias=not norm)
        self.second_norm: nn.Module = nn.BatchNorm2d(after) if norm else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """(N, before, H, W) to (N, after, H - 4, W - 4)."""
        features = functional.relu_(self.first_norm(self.first(features)))
        return functional.relu_(self.second_norm(self.second(features)))

    def fold(self) -> None:
        """Put the normalisation into the convolutions."""
        for name in ("first", "second"):
            norm = getattr(self, f"{name}_norm")
            if isinstance(norm, nn.BatchNorm2d):
                setattr(self, name, fuse_conv_bn_eval(getattr(self, name), norm))
                setattr(self, f"{name}_norm", nn.Identity())


def _middle(features: Tensor, small: Tensor) -> Tensor:
    """The middle of a map, as large as a smaller one."""
    top, left = ((features.shape[axis] - small.shape[axis]) // 2 for axis in (-2, -1))
    return features[..., top : top + small.shape[-2], left : left + small.shape[-1]]
