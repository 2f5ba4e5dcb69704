"""Labels of captchas that are probably wrong: those that a reader which never saw them finds far too unlikely."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from imgtool.options.captcha_reader import CaptchaReadOptions
from imgtool.tasks.captcha_examples import Labelled
from imgtool.tasks.read_captcha import TOGETHER, Reader, margin


@dataclass(frozen=True)
class Opinion:
    """What a reader thinks of a label.

    Attributes:
        name: of the picture.
        text: its label.
        reading: what the reader takes for the likeliest.
        margin: nats by which that is likelier than the label; 0 where both are one.
        fold: whose reader it was, from 1 on.
    """

    name: str
    text: str
    reading: str
    margin: float
    fold: int


def opinions(examples: Labelled, reader: Reader, *, fold: int) -> Iterator[Opinion]:
    """What a reader thinks of each label.

    Only readings as long as some label count: a reader that overlooks a character is wrong more often than a label
    that has one too many.

    Args:
        examples: that it was not trained on.
        reader: whose alphabet has all their characters.
        fold: its number.
    """
    lengths = [len(item.text) for item in examples.items]
    options = CaptchaReadOptions(length=(min(lengths), max(lengths)))
    for start in range(0, len(examples), TOGETHER):
        numbers = range(start, min(start + TOGETHER, len(examples)))
        batch = examples.at(numbers, reader.alphabet)
        for number, logits, label in zip(numbers, reader.logits(batch.image), batch.texts, strict=True):
            text, nats = margin(logits, label, options)
            item = examples.items[number]
            yield Opinion(item.name, item.text, reader.spelled(text), nats, fold)


def agreement(found: Sequence[Opinion]) -> float:
    """The share of labels that were read as they are given."""
    return sum(each.reading == each.text for each in found) / len(found)


def suspects(found: Sequence[Opinion], least: float) -> list[Opinion]:
    """Labels that are unlikelier than a reading by more than so many nats, the most suspicious first.

    Plain disagreement would find most of a reader's own mistakes with them: of these it is less sure.
    """
    return sorted((each for each in found if each.margin > least), key=lambda each: -each.margin)
