"""U-Net masks of a picture of any size, the same for every tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imgtool.imaging.raster import Raster
from imgtool.imaging.tiling import Span, ValidTiling, cut_columns, mirrored
from imgtool.nn.unet import UNet
from imgtool.options.segment import SegmentOptions
from imgtool.runtime.device import require_memory, step_down

Result = TypeVar("Result")

# Told of each tile that is done, and how many there are.
OnTile = Callable[[int, int], None]
Probabilities = NDArray[np.float32]
PROBE_SIDE = 196  # pixels of a probe's output: 380 of its window with four poolings
# Least side of a window's output: below it, oneDNN takes kernels for fp32 that add up in another order; those for
# bf16 never do. Found with widths of 4 to 16, 1 to 4 poolings and sides of 20 to 560.
LEAST_OUTPUT = {torch.float32: 388}
LEAST_TILE = 16  # pixels: below it, a smaller tile takes hardly less memory
SPREAD = 5  # standard deviations from black to white, of samples that are no bytes
FLAT = 1e-6  # a deviation below it is none


@dataclass(frozen=True)
class Segmenter:
    """A U-Net and what its checkpoint says about it.

    Attributes:
        network: on its device, in fp32.
        dtype: in which it works.
        classes: their names; the first is background.
        threshold: of the probability of being no background.
        objects: whether its second class is the inside of objects and the third their rim.
        probes: whether each picture's own statistics, taken from fixed probes of it, normalise its features.
    """

    network: UNet
    dtype: torch.dtype
    classes: tuple[str, ...]
    threshold: float = 0.5
    objects: bool = False
    probes: bool = False


@dataclass(frozen=True)
class Scale:
    """What a picture's samples are reduced by: mean and standard deviation of each channel, over the whole of it."""

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]

    def __call__(self, samples: NDArray[Any]) -> Tensor:
        """(H, W, C) as (1, C, H, W) of mean 0 and variance 1."""
        reduced = (samples.astype(np.float32) - self.mean) / self.deviation
        return torch.from_numpy(np.ascontiguousarray(reduced.transpose(2, 0, 1)[None]))

    def viewable(self, samples: NDArray[Any]) -> NDArray[np.uint8]:
        """(H, W, C) as pixels to look at, (H, W, 3): bytes as they are, all else by its spread."""
        samples = samples[..., :3] if samples.shape[2] >= 3 else samples[..., :1]
        if samples.dtype != np.uint8:
            channels = samples.shape[2]
            spread = (samples.astype(np.float32) - self.mean[:channels]) / self.deviation[:channels]
            samples = np.rint(np.clip(spread / SPREAD + 0.5, 0, 1) * 255).astype(np.uint8)
        return np.broadcast_to(samples, (*samples.shape[:2], 3))


def scale_of(raster: Raster) -> Scale:
    """The statistics of a whole picture, read in strips.

    Raises:
        ValueError: it has none, for it holds NaN, infinity or numbers close to it.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = (each.astype(np.float32) for each in _moments(raster))
    if not (np.isfinite(mean).all() and np.isfinite(deviation).all()):
        raise ValueError("it holds NaN or infinity, or numbers too large for 32 bits")
    flat = deviation <= FLAT * np.maximum(1, np.abs(mean))
    return Scale(mean, np.where(flat, np.float32(1), deviation))


def _moments(raster: Raster) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each channel."""
    total = np.zeros(raster.channels)
    squares = np.zeros(raster.channels)
    shift: NDArray[np.float64] | None = None
    for strip in raster.strips():
        samples = strip.reshape(-1, raster.channels)
        if shift is None:
            shift = samples[:1].astype(np.float64)[0]  # near the mean, so that squares lose no digits
        centred = samples.astype(np.float64) - shift
        total += centred.sum(axis=0)
        squares += np.square(centred).sum(axis=0)
    count = raster.height * raster.width
    mean = total / count
    assert shift is not None
    return mean + shift, np.sqrt(np.maximum(squares / count - mean**2, 0))


