"""3x3 convolutions with fewer multiplications, for inference on processors."""

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH = 128  # channels, in and out, from which the multiplications that are saved outweigh the sums before and after
CHUNK = 2**21  # bytes of features that are worked on at a time: what they grow to stays in the cache

# What a kernel's three rows, or columns, are multiplied by in each of the four products.
KERNEL = ((1.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.0, 0.0, 1.0))


class Winograd(nn.Module):
    """The same as a 3x3 convolution of reflected features, in 4 multiplications for each 9; without gradients.

    Each 2x2 pixels of the result come from 4x4 of the features: these are summed up to 16 numbers, each of which is
    multiplied by one number of the kernel, and the products are summed up to the four pixels. All tiles and channels
    together, that is 16 products of matrices.

    Args:
        convolution: of stride 1, with a bias.
    Reference:
        Lavin & Gray 2016, F(2x2, 3x3), https://arxiv.org/abs/1509.09308
    """

    kernels: Tensor
    bias: Tensor

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        weight, bias = convolution.weight.detach(), convolution.get_parameter("bias").detach()
        sums = torch.tensor(KERNEL, dtype=weight.dtype, device=weight.device)
        kernels = torch.kron(sums, sums) @ weight.permute(3, 2, 1, 0).flatten(0, 1).flatten(1)
        self.register_buffer("kernels", kernels.view(16, weight.shape[1], weight.shape[0]))
        self.register_buffer("bias", bias)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) of at least 2x2 to (N, K, H, W), channels last."""
        height, width = features.shape[-2:]
        odd = height % 2, width % 2
        padded = functional.pad(features, (1, 1 + odd[1], 1, 1 + odd[0]), mode="reflect").permute(0, 2, 3, 1)
        channels = self.kernels.shape[2]
        found = padded.new_empty(len(features), height + odd[0], width + odd[1], channels)
        row = found.shape[2] * max(channels, features.shape[1]) * found.element_size()
        rows = max(2, CHUNK // row // 2 * 2)
        for image, result in zip(padded, found, strict=True):
            for top in range(0, len(result), rows):
                self._convolve(image[top : top + rows + 2], result[top : top + rows])
        return found.permute(0, 3, 1, 2)[..., :height, :width]

    def _convolve(self, image: Tensor, out: Tensor) -> None:
        """(2R + 2, 2S + 2, C) to (2R, 2S, K)."""
        height, width, channels = out.shape
        tiles = _tiles(_tiles(image, axis=0), axis=2)
        products = torch.bmm(tiles.view(16, -1, image.shape[2]), self.kernels)
        products[5] += self.bias  # which goes into each of the four pixels once
        columns = products.view(4, 4, height // 2, width // 2, channels)
        _pixels(_pixels(columns, 2, out.new_empty(4, height // 2, width, channels)), 0, out)


def _tiles(values: Tensor, axis: int) -> Tensor:
    """What the pixels of an axis, 2n + 2, sum up to in n tiles: the four sums come first."""
    shape = (4, *values.shape[:axis], values.shape[axis] // 2 - 1, *values.shape[axis + 1 :])
    found = values.new_empty(shape)
    pixels, sums = values.movedim(axis, 0), found.movedim(axis + 1, 1)
    first, second, third, fourth = pixels[:-2:2], pixels[1:-2:2], pixels[2::2], pixels[3::2]
    torch.sub(first, third, out=sums[0])
    torch.add(second, third, out=sums[1])
    torch.sub(third, second, out=sums[2])
    torch.sub(second, fourth, out=sums[3])
    return found


def _pixels(products: Tensor, axis: int, out: Tensor) -> Tensor:
    """What four products for each of n tiles sum up to in the 2n pixels of an axis of `out`."""
    first, second, third, fourth = (each.movedim(axis, 0) for each in products)
    pixels = out.movedim(axis, 0)
    torch.add(first, second, out=pixels[0::2]).add_(third)
    torch.sub(second, third, out=pixels[1::2]).sub_(fourth)
    return out
