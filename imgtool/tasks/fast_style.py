"""Repaint a photo of any size in one pass of a trained network."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from imgtool.errors import OptionError
from imgtool.imaging.color import keep_chroma
from imgtool.imaging.picture import Samples
from imgtool.imaging.tensors import fit, resize, to_image, to_pixels
from imgtool.nn.style_net import LEAST, STRIDE, Statistics, StyleNet
from imgtool.options.fast_style import FastStyleOptions

STRIP_PIXELS = 1 << 21  # of what is worked on at once at half the size and above
HALO = 2  # rows at a quarter of the size that a strip sees above and below itself
# For each pixel at the peak: numbers of a strip, numbers and bytes of the picture, whose features at a quarter are
# held whole.
STRIP_NUMBERS, PICTURE_NUMBERS, PICTURE_BYTES = 60, 16, 12

# Told of each strip that is done, and how many there are.
OnStrip = Callable[[int, int], None]


@dataclass(frozen=True)
class Painter:
    """A network that repaints, and what its styles are called."""

    network: StyleNet
    styles: tuple[str, ...]

    def mix(self, blend: Mapping[str, float]) -> Tensor:
        """(S,) shares of the styles; of the first alone where nothing is asked for.

        Raises:
            OptionError: it knows no such style.
        """
        for name in blend:
            if name not in self.styles:
                hint = "weights follow an =, as in a=0.6,b=0.4" if ":" in name else None
                raise OptionError(
                    "blend", f"no style {name!r}; choose from {', '.join(self.styles)}", hint=hint
                )
        blend = blend or {self.styles[0]: 1.0}
        most = max(blend.values())  # of sums, huge weights have none
        total = sum(weight / most for weight in blend.values())
        shares = [blend.get(name, 0.0) / most / total for name in self.styles]
        return torch.tensor(shares, dtype=torch.float32, device=self.network.first.weight.device)


@dataclass(frozen=True)
class Strip:
    """Some rows of a picture, in rows at a quarter of its size.

    Attributes:
        kept: begin and end of those that it is about.
        seen: likewise, with those around.
    """

    kept: tuple[int, int]
    seen: tuple[int, int]

    def inner(self, factor: int) -> slice:
        """The kept part of what is seen, where a row is `factor` rows."""
        return slice((self.kept[0] - self.seen[0]) * factor, (self.kept[1] - self.seen[0]) * factor)

    def of(self, features: Tensor) -> Tensor:
        """What is seen of a picture's features at a quarter."""
        return features[:, :, slice(*self.seen)]


@torch.inference_mode()
def fast_style(
    pixels: Samples,
    options: FastStyleOptions,
    *,
    painter: Painter,
    strip_pixels: int = STRIP_PIXELS,
    on_strip: OnStrip = lambda done, total: None,
) -> Samples:
    """A photo repainted.

    Large photos are worked on in strips, with the statistics of the whole: in fp32 the result is that of the whole,
    but for the order in which sums are rounded.

    Args:
        pixels: (H, W, 3), uint8 or uint16, of at least one pixel.
        options: see `FastStyleOptions`.
        painter: where its network is, the work is done.
        strip_pixels: how many are worked on at once.
        on_strip: told of progress.
    Returns:
        (H', W', 3) uint8, at `options.size`.
    """
    if options.size is not None:
        size = fit((pixels.shape[0], pixels.shape[1]), options.size)
        pixels = to_pixels(resize(to_image(pixels), size))
    result = np.empty(pixels.shape, np.uint8)
    mix = painter.mix(options.blend)
    for begin, painted in _Passes(pixels, painter.network, mix, strip_pixels, on_strip).painted():
        rows = slice(begin, begin + painted.shape[2])
        photo = to_image(pixels[rows])
        image = painted[..., : photo.shape[2], : photo.shape[3]].cpu()
        if options.preserve_color:
            image = keep_chroma(image, photo)
        if options.strength < 1:
            image = torch.lerp(photo, image, options.strength)
        result[rows] = to_pixels(image)
    return result


