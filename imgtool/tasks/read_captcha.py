"""The text of a captcha, and how sure it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from imgtool.imaging.color import luma
from imgtool.imaging.picture import Picture, laid_on_white
from imgtool.imaging.tensors import resize, to_image
from imgtool.losses.ctc import text_losses
from imgtool.nn.captcha_reader import FRAME, CaptchaReader
from imgtool.options.captcha_reader import CaptchaReadOptions
from imgtool.runtime.device import autocast
from imgtool.tasks.decode_text import Text, beam_search, best_path

DEFAULTS = CaptchaReadOptions()
TOGETHER = 64  # pictures of one width that are read at once
WIDEST = 64  # times as wide as high: what is wider is no line of text


@dataclass(frozen=True)
class Reader:
    """A network and what its classes mean.

    Attributes:
        network: see `CaptchaReader`; it lies on the device where it runs.
        alphabet: the characters of its classes from 1 on.
        dtype: of its convolutions.
    """

    network: CaptchaReader
    alphabet: str
    dtype: torch.dtype = torch.float32

    def spelled(self, text: Text) -> str:
        """Classes as characters."""
        return "".join(self.alphabet[each - 1] for each in text)

    @torch.inference_mode()
    def logits(self, image: Tensor) -> Tensor:
        """Logits of each frame, on the CPU: (N, 1, height, W) to (N, W / 8, classes)."""
        device = self.network.head.weight.device
        with autocast(device, self.dtype):
            frames = self.network.frames(image.to(device))
        return self.network.heads(frames)[1].cpu()


@dataclass(frozen=True)
class Reading:
    """What stands in a picture.

    Attributes:
        text: the likeliest that was found.
        confidence: its probability, of all texts together 1.
    """

    text: str
    confidence: float


def read_captcha(picture: Picture, reader: Reader, options: CaptchaReadOptions = DEFAULTS) -> Reading:
    """The text of one picture of any size.

    Args:
        picture: of one line of text.
        reader: as `load_reader` returns it.
        options: see `CaptchaReadOptions`.
    """
    return next(read_captchas([seen(picture, reader.network.height)], reader, options))


def read_captchas(
    images: Iterable[Tensor], reader: Reader, options: CaptchaReadOptions = DEFAULTS
) -> Iterator[Reading]:
    """The text of each image, (1, 1, height, W) as `seen` makes them."""
    for together in batches(images):
        for logits in reader.logits(together):
            text, log_probability = likeliest(logits, options)
            yield Reading(reader.spelled(text), min(1.0, float(torch.tensor(log_probability).exp())))


def likeliest(logits: Tensor, options: CaptchaReadOptions = DEFAULTS) -> tuple[Text, float]:
    """The likeliest text of (T, K) logits, and the logarithm of its probability over all paths.

    The texts of the beam are weighed again, for a path that was dropped on the way may count.
    """
    known, beam = logits.log_softmax(-1).numpy(), options.beam
    found = [best_path(known)] if beam == 1 else [text for text, _ in beam_search(known, beam)]
    if options.length is not None:
        low, high = options.length
        found = [text for text in found if low <= len(text) <= high] or found
    losses = text_losses(logits.expand(len(found), -1, -1), found)
    best = int(losses.argmin())
    return found[best], -float(losses[best])


def seen(picture: Picture, height: int) -> Tensor:
    """A picture as a reader sees it: luma at one height, its last column repeated to fill the last frame.

    Returns:
        (1, 1, height, W) in [0, 1], W a multiple of `FRAME`.
    Raises:
        ValueError: it is far wider than a line of text.
    """
    pixels = picture.pixels if picture.alpha is None else laid_on_white(picture.pixels, picture.alpha)
    rows, columns = pixels.shape[:2]
    if columns > WIDEST * rows:
        raise ValueError(f"{columns}x{rows} pixels are no line of text")
    image = resize(luma(to_image(pixels)), (height, max(1, round(columns * height / rows))))
    return widened(image, -(-image.shape[-1] // FRAME) * FRAME)


def widened(image: Tensor, width: int) -> Tensor:
    """An image (N, C, H, W) with its last column repeated up to a width."""
    return functional.pad(image, (0, width - image.shape[-1], 0, 0), mode="replicate")


def batches(images: Iterable[Tensor]) -> Iterator[Tensor]:
    """Neighbours of one width together, in their order."""
    waiting: list[Tensor] = []
    for image in images:
        if waiting and (len(waiting) == TOGETHER or waiting[0].shape != image.shape):
            yield torch.cat(waiting)
            waiting = []
        waiting.append(image)
    if waiting:
        yield torch.cat(waiting)


def margin(
    logits: Tensor, label: Sequence[int], options: CaptchaReadOptions = DEFAULTS
) -> tuple[Text, float]:
    """The likeliest text of (T, K) logits, and by how many nats it is likelier than a label.

    Infinite for a label that has no room; 0 where the label is the likeliest text.
    """
    text, best = likeliest(logits, options)
    given = -float(text_losses(logits[None], [label])[0])
    return text, max(0.0, best - given)
