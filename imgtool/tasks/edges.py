"""HED edge probabilities of a picture of any size."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from imgtool.imaging.picture import Samples, to_8_bits
from imgtool.imaging.tensors import to_image
from imgtool.imaging.tiling import Tiling
from imgtool.nn.hed import HED, LEAST, OUTPUTS, STRIDE
from imgtool.options.edges import EDGE_TILE, EdgesOptions
from imgtool.runtime.device import has_memory, require_memory, step_down

# Told of each tile that is done, and how many there are.
OnTile = Callable[[int, int], None]
Probabilities = NDArray[np.float32]


@dataclass(frozen=True)
class EdgesResult:
    """Maps of edge probability by kind, each (H, W) in [0, 1]."""

    maps: Mapping[str, Probabilities]


def edges(
    pixels: Samples, options: EdgesOptions, *, network: HED, on_tile: OnTile = lambda done, total: None
) -> EdgesResult:
    """Where the edges of a picture are.

    In fp32 a picture in tiles has the same map as the whole one, but for the order in which sums are rounded.

    Two things depart from the package that the weights `hed` come from: at the border features are reflected, where
    theirs are zero and draw a frame; and where a picture is plain, see `PLAIN`, it has no edges.

    Args:
        pixels: (H, W, 3), uint8 or uint16, of at least one pixel.
        options: see `EdgesOptions`.
        network: where it is, the work is done.
        on_tile: told of progress.
    Reference:
        Xie & Tu 2015, Holistically-nested edge detection. https://arxiv.org/abs/1504.06375
    """
    pixels = to_8_bits(pixels)
    height, width = pixels.shape[:2]
    tiling = tiling_of(with_tile(options, (height, width), network), network)
    sizes = [_scaled((height, width), scale) for scale in options.scales]
    total, done = sum(tiling.count(*size) for size in sizes), 0
    maps: dict[str, Probabilities] = {}
    for size in sizes:
        scaled = _resized(pixels, size)
        current = {kind: np.empty(size, np.float32) for kind in options.kinds}
        for tile in tiling.tiles(*size):
            seen = _probabilities(network, tiling.cut(scaled, tile), options.kinds)
            for kind, probabilities in seen.items():
                current[kind][tile.place] = probabilities[tile.inner].cpu().numpy()
            done += 1
            on_tile(done, total)
        for kind in options.kinds:
            _add(maps, kind, _resized(current.pop(kind), (height, width)), 1 / len(sizes))
    return EdgesResult(maps)


def with_tile(options: EdgesOptions, size: tuple[int, int], network: HED) -> EdgesOptions:
    """The options with a side of tiles: one for all of a picture of (height, width), if that is no large one.

    Without a halo between tiles `hed` takes half of the time at two megapixels, and `hed-lite` a third.
    """
    if options.tile is not None:
        return options
    side = max(STRIDE, *(math.ceil(each * max(options.scales)) for each in size))
    whole = replace(options, tile=-(-side // STRIDE) * STRIDE)
    pixels = size[0] * size[1] * max(options.scales) ** 2
    fits = pixels <= WHOLE_PIXELS and _tile_bytes(size, whole, network) <= WHOLE_BYTES
    return whole if fits else replace(options, tile=EDGE_TILE)


def tiling_of(options: EdgesOptions, network: HED) -> Tiling:
    """How pictures are cut for a network, of options with a tile."""
    assert options.tile is not None
    return Tiling(side=options.tile, reach=network.reach, stride=STRIDE, least=LEAST, multiple=network.cell)


# Copies of the widest maps at the peak: fitted to the command's memory at 12 megapixels with tiles of 512 to 1024.
FEATURE_COPIES = 8
OUTPUT_BYTES = 64  # for each pixel of a tile, of the maps at its size
# Up to both of these a picture is one tile: about 2 megapixels of `hed` in bf16, 4 of `hed-lite`.
WHOLE_BYTES, WHOLE_PIXELS = 2.3e9, 2**22
PICTURE_BYTES = 12  # for each pixel of the whole picture: itself, and what is written


def memory_needed(size: tuple[int, int], options: EdgesOptions, network: HED) -> int:
    """Bytes that `edges` needs at its peak, besides what the process has taken already.

    Args:
        size: (height, width) of the picture.
        options: those of the task.
        network: the one that will be used.
    """
    return _tile_bytes(size, options, network) + _picture_bytes(size, options)


def _tile_bytes(size: tuple[int, int], options: EdgesOptions, network: HED) -> int:
    assert options.tile is not None
    largest = max(options.scales)
    rows, columns = (min(options.tile + 2 * network.reach, math.ceil(side * largest)) for side in size)
    channels = network.widths[0] + network.decoder
    features = FEATURE_COPIES * channels * network.get_parameter("conv1_1.weight").dtype.itemsize
    return rows * columns * (features // network.cell**2 + OUTPUT_BYTES)


def _picture_bytes(size: tuple[int, int], options: EdgesOptions) -> int:
    largest = max(options.scales) ** 2
    return int(size[0] * size[1] * (PICTURE_BYTES + 4 * len(options.kinds)) * max(1, largest))


def edges_that_fit(
    pixels: Samples,
    options: EdgesOptions,
    *,
    network: HED,
    on_tile: OnTile = lambda done, total: None,
    on_smaller: Callable[[int], None] = lambda tile: None,
) -> tuple[EdgesResult, EdgesOptions]:
    """`edges`, in tiles of half the side if memory does not suffice for those that were asked for.

    Args:
        pixels: see `edges`.
        options: see `EdgesOptions`.
        network: see `edges`.
        on_tile: told of progress.
        on_smaller: told of a smaller tile before it is tried.
    Returns:
        The maps, and the options that they were made with.
    Raises:
        DeviceError: memory does not suffice for the smaller tiles either; its hint is the option that helps most.
    """
    device, size = network.mean.device, (pixels.shape[0], pixels.shape[1])
    if options.tile is None:
        options = with_tile(options, size, network)
        if not has_memory(device, memory_needed(size, options, network)):
            options = replace(options, tile=EDGE_TILE)
    assert options.tile is not None
    halved = replace(options, tile=max(STRIDE, min(options.tile // 2, EDGE_TILE)))
    hint = _leaner(size, halved, network)
    require_memory(device, memory_needed(size, halved, network), hint=hint)
    tries = [options, halved]
    if not has_memory(device, memory_needed(size, options, network)):
        tries = [halved]
        on_smaller(_side(halved))

    def run(choice: EdgesOptions) -> tuple[EdgesResult, EdgesOptions]:
        return edges(pixels, choice, network=network, on_tile=on_tile), choice

    return step_down(run, tries, say=lambda choice: on_smaller(_side(choice)), hint=hint)


def _side(options: EdgesOptions) -> int:
    assert options.tile is not None
    return options.tile


def _leaner(size: tuple[int, int], options: EdgesOptions, network: HED) -> str:
    """The option that saves the most memory."""
    smaller = _side(options) // 2 // STRIDE * STRIDE
    if smaller and _tile_bytes(size, options, network) > _picture_bytes(size, options):
        return f"--tile {smaller}"
    if max(options.scales) > 1:
        return "--scales 1"
    return "a single --kind" if len(options.kinds) > 1 else "a smaller picture"


@torch.inference_mode()
def _probabilities(network: HED, pixels: Samples, kinds: Sequence[str]) -> dict[str, Tensor]:
    """Of each kind, (H, W)."""
    image = to_image(pixels).to(network.mean.device)
    outputs, present = network(image)[0].sigmoid_(), _presence(image)[0, 0]
    return {kind: _of_kind(outputs, kind) * present for kind in kinds}


# In a plain picture there is nothing that a network could go by, and some then guess: `hed` says .3 to .5 to a plain
# colour close to the mean that it subtracts. Where the pixels within two of its strides differ by less than this, its
# probabilities fade to nothing, in proportion; elsewhere, in 99.6 % of the photos of BSDS500, they are its own.
PLAIN = 8 / 255


def _presence(image: Tensor) -> Tensor:
    """(N, 1, H, W) in [0, 1]: 0 where a picture (N, 3, H, W) is plain, 1 where it is not."""
    height, width = image.shape[-2:]
    padded = functional.pad(image, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
    highest, lowest = (_by_cell(_by_cell(padded, 2, pick), 3, pick) for pick in (torch.amax, torch.amin))
    around = functional.max_pool2d(torch.cat((highest, -lowest), dim=1), 3, stride=1, padding=1)
    contrast = (around[:, :3] + around[:, 3:]).amax(dim=1, keepdim=True)
    present = functional.interpolate((contrast / PLAIN).clamp(max=1), scale_factor=STRIDE, mode="bilinear")
    return present[..., :height, :width]


def _by_cell(image: Tensor, axis: int, pick: Callable[..., Tensor]) -> Tensor:
    """Of each `STRIDE` pixels along an axis the one that is picked."""
    shape = image.shape
    picked: Tensor = pick(image.reshape(*shape[:axis], -1, STRIDE, *shape[axis + 1 :]), dim=axis + 1)
    return picked


def _of_kind(probabilities: Tensor, kind: str) -> Tensor:
    """(H, W) of one kind; the average is of the fusion and the five sides, as the paper tests."""
    return probabilities.mean(dim=0) if kind == "average" else probabilities[OUTPUTS.index(kind)]


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _resized(values: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Pixels or a map at another (height, width), free of aliases."""
    if values.shape[:2] == size:
        return values
    method = Image.Resampling.BICUBIC if values.ndim == 3 else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(values).resize((size[1], size[0]), method))


def _add(maps: dict[str, Probabilities], kind: str, values: Probabilities, weight: float) -> None:
    """Add to a mean, in place."""
    if weight == 1:
        maps[kind] = values
    elif kind in maps:
        maps[kind] += values * np.float32(weight)
    else:
        maps[kind] = values * np.float32(weight)
