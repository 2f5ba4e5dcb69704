"""How strong captchas are: how many a machine reads, and how legible they are for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from torch import Tensor

from imgtool.metrics.captchas import Rate
from imgtool.options.captcha_reader import CaptchaReadOptions
from imgtool.tasks.read_captcha import Reader, read_captchas

WEAK, SOME = 0.5, 0.1  # shares that are read, from which words change
TRIES = 3  # that a site allows at the least


@dataclass(frozen=True)
class Legibility:
    """How well glyphs stand out.

    Attributes:
        contrast: WCAG ratio of a glyph and its background: the least, and the median.
        visible: share of its ink that nothing else covers: the least, and the median.
    """

    contrast: tuple[float, float]
    visible: tuple[float, float]


def legibility(glyphs: Sequence[tuple[float, float]]) -> Legibility | None:
    """Of the contrast and visible share of each glyph; None if nothing is known of any."""
    if not glyphs:
        return None
    contrasts, shares = zip(*glyphs, strict=True)
    return Legibility((min(contrasts), median(contrasts)), (min(shares), median(shares)))


def rate_of(images: Iterable[Tensor], texts: Sequence[str], reader: Reader, *, beam: int) -> Rate:
    """How many texts a reader finds that knows how long they may be, as everybody does who has seen some.

    Upper and lower case count as one, as they do on most sites.

    Args:
        images: as `read_captchas` takes them.
        texts: what they say.
        reader: who tries.
        beam: see `CaptchaReadOptions`.
    """
    lengths = [len(text) for text in texts]
    options = CaptchaReadOptions(beam=beam, length=(min(lengths), max(lengths)))
    readings = read_captchas(images, reader, options)
    hits = [found.text.casefold() == text.casefold() for found, text in zip(readings, texts, strict=True)]
    return Rate(sum(hits), len(hits))


def verdict(rate: Rate) -> str:
    """What a rate means, in plain words."""
    passes = rate.within(TRIES)
    often = "more than 99%" if passes > 0.99 else f"{passes:.0%}"
    if rate.share >= WEAK:
        return (
            f"Weak: a program reads {rate.share:.1%}, and gets past with one of {TRIES} tries in {often} of cases. "
            "It keeps out nobody who wants to come in."
        )
    if rate.share >= SOME:
        return (
            f"Weak: a program reads {rate.share:.1%} and needs about {round(1 / rate.share)} tries, which cost it "
            "nothing. More training would read more."
        )
    return (
        f"This reader gets {rate.share:.1%}. That is no proof of strength: another, or one trained longer for "
        "this style (--train), may read far more; and what no machine reads, people mostly cannot read either."
    )
