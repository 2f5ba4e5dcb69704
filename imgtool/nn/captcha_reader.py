"""A reader of short texts: convolutions, two bidirectional recurrent layers, logits from left to right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

FRAME = 8  # pixels of a frame's width
WIDTHS = (32, 64, 64, 128)  # channels of the convolutions
POOLS = ((2, 2), None, (2, 2), (2, 1))  # after them
MAX_WIDTH, MAX_HEIGHT, MAX_CLASSES = 1024, 1024, 65536  # of a file that claims to hold a reader


class CaptchaReader(nn.Module):
    """Logits of each character, and of none, in frames eight pixels wide.

    The first step moves squares of 2x2 pixels into channels, so that no convolution works at full resolution: that is
    where a plain stem spends its time. Pictures are brought to mean 0 and variance 1, each by itself, so that neither
    colours nor which of ink and paper is darker matter much.

    Args:
        classes: characters and the blank.
        height: of the pictures, in pixels.
        widths: channels of the four convolutions.
        hidden: units of the recurrent layers in each direction.
    Reference:
        Shi, Bai & Yao 2017, https://arxiv.org/abs/1507.05717 (CRNN); Shi et al. 2016, https://arxiv.org/abs/1609.05158
        (pixel unshuffling, there as its inverse).
    """

    def __init__(
        self, classes: int, *, height: int = 60, widths: tuple[int, ...] = WIDTHS, hidden: int = 128
    ) -> None:
        super().__init__()
        self.classes, self.height, self.widths, self.hidden = classes, height, tuple(widths), hidden
        before = 4
        for index, after in enumerate(widths):
            self.add_module(f"conv{index}", nn.Conv2d(before, after, 3, padding=1, bias=False))
            self.add_module(f"norm{index}", nn.BatchNorm2d(after))
            before = after
        self.flat = nn.Linear(before * rows(height), 2 * hidden)
        self.early = nn.Linear(2 * hidden, classes)  # a head for training alone, before anything recurrent
        self.recurrent = nn.GRU(2 * hidden, hidden, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * hidden, classes)

    @classmethod
    def shaped_as(cls, tensors: Mapping[str, Tensor], *, height: int) -> Self:
        """A network of the size that a set of weights was made for.

        Raises:
            LookupError, ValueError: these are not the weights of such a network.
        """
        widths = tuple(tensors[f"conv{index}.weight"].shape[0] for index in range(len(WIDTHS)))
        classes, hidden = tensors["head.weight"].shape[0], tensors["head.weight"].shape[1] // 2
        if not (all(0 < each <= MAX_WIDTH for each in (*widths, hidden)) and 1 < classes <= MAX_CLASSES):
            raise ValueError(f"{widths} channels, {hidden} units, {classes} classes")
        if not FRAME <= height <= MAX_HEIGHT:
            raise ValueError(f"a height of {height} pixels")
        return cls(classes, height=height, widths=widths, hidden=hidden)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of each frame.

        Args:
            image: (N, 1, height, W) in [0, 1]; W is a multiple of `FRAME`.
        Returns:
            (N, W / 8, classes) fp32.
        """
        return self.heads(self.frames(image))[1]

    def heads(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Logits before the recurrent layers and after them, (N, T, classes) fp32 each.

        Args:
            frames: (N, T, 2 * hidden) of `frames`. They may be halves; recurrent steps are small, so that half
                precision would gain nothing there, and their errors add up.
        """
        frames = frames.float()
        after, _ = self.recurrent(frames)
        return self.early(frames), self.head(after)

    def frames(self, image: Tensor) -> Tensor:
        """What the convolutions see in each frame: (N, W / 8, 2 * hidden); see `forward`."""
        if image.shape[-2] != self.height or image.shape[-1] % FRAME:
            raise ValueError(f"{tuple(image.shape)} is no (N, 1, {self.height}, a multiple of {FRAME})")
        features = functional.pixel_unshuffle(standardised(image), 2)
        features = features.contiguous(memory_format=torch.channels_last)
        for index in range(len(self.widths)):
            features = self.get_submodule(f"conv{index}")(features)
            features = functional.relu_(self.get_submodule(f"norm{index}")(features))
            if pool := POOLS[index]:
                features = functional.max_pool2d(features, pool, ceil_mode=True)
        # (N, C, H, T) -> (N, T, C * H)
        return functional.relu(self.flat(features.permute(0, 3, 1, 2).flatten(2)))


def rows(height: int) -> int:
    """Rows of the features that a picture of this height ends with."""
    height = height // 2
    for _ in range(3):
        height = -(-height // 2)
    return height


def standardised(image: Tensor) -> Tensor:
    """Pictures of mean 0 and variance 1, each by itself; a plain one is 0."""
    deviation, mean = torch.std_mean(image, dim=(1, 2, 3), keepdim=True, correction=0)
    return (image - mean) / deviation.clamp_min(1e-3)
