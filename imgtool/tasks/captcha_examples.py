"""Captchas as a reader is trained on them: drawn for the purpose, or labelled by somebody."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from imgtool.data.captcha_set import CaptchaItem
from imgtool.data.kept import Kept
from imgtool.data.order import seen_in
from imgtool.errors import DataError, OptionError
from imgtool.files import printable
from imgtool.imaging.color import luma
from imgtool.imaging.levels import levels
from imgtool.imaging.picture import Picture
from imgtool.imaging.tensors import resize, to_image
from imgtool.losses.ctc import IGNORED, room_needed
from imgtool.nn.captcha_reader import FRAME
from imgtool.tasks.captcha import Captchas
from imgtool.tasks.decode_text import Text
from imgtool.tasks.read_captcha import seen, widened

KEPT_BYTES = 1 << 30  # of labelled pictures that stay in memory
# How far a labelled picture is moved at most: degrees, factor, shear, and shares of its width and height.
TURN, ZOOM, SHEAR, MOVE = 3.0, 0.06, 0.1, (0.03, 0.06)


@dataclass(frozen=True, eq=False)
class Batch:
    """Some captchas and what they say.

    Attributes:
        image: (N, 1, H, W) in [0, 1].
        texts: as classes from 1 on.
        frames: (N, W / 8), the class of each frame as `frame_loss` wants it; None where nobody knows.
    """

    image: Tensor
    texts: Sequence[Text]
    frames: Tensor | None = None


class Examples(Protocol):
    """Captchas that a reader is trained on or judged by.

    Attributes:
        alphabet: all characters of their texts.
    """

    alphabet: str

    def __len__(self) -> int:
        """How many there are."""

    def at(self, numbers: Sequence[int], alphabet: str) -> Batch:
        """Some of them, with texts in the classes of an alphabet."""

    def step(self, number: int, size: int, alphabet: str) -> Batch:
        """What step `number` of a training sees, changed a little if it was seen before."""


class Drawn:
    """Captchas of one style or several in turn, each drawn when it is asked for, and seen once.

    Args:
        styles: what draws them.
        height: that they are scaled to.
        count: how many there are, for a judge.
    Raises:
        OptionError: a text might have no room in its frames.
    """

    def __init__(self, styles: Sequence[Captchas], *, height: int, count: int = 1 << 40) -> None:
        self.styles, self.height, self.count = styles, height, count
        self.alphabet = "".join(sorted({character for style in styles for character in style.alphabet}))
        self.widths = [_width(style, height) for style in styles]
        self.width = -(-max(self.widths) // FRAME) * FRAME

    def __len__(self) -> int:
        return self.count

    def at(self, numbers: Sequence[int], alphabet: str) -> Batch:
        """Captchas by number."""
        images, texts, middles = [], [], []
        for number in numbers:
            index, which = divmod(number, len(self.styles))
            style, width = self.styles[which], self.widths[which]
            images.append(self.image(number))
            texts.append(_classes(style.text(index), alphabet))
            middles.append(style.centers(index)[:, 0] * width / style.options.size[0])
        return Batch(torch.cat(images), texts, frames_of(middles, texts, self.width // FRAME))

    def image(self, number: int) -> Tensor:
        """One of them as wide as all are, (1, 1, height, width) in [0, 1]."""
        index, which = divmod(number, len(self.styles))
        drawn = self.styles[which].draw(index, truth=False)
        return widened(resize(luma(to_image(drawn.pixels)), (self.height, self.widths[which])), self.width)

    def step(self, number: int, size: int, alphabet: str) -> Batch:
        """The next that nobody has seen."""
        return self.at(range(number * size, (number + 1) * size), alphabet)


def _width(style: Captchas, height: int) -> int:
    """Of a style's pictures at a height; refuses those whose longest text might have no room in their frames."""
    wide, high = style.options.size
    given = style.options.words if style.options.text is None else (style.options.text,)
    needed = max(map(room_needed, given), default=2 * style.options.length[1] - 1)
    width = max(1, round(wide * height / high))
    frames = -(-width // FRAME)
    if needed > frames:
        raise OptionError(
            "height",
            f"texts may need {needed} frames of {FRAME} pixels, and there are {frames}",
            hint=f"--height {math.ceil(needed * FRAME * high / wide)}",
        )
    return width


class Ahead:
    """Examples whose next step is drawn by a thread of its own, while the one before is learnt from.

    Args:
        examples: that nobody else draws.
    """

    def __init__(self, examples: Examples) -> None:
        self.examples, self.alphabet = examples, examples.alphabet
        self._thread = ThreadPoolExecutor(1, "captchas")
        self._next: tuple[tuple[int, int, str], Future[Batch]] | None = None

    def __len__(self) -> int:
        return len(self.examples)

    def at(self, numbers: Sequence[int], alphabet: str) -> Batch:
        """Captchas by number."""
        return self._thread.submit(self.examples.at, numbers, alphabet).result()

    def step(self, number: int, size: int, alphabet: str) -> Batch:
        """What step `number` sees."""
        asked = (number, size, alphabet)
        drawn = self._next[1] if self._next and self._next[0] == asked else self._submitted(asked)
        batch = drawn.result()
        following = (number + 1, size, alphabet)
        self._next = following, self._submitted(following)
        return batch

    def _submitted(self, asked: tuple[int, int, str]) -> Future[Batch]:
        return self._thread.submit(self.examples.step, *asked)


def frames_of(middles: Sequence[NDArray[np.float64]], texts: Sequence[Text], count: int) -> Tensor:
    """The class of each frame: a glyph's where its middle is, whatever it likes beside that, none elsewhere.

    Args:
        middles: of the glyphs of each picture, in pixels from the left.
        texts: of them, as classes.
        count: of frames.
    Returns:
        (N, count) for `frame_loss`.
    """
    found = torch.zeros(len(texts), count, dtype=torch.long)
    for row, places, text in zip(found, middles, texts, strict=True):
        frames = np.clip(places // FRAME, 0, count - 1).astype(int).tolist()
        for frame in frames:
            row[max(0, frame - 1) : frame + 2] = IGNORED
        for frame, each in zip(frames, text, strict=True):
            row[frame] = each
    return found


class Labelled:
    """Pictures and what somebody says that they say.

    Args:
        items: of a set.
        height: that they are scaled to.
        shake: how far they are changed at each step of a training.
        seed: of these changes, and of the order.
        beside: others of the same set, to share memory and width with.
    """

    def __init__(
        self,
        items: Sequence[CaptchaItem],
        *,
        height: int,
        shake: float = 0.0,
        seed: int = 0,
        beside: Labelled | None = None,
    ) -> None:
        self.items, self.height, self.shake, self.seed = items, height, shake, seed
        self.alphabet = "".join(sorted({character for item in items for character in item.text}))
        self.width: int = beside.width if beside else FRAME
        self._kept: Kept[str, NDArray[np.uint8]] = (
            beside._kept if beside else Kept(KEPT_BYTES, lambda levels: levels.nbytes)
        )

    def __len__(self) -> int:
        return len(self.items)

    def check(self, on_each: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Read all once, and find out how wide they are.

        Raises:
            DataError: names the first that is no picture of such a text.
        """
        for done, item in enumerate(self.items, start=1):
            wide = self._levels(item).shape[1]
            self.width = max(self.width, wide)
            frames, needed = wide // FRAME, room_needed(item.text)
            if needed > frames:
                raise DataError(
                    f"{printable(item.name)}: {len(item.text)} characters need {needed} frames of {FRAME} pixels, "
                    f"and there are {frames}",
                    hint=f"--height {math.ceil(self.height * needed / frames)}",
                )
            on_each(done, len(self.items))

    def image(self, number: int) -> Tensor:
        """One of them as wide as all are, (1, 1, height, width) in [0, 1]."""
        return widened(to_image(self._levels(self.items[number])), self.width)

    def at(self, numbers: Sequence[int], alphabet: str) -> Batch:
        """Captchas by number, as they are."""
        texts = [_classes(self.items[number].text, alphabet) for number in numbers]
        return Batch(torch.cat([self.image(number) for number in numbers]), texts)

    def step(self, number: int, size: int, alphabet: str) -> Batch:
        """The next of a random order, moved, turned and scaled a little."""
        chosen = seen_in(number, size, len(self), seed=self.seed)
        batch = self.at([index for index, _ in chosen], alphabet)
        random = np.random.default_rng((self.seed, 1, number))
        return Batch(shaken(batch.image, self.shake, random), batch.texts)

    def _levels(self, item: CaptchaItem) -> NDArray[np.uint8]:
        """Luma at the height of all, (height, W)."""
        return self._kept.get(item.name, lambda: self._read(item))

    def _read(self, item: CaptchaItem) -> NDArray[np.uint8]:
        try:
            return levels(seen(Picture(item.read()), self.height)[0, 0].numpy())
        except ValueError as error:
            raise DataError(f"{printable(item.name)}: {error}") from error


def shaken(image: Tensor, strength: float, random: np.random.Generator) -> Tensor:
    """Images (N, 1, H, W), each turned, scaled, sheared and moved a little; borders are continued."""
    if not strength:
        return image
    count, _, height, width = image.shape
    draws = random.uniform(-strength, strength, (count, 6))
    turn, zoom_x, zoom_y, shear, right, down = draws.T
    angle = np.radians(TURN * turn)
    aspect = width / height
    matrices = np.zeros((count, 2, 3))
    matrices[:, 0, 0] = np.cos(angle) * (1 + ZOOM * zoom_x)
    matrices[:, 1, 1] = np.cos(angle) * (1 + ZOOM * zoom_y)
    # Coordinates go from -1 to 1 along both sides, so a turn in pixels is skewed by their ratio.
    matrices[:, 0, 1] = (-np.sin(angle) + SHEAR * shear) / aspect
    matrices[:, 1, 0] = np.sin(angle) * aspect
    matrices[:, :, 2] = 2 * np.array(MOVE) * np.stack([right, down], axis=1)
    grid = functional.affine_grid(torch.from_numpy(matrices).float(), list(image.shape), align_corners=False)
    return functional.grid_sample(image, grid, padding_mode="border", align_corners=False)


def parts(count: int, val: float, fold: int, *, seed: int) -> tuple[list[int], list[int]]:
    """Numbers to train on and numbers that are held out, in an order that no name decides.

    Raises:
        DataError: so many cannot be held out.
    """
    part = count * val if val < 1 else val
    start, end = round(part * fold), round(part * (fold + 1))
    if val > 0:
        end = max(end, start + 1)
    if end > count or end - start >= count:
        raise DataError(
            f"{count} pictures cannot hold out {end - start} of them as fold {fold}",
            hint="a smaller --val or --fold",
        )
    order = np.random.default_rng((seed, 2)).permutation(count)
    return sorted(order[:start].tolist() + order[end:].tolist()), sorted(order[start:end].tolist())


def _classes(text: str, alphabet: str) -> Text:
    return tuple(alphabet.index(character) + 1 for character in text)


def viewable(image: Tensor) -> Picture:
    """One image (1, H, W) in [0, 1] as a picture."""
    return Picture.gray(levels(image[0].numpy()))
