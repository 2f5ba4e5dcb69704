"""Holistically-nested edge detector: a VGG whose five blocks each draw an edge map, and a fusion of the five."""

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from imgtool.nn.squares import squares
from imgtool.nn.vgg import PREPROCESSING, Preprocessing
from imgtool.nn.winograd import WIDTH, Winograd

BLOCKS = 5
COLORS = 3
CELLS = (1, 2)  # sides of the squares of pixels that a first block can take as one
STRIDE = 16  # of the fifth block
LEAST = STRIDE + 1  # of heights and widths, so that the fifth block has something to reflect
OUTPUTS = ("side1", "side2", "side3", "side4", "side5", "fuse")
VGG16_WIDTHS, VGG16_DEPTHS = (64, 128, 256, 512, 512), (2, 2, 3, 3, 3)

INPUTS = PREPROCESSING | {
    "hed": Preprocessing((122.67892 / 255, 116.66877 / 255, 104.00699 / 255), (255.0, 255.0, 255.0), bgr=True)
}

# Weights that were trained with sides stretched over the picture ("resized"), instead of enlarged by exact powers of
# two, draw their deep sides displaced; on average by so many pixels to the left and up.
SHIFTS = {"hed": (0, 0, 1, 2, 4)}

# Furthest pixel that can change an output, rounded up to a multiple of the stride. Up to conv5_3 it is 98 (receptive
# field 196); then 8 through the linear enlargement by 16 and 4 through SHIFTS, or 31 down the decoder's five merges.
REACH, DECODER_REACH = 112, 144