class _Passes:
    """The passes over the strips of a picture: two until features are at a quarter, and two from there."""

    def __init__(
        self, pixels: Samples, network: StyleNet, mix: Tensor, strip_pixels: int, on_strip: OnStrip
    ) -> None:
        self.pixels, self.network, self.mix, self.on_strip = pixels, network, mix, on_strip
        height, self.width = (max(LEAST, -(-side // STRIDE) * STRIDE) for side in pixels.shape[:2])
        rows, end = max(1, strip_pixels // (self.width * STRIDE)), height // STRIDE
        self.strips = [_strip(begin, begin + rows, end) for begin in range(0, end, rows)]
        self.done = 0

    def painted(self) -> Iterator[tuple[int, Tensor]]:
        """The result from the top: the first row of each strip, and the strip (1, 3, H, W)."""
        if len(self.strips) == 1:
            yield 0, self.network(self._image(self.strips[0]), self.mix)
            self.on_strip(1, 1)
            return
        features = self.network.transform(self._encoded(), self.mix)
        raised = (self.network.raised(strip.of(features))[:, :, strip.inner(2)] for strip in self._told())
        statistics = statistics_of(raised)
        for strip in self._told():
            image = self.network.decode(strip.of(features), self.mix, statistics)
            yield strip.kept[0] * STRIDE, image[:, :, strip.inner(STRIDE)]

    def _encoded(self) -> Tensor:
        """Features of the whole picture at a quarter of its size."""
        halved = (self.network.halved(self._image(strip))[:, :, strip.inner(2)] for strip in self._told())
        statistics = statistics_of(halved)
        parts = [
            self.network.encode(self._image(strip), self.mix, statistics)[:, :, strip.inner(1)]
            for strip in self._told()
        ]
        return torch.cat(parts, dim=2)

    def _told(self) -> Iterator[Strip]:
        """The strips, each told of when it is done."""
        for strip in self.strips:
            yield strip
            self.done += 1
            self.on_strip(self.done, 4 * len(self.strips))

    def _image(self, strip: Strip) -> Tensor:
        """What the network sees in a strip, (1, 3, H, W); what is missing to the picture's sides is mirrored."""
        top, bottom = (row * STRIDE for row in strip.seen)
        seen = self.pixels[top:bottom]
        missing = (0, bottom - top - len(seen)), (0, self.width - seen.shape[1]), (0, 0)
        return to_image(np.pad(seen, missing, mode="symmetric")).to(self.mix.device)


def _strip(begin: int, end: int, height: int) -> Strip:
    """The strip that keeps `begin` to before `end` of `height` rows, if there are so many."""
    end = min(end, height)
    return Strip((begin, end), (max(0, begin - HALO), min(height, end + HALO)))


def statistics_of(parts: Iterable[Tensor]) -> Statistics:
    """Mean and variance of each channel over the parts of a picture, each (1, C, H, W)."""
    count, mean, squares = 0, torch.zeros(()), torch.zeros(())
    for part in parts:
        # In doubles, and about the mean: sums of squares would lose what a small variance is made of.
        variance, own = (each.double() for each in torch.var_mean(part.float(), (0, 2, 3), correction=0))
        places = part.shape[2] * part.shape[3]
        apart = own - mean.to(own)
        squares = squares.to(own) + variance * places + apart**2 * (count * places / (count + places))
        mean, count = mean.to(own) + apart * (places / (count + places)), count + places
    return Statistics(mean.float(), (squares / count).float())


def memory_needed(size: tuple[int, int], painter: Painter) -> int:
    """Bytes that `fast_style` needs at its peak, besides what the process has taken already.

    Args:
        size: (height, width) of the result.
        painter: the one that will be used.
    """
    pixels, weight = size[0] * size[1], painter.network.first.weight
    numbers = min(pixels, STRIP_PIXELS) * STRIP_NUMBERS + pixels * PICTURE_NUMBERS
    return int(numbers * painter.network.width / 24 * weight.element_size()) + pixels * PICTURE_BYTES