def tiling_of(network: UNet, tile: int, dtype: torch.dtype) -> ValidTiling:
    """How pictures are cut for a network that works in a type."""
    return ValidTiling(
        side=tile,
        reach=network.halo,
        stride=network.stride,
        output_side=network.output_side,
        least=LEAST_OUTPUT.get(dtype, 1),
    )


def probability_strips(
    raster: Raster,
    segmenter: Segmenter,
    *,
    tile: int,
    tta: bool = False,
    scale: Scale | None = None,
    keep: Callable[[Probabilities], Probabilities] = lambda found: found,
    on_tile: OnTile = lambda done, total: None,
) -> Iterator[tuple[slice, Probabilities]]:
    """Class probabilities of a picture, one row of tiles after the other, from the top.

    Args:
        raster: of the network's number of channels.
        segmenter: see there; where its network is, the work is done.
        tile: side of a tile's output, rounded down to a multiple of the network's stride.
        tta: whether to average over the eight flips and turns of each tile.
        scale: of the picture, if it is known already.
        keep: what of a tile's probabilities (classes, h, w) is kept, (k, h, w): less is less memory.
        on_tile: told of progress.
    Yields:
        Which rows, and what is kept of them, (k, rows, W), which is the same for every `tile`.
    """
    scale = scale or scale_of(raster)
    network = segmenter.network
    if segmenter.probes:
        network = network.normalised_by(_probes(raster, network, scale).to(network.head.weight.device))
    network = network.folded().to(segmenter.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    tiling = tiling_of(network, tile, segmenter.dtype)
    total, done = tiling.count(raster.height, raster.width), 0
    for rows in tiling.spans(raster.height):
        strip = _rows(raster, rows)
        found: Probabilities | None = None
        for columns in tiling.spans(raster.width):
            window = scale(cut_columns(strip, columns))
            seen = _averaged(network, window) if tta else _softmax(network, window)
            kept = keep(seen[:, rows.inner, columns.inner])
            if found is None:
                found = np.empty((*kept.shape[:2], raster.width), np.float32)
            found[:, :, columns.place] = kept
            done += 1
            on_tile(done, total)
        assert found is not None
        yield rows.place, found
        del strip, found  # before the next ones are made


def probabilities(raster: Raster, segmenter: Segmenter, **options: Any) -> Probabilities:
    """Class probabilities of a whole picture, (classes, H, W), in memory; see `probability_strips`."""
    return np.concatenate([strip for _, strip in probability_strips(raster, segmenter, **options)], axis=1)


def foreground(found: Probabilities) -> Probabilities:
    """The probability of being no background, (H, W); of one plane alone, that plane."""
    front: Probabilities = 1 - found[0] if len(found) > 2 else found[-1]
    return front


def classes_of(found: Probabilities, threshold: float) -> NDArray[np.uint8]:
    """The class of each pixel, (H, W): background where all else is below the threshold, or the likeliest other."""
    inside = foreground(found) >= threshold
    if len(found) < 3:
        return inside.astype(np.uint8)
    return np.where(inside, 1 + found[1:].argmax(axis=0), 0).astype(np.uint8)


def only(found: Probabilities, wanted: Sequence[int]) -> Probabilities:
    """The same probabilities if all but some classes are background."""
    if len(wanted) == len(found) - 1:
        return found
    kept = np.zeros_like(found)
    kept[list(wanted)] = found[list(wanted)]
    kept[0] = 1 - kept.sum(axis=0)
    return kept


# Copies of the widest level's features at the peak: fitted to the command's memory with tiles of 256 to 1024.
FEATURE_COPIES = 8


def memory_needed(raster: Raster, options: SegmentOptions, segmenter: Segmenter, *, whole: bool) -> int:
    """Bytes that `segment` needs at its peak, besides what the process has taken already.

    Args:
        raster: the picture.
        options: those of the task.
        segmenter: the one that will be used.
        whole: whether kinds are asked for that need all of the picture's probabilities at once.
    """
    network = segmenter.network
    least = LEAST_OUTPUT.get(segmenter.dtype, 1)
    rows, columns = (
        max(least, min(options.tile, side)) + 2 * network.halo for side in (raster.height, raster.width)
    )
    tile = rows * columns * network.width * segmenter.dtype.itemsize * FEATURE_COPIES
    strip = rows * raster.width * (raster.channels * raster.dtype.itemsize + 4 * network.classes + 8)
    picture = raster.height * raster.width * (4 * network.classes * 2 + 40) if whole else 0
    return int(tile + strip + picture)


def in_tiles_that_fit(
    run: Callable[[int], Result],
    raster: Raster,
    options: SegmentOptions,
    segmenter: Segmenter,
    *,
    whole: bool,
    on_smaller: Callable[[int], None] = lambda tile: None,
) -> Result:
    """What `run` returns, in tiles of half the side if memory does not suffice for those that were asked for.

    Args:
        run: the work, given the side of a tile.
        raster, options, segmenter, whole: see `memory_needed`.
        on_smaller: told of a smaller tile before it is tried.
    Raises:
        DeviceError: memory does not suffice for the smaller tiles either; its hint is the option that helps.
    """
    halved = max(LEAST_TILE, options.tile // 2)
    hint = "a smaller picture, or --kind mask" if whole else f"--tile {halved}"
    needed = memory_needed(raster, replace(options, tile=halved), segmenter, whole=whole)
    require_memory(segmenter.network.head.weight.device, needed, hint=hint)
    return step_down(run, [options.tile, halved], say=on_smaller, hint=hint)


def overhead(raster: Raster, segmenter: Segmenter, tile: int) -> float:
    """How many pixels the network looks at for each one of a picture: more than 1, for windows overlap."""
    tiling = tiling_of(segmenter.network, tile, segmenter.dtype)
    rows, columns = (
        sum(end - begin for begin, end in (span.window for span in spans))
        for spans in (tiling.spans(raster.height), tiling.spans(raster.width))
    )
    return rows * columns / (raster.height * raster.width)


def _rows(raster: Raster, span: Span) -> NDArray[Any]:
    """What a row of tiles sees, mirrored above and below."""
    places = mirrored(span.window, raster.height)
    if isinstance(places, slice):
        return raster.rows(places.start, places.stop)
    first = int(places.min())
    return raster.rows(first, int(places.max()) + 1)[places - first]


def _probes(raster: Raster, network: UNet, scale: Scale) -> Tensor:
    """Four windows of a picture, in the middles of its quarters; their places do not depend on any tile."""
    side = network.output_side(PROBE_SIDE) + 2 * network.halo
    found = []
    for rows in _quarters(raster.height, side):
        strip = _rows(raster, rows)
        found += [scale(cut_columns(strip, columns)) for columns in _quarters(raster.width, side)]
    return torch.cat(found)


def _quarters(length: int, side: int) -> list[Span]:
    """Windows round one and three quarters of a side."""
    begins = (round(length * share - side / 2) for share in (0.25, 0.75))
    return [Span((begin, begin + side), (0, 0), 0) for begin in begins]


@torch.inference_mode()
def _softmax(network: UNet, window: Tensor) -> Probabilities:
    """(classes, H, W) of a window's middle.

    By NumPy: torch takes another exponential for the last numbers of a row than for the others.
    """
    logits = network(window.to(network.head.weight.device))[0].cpu().contiguous().numpy()
    shares: Probabilities = np.exp(logits - logits.max(axis=0))
    shares /= shares.sum(axis=0)
    return shares


def _averaged(network: UNet, window: Tensor) -> Probabilities:
    """The mean over the eight flips and turns."""
    total: Probabilities | None = None
    for turns in range(4):
        for flip in (False, True):
            turned = torch.rot90(window, turns, (-2, -1))
            seen = _softmax(network, turned.flip(-1) if flip else turned)
            seen = np.rot90(seen[..., ::-1] if flip else seen, -turns, (-2, -1))
            total = seen.copy() if total is None else total + seen
    assert total is not None
    return total / np.float32(8)
