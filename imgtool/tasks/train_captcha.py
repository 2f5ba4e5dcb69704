"""One step of training a reader of captchas, and how good it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from imgtool.imaging.picture import Picture
from imgtool.imaging.sheet import draw_sheet
from imgtool.losses.ctc import frame_loss, text_losses
from imgtool.nn.captcha_reader import CaptchaReader
from imgtool.options.captcha_reader import TrainCaptchaOptions
from imgtool.runtime.checkpoints import described
from imgtool.runtime.device import Device
from imgtool.tasks.captcha_examples import Batch, Examples, viewable
from imgtool.tasks.decode_text import best_path
from imgtool.tasks.read_captcha import TOGETHER, Reader
from imgtool.training.average import Averaged, MovingAverage, decayed
from imgtool.training.schedules import warm_cosine

LONGEST_STEP = 5.0  # norm of a gradient, as recurrent networks now and then have far longer ones
JUDGED = 1000  # captchas that are judged, at most
SHOWN = 18  # of those that are read wrongly


class CaptchaTrainee(Averaged[CaptchaReader]):
    """A reader on its way: see `imgtool.training.loop.Trainee`.

    Args:
        examples: to train on.
        alphabet: the characters of its classes from 1 on.
        options: see `TrainCaptchaOptions`.
        network: to be trained.
        device: where; in bf16 convolutions are halved by autocast, the weights stay fp32.
        judge: what scores it; None for none.
    """

    def __init__(
        self,
        examples: Examples,
        alphabet: str,
        options: TrainCaptchaOptions,
        *,
        network: CaptchaReader,
        device: Device,
        judge: CaptchaJudge | None = None,
    ) -> None:
        self.examples, self.alphabet, self.options = examples, alphabet, options
        self.device, self.judge = device, judge
        self.network = device.placed(network).train()
        self.optimizer = torch.optim.AdamW(decayed(self.network.parameters(), options.weight_decay))
        self.average = MovingAverage(self.network, options.average)

    def step(self, number: int, progress: float) -> dict[str, float]:
        """One batch, one step; what is in it depends on the seed and the number alone."""
        rate = self.options.rate * warm_cosine(progress)
        batch = self.examples.step(number, self.options.batch, self.alphabet)
        losses = self._losses(batch, progress)
        self.descend(sum(losses.values(), torch.zeros(())), rate, number, longest=LONGEST_STEP)
        return {**{name: float(loss.detach()) for name, loss in losses.items()}, "rate": rate}

    def _losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """The loss of the texts and, where places of glyphs are known and early on, that of the frames."""
        with self.device.autocast():
            frames = self.network.frames(batch.image.to(self.device.torch))
        early, logits = self.network.heads(frames)
        lengths = torch.tensor([len(text) for text in batch.texts], device=logits.device)
        losses = {"text": (text_losses(logits, batch.texts) / lengths).mean()}
        help_left = 1 - progress / self.options.places if self.options.places else 0.0
        if batch.frames is not None and help_left > 0:
            targets = batch.frames.to(logits.device)
            losses["frames"] = help_left * (frame_loss(early, targets) + frame_loss(logits, targets))
        return losses

    def score(self) -> Mapping[str, float]:
        """What the judge says of the averaged network."""
        return {} if self.judge is None else self.judge(self.reader())

    def samples(self) -> Mapping[str, Picture]:
        """What the judge saw to be read wrongly."""
        return {} if self.judge is None else self.judge.samples()

    def reader(self) -> Reader:
        """The averaged network as `captcha-read` uses it."""
        return Reader(self.average.network, self.alphabet, self.device.dtype)

    def model(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The averaged weights in halves, and what `captcha-read` must know."""
        network = self.average.network
        about = {"alphabet": self.alphabet, "height": network.height}
        return described(network, "captcha-reader", captcha=about)


class CaptchaJudge:
    """Scores a reader on captchas that it is not trained on.

    Args:
        examples: the captchas; of very many the first `JUDGED`.
    """

    def __init__(self, examples: Examples) -> None:
        self.examples, self.count = examples, min(JUDGED, len(examples))
        self.wrong: list[tuple[str, Picture]] = []  # a word about each, and the picture

    def __call__(self, reader: Reader) -> dict[str, float]:
        """The share of texts that are read as they should be, and the mean loss of a text."""
        self.wrong, exact, loss = [], 0, 0.0
        for start in range(0, self.count, TOGETHER):
            batch = self.examples.at(range(start, min(start + TOGETHER, self.count)), reader.alphabet)
            logits = reader.logits(batch.image)
            loss += float(text_losses(logits, batch.texts).sum())
            for image, frames, text in zip(batch.image, logits, batch.texts, strict=True):
                found = best_path(frames.numpy())
                exact += found == text
                if found != text and len(self.wrong) < SHOWN:
                    told = f"{reader.spelled(text)}: {reader.spelled(found)}"
                    self.wrong.append((told, viewable(image)))
        return {"exact": exact / self.count, "loss": loss / self.count}

    def samples(self) -> dict[str, Picture]:
        """Captchas that were read wrongly, each titled "text: reading"."""
        return {"wrong": draw_sheet(self.wrong, panel_px=120)} if self.wrong else {}


def network_to_train(
    alphabet: str, options: TrainCaptchaOptions, start: Reader | None
) -> tuple[CaptchaReader, str]:
    """A network to begin with, and the alphabet of its classes.

    Args:
        alphabet: the characters it has to know.
        options: its size, unless there is a start, and the seed of random weights.
        start: a reader to go on from; characters that it does not know are added behind its own.
    """
    torch.manual_seed(options.seed)
    if start is None:
        return CaptchaReader(len(alphabet) + 1, height=options.height, hidden=options.hidden), alphabet
    new = "".join(character for character in alphabet if character not in start.alphabet)
    return with_classes(start.network, start.alphabet, new), start.alphabet + new


def with_classes(network: CaptchaReader, known: str, new: str) -> CaptchaReader:
    """A network that knows more characters: what begins as its other case does, or else at random.

    Args:
        network: stays as it is.
        known: its alphabet.
        new: characters that are not in it.
    """
    larger = CaptchaReader(
        1 + len(known) + len(new), height=network.height, widths=network.widths, hidden=network.hidden
    )
    state: dict[str, Any] = dict(network.state_dict())
    for name in ("head", "early"):
        for kind in ("weight", "bias"):
            key = f"{name}.{kind}"
            rows = larger.state_dict()[key].clone()
            rows[: len(state[key])] = state[key]
            for index, character in enumerate(new, start=1 + len(known)):
                if (other := character.swapcase()) in known:
                    rows[index] = state[key][1 + known.index(other)]
            state[key] = rows
    larger.load_state_dict(state)
    return larger


def shape_of(network: CaptchaReader) -> dict[str, Any]:
    """What `CaptchaReader` is made with besides its classes, as JSON holds it."""
    return {"height": network.height, "widths": list(network.widths), "hidden": network.hidden}