class HED(nn.Module):
    """Edge logits of an image at its own size.

    A block is two or three 3x3 convolutions with ReLU, followed by max pooling. In the paper's network each side is a
    1x1 convolution of its block. With a decoder, narrow maps of the deep blocks are first handed down to the shallow
    ones (Lin et al. 2017), so that a small network's fine sides know about objects too.

    Args:
        widths: channels of each of the five blocks.
        depths: convolutions of each block.
        decoder: channels of the top-down path; 0 for none, as in the paper.
        norm: batch normalisation after each convolution, for training from scratch; `folded` removes it.
        preprocessing: a key of `INPUTS`; belongs to the weights.
        cell: side of the squares of pixels that the first block takes as one pixel of more channels (Shi et al. 2016,
            backwards); 1, or 2: it is then no larger than the second, and its side draws the four pixels of a square.
    Reference:
        Xie & Tu 2015, https://arxiv.org/abs/1504.06375; Lin et al. 2017, https://arxiv.org/abs/1612.03144;
        Shi et al. 2016, https://arxiv.org/abs/1609.05158
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        widths: Sequence[int] = VGG16_WIDTHS,
        depths: Sequence[int] = VGG16_DEPTHS,
        *,
        decoder: int = 0,
        norm: bool = False,
        preprocessing: str = "caffe",
        cell: int = 1,
    ) -> None:
        super().__init__()
        self.cell = cell
        self.widths, self.depths, self.decoder = tuple(widths), tuple(depths), decoder
        self.preprocessing = preprocessing
        self.shifts = SHIFTS.get(preprocessing, (0,) * BLOCKS)
        channels = COLORS * cell**2
        for block, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
            for index in range(1, depth + 1):
                self.add_module(f"conv{block}_{index}", _convolution(channels, width, bias=not norm))
                if norm:
                    self.add_module(f"norm{block}_{index}", nn.BatchNorm2d(width))
                channels = width
            if decoder:
                self.add_module(f"lateral{block}", nn.Conv2d(width, decoder, 1))
                self.add_module(f"merge{block}", _convolution(decoder, decoder))
            self.add_module(f"side{block}", nn.Conv2d(decoder or width, cell**2 if block == 1 else 1, 1))
        self.fuse = nn.Conv2d(BLOCKS, 1, 1)
        mean, scale, self.bgr = INPUTS[preprocessing]
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(scale).view(1, 3, 1, 1), persistent=False)

    @classmethod
    def shaped_as(cls, tensors: Mapping[str, Tensor], *, preprocessing: str) -> Self:
        """A network of the widths, depths and decoder that a set of weights was made for.

        Raises:
            LookupError: these are not the weights of such a network.
        """
        widths = [tensors[f"conv{block}_1.weight"].shape[0] for block in range(1, BLOCKS + 1)]
        if 0 in widths:
            raise LookupError("a block has no channels")
        depths = [
            sum(f"conv{block}_{index}.weight" in tensors for index in range(1, len(tensors)))
            for block in range(1, BLOCKS + 1)
        ]
        decoder = tensors["lateral1.weight"].shape[0] if "lateral1.weight" in tensors else 0
        colors = tensors["conv1_1.weight"].shape[1]
        cells = {COLORS * side**2: side for side in CELLS}
        if colors not in cells:
            raise LookupError(
                f"its first block takes {colors} channels, expected {' or '.join(map(str, cells))}"
            )
        return cls(widths, depths, decoder=decoder, preprocessing=preprocessing, cell=cells[colors])

    @property
    def reach(self) -> int:
        """How far an output can see, in pixels, rounded up to a multiple of the stride."""
        return DECODER_REACH if self.decoder else REACH

    def forward(self, image: Tensor) -> Tensor:
        """Logits of the five sides and, last, of their fusion.

        Args:
            image: (N, 3, H, W) sRGB in [0, 1]; H and W multiples of the cell, at least 17.
        Returns:
            (N, 6, H, W) fp32, in the order of `OUTPUTS`; the probability of an edge is their sigmoid.
        Raises:
            ValueError: H or W is no multiple of the cell, or less than 17.
        """
        if any(side % self.cell or side < LEAST for side in image.shape[-2:]):
            raise ValueError(
                f"height and width must be multiples of {self.cell} from {LEAST}, got {tuple(image.shape)}"
            )
        features = self._blocks(image)
        if self.decoder:
            features = self._handed_down(features)
        height, width = image.shape[-2:]
        sides = [
            self._side(block, each)[..., :height, :width] for block, each in enumerate(features, start=1)
        ]
        return torch.cat((*sides, self._fusion(sides)), dim=1)

    def _fusion(self, sides: list[Tensor]) -> Tensor:
        """A 1x1 convolution of the sides."""
        fused = self.fuse.get_parameter("bias").float().view(1, 1, 1, 1)
        for side, weight in zip(sides, self.fuse.weight.float().view(-1, 1, 1, 1, 1), strict=True):
            fused = torch.addcmul(fused, side, weight)
        return fused

    def _blocks(self, image: Tensor) -> list[Tensor]:
        """Features at the end of each block, (N, C, ceil(H / s), ceil(W / s)), s = 1, 2, 4, 8, 16."""
        features, found = self.normalise(image), []
        for block, depth in enumerate(self.depths, start=1):
            if self._stride(block) > self._stride(block - 1):
                features = _pooled(features)
            for index in range(1, depth + 1):
                features = self.get_submodule(f"conv{block}_{index}")(features)
                if hasattr(self, f"norm{block}_{index}"):
                    features = self.get_submodule(f"norm{block}_{index}")(features)
                features = functional.relu_(features)
            found.append(features)
        return found

    def _stride(self, block: int) -> int:
        """Pixels of the picture for one of a block."""
        return max(self.cell, 2 ** (block - 1)) if block else self.cell

    def _handed_down(self, features: list[Tensor]) -> list[Tensor]:
        """Maps of `decoder` channels at the sizes of the blocks, each with what the deeper ones know."""
        above, found = None, []
        for block in range(BLOCKS, 0, -1):
            current = self.get_submodule(f"lateral{block}")(features[block - 1])
            if above is not None:
                current += _as_large(above, current)
            above = functional.relu_(self.get_submodule(f"merge{block}")(functional.relu_(current)))
            found.append(above)
        return found[::-1]

    def _side(self, block: int, features: Tensor) -> Tensor:
        """Logits (N, 1, H', W') of one block, H' >= H and W' >= W, enlarged so that each pixel keeps its place."""
        logits: Tensor = self.get_submodule(f"side{block}")(features).float()
        if block > 1:
            logits = functional.interpolate(logits, scale_factor=self._stride(block), mode="bilinear")
        elif self.cell > 1:
            logits = functional.pixel_shuffle(logits, self.cell)
        if shift := self.shifts[block - 1]:
            logits = functional.pad(logits, (0, shift, 0, shift), mode="replicate")[..., shift:, shift:]
        return logits

    def normalise(self, image: Tensor) -> Tensor:
        """The picture as these weights expect it, in the network's type and memory layout."""
        image = (image - self.mean) * self.scale
        image = image.flip(1) if self.bgr else image
        dtype = self.get_parameter("conv1_1.weight").dtype
        image = image.to(dtype).contiguous(memory_format=torch.channels_last)
        return image if self.cell == 1 else squares(image, self.cell)

    def quicken(self) -> None:
        """Replace the wide convolutions by others that compute the same, faster on processors, without gradients.

        In bf16 they round three times as coarsely. The tensors of the state get other names.
        """
        for name, module in list(self.named_children()):
            if not isinstance(module, nn.Conv2d) or module.kernel_size != (3, 3):
                continue
            if min(module.in_channels, module.out_channels) >= WIDTH:
                self.set_submodule(name, Winograd(module))

    def folded(self) -> "HED":
        """The same function without batch normalisation, for inference; a network of its own."""
        plain = HED(
            self.widths,
            self.depths,
            decoder=self.decoder,
            preprocessing=self.preprocessing,
            cell=self.cell,
        )
        modules = dict(self.named_children())
        for name, module in modules.items():
            norm = modules.get(name.replace("conv", "norm"))
            if isinstance(module, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module = fuse_conv_bn_eval(module.eval(), norm.eval())
            if not isinstance(module, nn.BatchNorm2d):
                plain.get_submodule(name).load_state_dict(module.state_dict())
        return plain.eval()


def _convolution(channels: int, width: int, *, bias: bool = True) -> nn.Conv2d:
    """3x3, over features that are reflected at the border: zeros would show as a frame of false edges."""
    return nn.Conv2d(channels, width, 3, padding=1, padding_mode="reflect", bias=bias)


def _pooled(features: Tensor) -> Tensor:
    """The largest of each 2x2: (N, C, H, W) -> (N, C, ceil(H / 2), ceil(W / 2)).

    A last row or column without another is paired with its mirror image, so that it does not grow to a whole block's
    width. Without gradients by comparing, several times faster than by looking for its place.
    """
    if torch.is_grad_enabled():
        odd = features.shape[-1] % 2, features.shape[-2] % 2
        mirrored = functional.pad(features, (0, odd[0], 0, odd[1]), mode="reflect") if any(odd) else features
        return functional.max_pool2d(mirrored, 2)
    return _larger(_larger(features, axis=2), axis=3)


def _larger(features: Tensor, axis: int) -> Tensor:
    """Of each two along an axis the larger; of an odd number also the last two."""
    every = features.movedim(axis, 0)
    firsts, seconds = every[::2], every[1::2]
    if len(firsts) == len(seconds):
        found = torch.maximum(firsts, seconds)
    else:
        found = torch.empty_like(firsts)
        torch.maximum(firsts[:-1], seconds, out=found[:-1])
        torch.maximum(firsts[-1], seconds[-1], out=found[-1])
    return found.movedim(0, axis)


def _as_large(above: Tensor, current: Tensor) -> Tensor:
    """A deeper block's map, each value for as many pixels as it stands for."""
    if above.shape == current.shape:
        return above
    height, width = current.shape[-2:]
    return functional.interpolate(above, scale_factor=2, mode="nearest")[..., :height, :width]
