"""How `imgtool stylize` fits into memory: options that take less and less of it, and which to begin with."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from imgtool.cli.console import console
from imgtool.imaging.tensors import fit
from imgtool.options.stylize import StylizeOptions
from imgtool.runtime.device import Device, has_memory, memory_available, require_memory
from imgtool.tasks.stylize import memory_needed

TILES = (1024, 512, 384)  # pixels of a tile's side where the whole picture is too much
HISTORIES = (5, 2)  # pairs of L-BFGS where more are too much; two are enough to go on
WORTH_TILES = 2  # pictures of fewer tiles than this are worked on whole
# Bytes that the process takes on a processor without being asked, those of them that torch takes, and the share of
# free memory that the whole of a picture may take: that is faster than tiles, but the machine is not for it alone.
MODEST, LOADED, WHOLE_SHARE = 3e9, 6e8, 0.25


def leaner(options: StylizeOptions, size: tuple[int, int]) -> list[StylizeOptions]:
    """Options that take less and less memory for a result of (height, width), the given ones first.

    Tiles give the same picture but for rounding, so they come before a shorter memory of the way. The recipe tells
    which it was, also if it was the whole of a picture that is large enough for tiles.
    """
    smaller: list[int | None] = []
    if options.tile is None:
        smaller = [tile for tile in TILES if size[0] * size[1] > WORTH_TILES * tile**2]
    first = replace(options, tile=max(size)) if smaller else options
    histories = [options.history, *(each for each in HISTORIES if each < options.history)]
    tries = [
        replace(options, tile=tile, history=history)
        for history in histories
        for tile in smaller or [options.tile]
    ]
    return [first, *(each for each in tries if each != first)]


def fitting(
    options: StylizeOptions,
    size: tuple[int, int],
    styles: Sequence[tuple[int, int]],
    device: Device,
    *,
    keep_history: bool,
    hint: str,
) -> list[StylizeOptions]:
    """The options to begin with, and then leaner ones, but for those that certainly need more memory than there is.

    Args:
        options: as given.
        size: (height, width) of the result.
        styles: (height, width) of the style pictures as they are worked on.
        device: of the work.
        keep_history: the history was asked for, and is cut only where memory does not suffice.
        hint: the option that helps when nothing fits.
    Raises:
        DeviceError: there is too little memory for all of them.
    """

    def needed(one: StylizeOptions) -> int:
        return memory_needed(size, one, device.dtype, styles)

    def peak(one: StylizeOptions) -> float:
        return needed(one) + LOADED

    tries = leaner(options, size)
    require_memory(device.torch, min(map(needed, tries)), hint=hint)
    fit = [one for one in tries if has_memory(device.torch, needed(one))] or tries[-1:]
    if options.tile is None and device.torch.type == "cpu" and not _is_modest(peak(tries[0])):
        kept = [one for one in fit if one.history == options.history or not keep_history]
        fit = [one for one in kept if peak(one) <= MODEST] or kept[-1:] or fit[-1:]
    if fit[0] != tries[0]:
        gigabytes = f"{peak(fit[0]) / 1e9:.1f} GB instead of {peak(tries[0]) / 1e9:.1f}"
        console.say(f"large: with {lean(fit[0])}, for {gigabytes}; --tile says otherwise")
    return fit


def _is_modest(peak: float) -> bool:
    """Whether a process that works on a processor may take so many bytes without being asked."""
    available = memory_available(torch.device("cpu"))
    return peak <= max(MODEST, WHOLE_SHARE * (available or math.inf))


def lean(options: StylizeOptions) -> str:
    """What makes options lean, as it is typed."""
    tile = "" if options.tile is None else f"--tile {options.tile} "
    return f"{tile}--history {options.history}"


def say_leaner(options: StylizeOptions) -> None:
    """Tell that memory ran out."""
    console.warn(f"out of memory; once more with {lean(options)}")


def smaller(
    options: StylizeOptions, size: tuple[int, int], styles: Sequence[tuple[int, int]], device: Device
) -> int:
    """The longest side of a result that fits; at most 0.7 of that of (height, width), for half of the memory."""
    side, fits = max(size), False
    while side > 1 and not fits:
        side = int(side * 0.7)
        tries = leaner(options, fit(size, side))
        least = min(memory_needed(fit(size, side), each, device.dtype, styles) for each in tries)
        fits = has_memory(device.torch, least)
    return side
