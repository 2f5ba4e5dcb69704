"""What `imgtool captcha-audit` does: captchas of each style read by a reader, before and after training for them."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from imgtool.cli import training
from imgtool.cli.captcha_sources import LABELLED, drawn_by, places_of, styles_of
from imgtool.cli.console import console
from imgtool.cli.fetching import weights_told
from imgtool.cli.train_captcha_work import TRAINING
from imgtool.data.captcha_set import glyphs_known, read_captcha_set
from imgtool.errors import ImgtoolError
from imgtool.metrics.captchas import Rate
from imgtool.options.captcha_reader import AuditOptions, TrainCaptchaOptions
from imgtool.runtime import processor
from imgtool.runtime.device import select_device
from imgtool.tasks.audit_captcha import Legibility, legibility, rate_of, verdict
from imgtool.tasks.captcha_examples import Drawn, Labelled, parts
from imgtool.tasks.load import load_reader
from imgtool.tasks.read_captcha import Reader
from imgtool.training.run_folder import RunFolder

HELD_OUT = 0.2  # of a labelled set, when a reader is trained on the rest
LOOKED_AT = 300  # captchas whose glyphs are measured


@dataclass(frozen=True)
class Tried:
    """Captchas to be read.

    Attributes:
        examples: their pictures, at the height of the reader.
        texts: what they say.
        legibility: of their glyphs; None if nobody knows.
    """

    examples: Drawn | Labelled
    texts: Sequence[str]
    legibility: Legibility | None


def audit(
    sources: Sequence[str], output: Path | None, options: AuditOptions, values: Mapping[str, Any]
) -> int:
    """Audit each source and tell; the exit code."""
    if output is not None:
        RunFolder.require_new(output)
    processor.prepare(values["threads"])
    failures = []
    for source in sources:
        try:
            _audit(source, output, options, values)
        except ImgtoolError as error:
            failures.append(error.exit_code)
            console.error(error.message, hint=error.hint)
            console.record({"input": source, "error": error.message})
    return failures[0] if failures else 0


def _audit(source: str, output: Path | None, options: AuditOptions, values: Mapping[str, Any]) -> None:
    """One style or set: the rates, how legible it is, and what that means."""
    levels, places = places_of((source,))
    reader = _reader(values["weights"], values)
    tried = _collected if LABELLED in places else _fresh
    captchas = tried(levels, places, options, reader.network.height)
    rates = {f"the reader {values['weights']}": _rated(captchas, reader, options)}
    if options.train is not None:
        with _place(output) as path:
            told = _trained(path, levels, places, options, values)
            rates[told] = _rated(captchas, _reader(str(path), values), options)
    _tell(source, captchas, rates)


def _reader(weights: str, values: Mapping[str, Any]) -> Reader:
    return load_reader(weights_told(weights), select_device(values["device"], values["precision"]))


def _fresh(levels: Sequence[str], places: Mapping[str, Path], options: AuditOptions, height: int) -> Tried:
    """Captchas of a style that nobody has seen."""
    (style,) = styles_of(levels, places)
    maker = drawn_by(style, seed=options.seed)
    drawn = Drawn([maker], height=height, count=options.count)
    measured = [maker.draw(number).glyphs for number in range(min(LOOKED_AT, options.count))]
    glyphs = [(glyph.contrast, glyph.visible) for each in measured for glyph in each]
    texts = [maker.text(number) for number in range(options.count)]
    return Tried(drawn, texts, legibility(glyphs))


def _collected(
    levels: Sequence[str], places: Mapping[str, Path], options: AuditOptions, height: int
) -> Tried:
    """Captchas of a set: with --train those that are held out, else from its beginning on."""
    items = read_captcha_set(places[LABELLED])
    if options.train is not None:
        _, held = parts(len(items), HELD_OUT, 0, seed=TrainCaptchaOptions.seed)
        items = [items[at] for at in held]
    items = items[: options.count]
    examples = Labelled(items, height=height)
    examples.check()
    return Tried(
        examples, [item.text for item in items], legibility(glyphs_known(places[LABELLED], LOOKED_AT))
    )


def _rated(captchas: Tried, reader: Reader, options: AuditOptions) -> Rate:
    with console.progress("Reading") as on_progress:

        def images() -> Iterator[Tensor]:
            for number in range(len(captchas.texts)):
                on_progress(number, len(captchas.texts), "")
                yield captchas.examples.image(number)

        return rate_of(images(), captchas.texts, reader, beam=options.beam)


@contextmanager
def _place(output: Path | None) -> Iterator[Path]:
    """Where a reader is trained, to be kept or not."""
    if output is not None:
        yield output
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "run"


def _trained(
    path: Path,
    levels: Sequence[str],
    places: Mapping[str, Path],
    options: AuditOptions,
    values: Mapping[str, Any],
) -> str:
    """Train the reader for a style; what that was, in words."""
    given = TrainCaptchaOptions(
        levels=tuple(levels), start=values["weights"], steps=None, time=options.train, val=HELD_OUT
    )
    pace = {"score_every": training.NEVER, "save_every": 60.0}
    training.start(TRAINING, places, path, given, {**values, **pace}, alone=False)
    steps = [line["step"] for line in RunFolder.resumed(path).history()]
    # In a very short time none is done.
    return f"the same after {options.train:g} s of training for it, {max(steps, default=0)} steps"


def _tell(source: str, captchas: Tried, rates: Mapping[str, Rate]) -> None:
    known = captchas.legibility
    console.record(
        {
            "input": source,
            "captchas": len(captchas.texts),
            "rates": [
                {"reader": told, "read": rate.read, "share": rate.share, "interval": rate.interval}
                for told, rate in rates.items()
            ],
            "legibility": None if known is None else asdict(known),
            "verdict": verdict(best := max(rates.values(), key=lambda rate: rate.share)),
        }
    )
    if console.json:
        return
    console.data(f"{source}: {len(captchas.texts)} captchas")
    for told, rate in rates.items():
        low, high = rate.interval
        console.data(f"  {rate.share:6.1%} read by {told} (95 %: {low:.1%} to {high:.1%})")
    if known is None:
        console.data(
            "  how legible it is for people is not known: the set has no truth.jsonl (captcha-gen --truth)"
        )
    else:
        (least, middle), (hidden, seen) = known.contrast, known.visible
        console.data(f"  contrast of glyphs {middle:.1f}, at least {least:.1f} (WCAG asks for 4.5)")
        console.data(f"  visible share of glyphs {seen:.0%}, at least {hidden:.0%}")
    console.data(f"  {verdict(best)}")
