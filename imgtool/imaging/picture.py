"""A picture as it is read from a file or written to one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

STRIP_SAMPLES = 1 << 22  # worked on at once
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, of gamma-coded samples
Samples: TypeAlias = NDArray[Any]  # uint8 in [0, 255] or uint16 in [0, 65535]


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels in sRGB, upright, with their transparency apart.

    Attributes:
        pixels: (H, W, 3), uint8 in [0, 255], or uint16 in [0, 65535] when the file carries 16 bits.
        alpha: (H, W) of the same dtype, 0 is transparent; None when the file knows no transparency.
            Pixels are not multiplied by it.
        notes: What the user should be told about how the file was understood, one sentence each.

    Raises:
        ValueError: The arrays do not have these shapes and types.
    """

    pixels: Samples
    alpha: Samples | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape, dtype = self.pixels.shape, self.pixels.dtype
        if len(shape) != 3 or shape[2] != 3 or 0 in shape:
            raise ValueError(f"pixels must be (H, W, 3) and not empty, got {shape}")
        if dtype not in (np.uint8, np.uint16):
            raise ValueError(f"pixels must be uint8 or uint16, got {dtype}")
        if self.alpha is not None and (self.alpha.shape != shape[:2] or self.alpha.dtype != dtype):
            raise ValueError(f"alpha must be {shape[:2]} {dtype}, got {self.alpha.shape} {self.alpha.dtype}")

    @classmethod
    def gray(cls, levels: Samples, alpha: Samples | None = None) -> Self:
        """A picture of one channel, (H, W): its three are one in memory, and files get one where they can."""
        return cls(np.broadcast_to(levels[..., None], (*levels.shape, 3)), alpha)

    @property
    def is_gray(self) -> bool:
        """Whether it was made as one channel; a colour picture that happens to be grey is none."""
        return self.pixels.strides[2] == 0

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])


def to_8_bits(samples: NDArray[Any]) -> NDArray[np.uint8]:
    """Samples of 8 or 16 bits as 8 bits: 65535 becomes 255, and the nearest value is taken."""
    if samples.dtype == np.uint8:
        return samples
    reduced = np.empty(samples.shape, np.uint8)
    rows = max(1, STRIP_SAMPLES // max(1, samples[0].size))
    for top in range(0, len(samples), rows):
        # Exactly round(v / 257), without a wider copy than 32 bits
        reduced[top : top + rows] = (samples[top : top + rows].astype(np.uint32) + 128) // 257
    return reduced


def to_16_bits(samples: NDArray[Any]) -> NDArray[np.uint16]:
    """Samples of 8 or 16 bits as 16 bits: 255 becomes 65535."""
    return samples if samples.dtype == np.uint16 else samples.astype(np.uint16) * np.uint16(257)


def laid_on_white(pixels: Samples, alpha: Samples) -> Samples:
    """Pixels (H, W, 3) laid on white by their alpha (H, W), as a browser shows them."""
    full = int(np.iinfo(pixels.dtype).max)
    weight = alpha[..., None].astype(np.uint32)
    mixed = (pixels * weight + full * (full - weight) + full // 2) // full
    return mixed.astype(pixels.dtype)


def on_white(picture: Picture) -> NDArray[np.uint8]:
    """A picture in 8 bits, (H, W, 3), with what is transparent laid on white."""
    pixels = to_8_bits(picture.pixels)
    return pixels if picture.alpha is None else laid_on_white(pixels, to_8_bits(picture.alpha))
