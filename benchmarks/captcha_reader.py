"""Measure `imgtool train-captcha`, `captcha-read` and `captcha-audit`.

    python benchmarks/captcha_reader.py train --time 5m
    python benchmarks/captcha_reader.py places --steps 800
    python benchmarks/captcha_reader.py levels --steps 600
    python benchmarks/captcha_reader.py transfer --steps 600
    python benchmarks/captcha_reader.py others    (needs `pip install ddddocr captcha-whisperer`)
    python benchmarks/captcha_reader.py clean
    python benchmarks/captcha_reader.py speed

What is read was drawn by seeds that no reader was trained on. `clean` draws captchas and makes errors in
their labels; `transfer` trains on captchas of the package `captcha` (`pip install captcha`). Times are wall time of
this machine.
Results are printed as rows of the table in benchmarks/README.md.
"""

import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from measure import IMGTOOL, run

LEVELS = ("easy", "medium", "hard")
ERRORS = 0.05  # share of labels with one wrong character


@click.group()
def bench() -> None:
    """Benchmarks of the reader of captchas."""


def _audited(source: str, *more: str) -> list[dict[str, Any]]:
    """What `captcha-audit` says of a source: its rates."""
    (line,) = run(*IMGTOOL, "captcha-audit", source, "--json", "-q", *more).splitlines()
    rates: list[dict[str, Any]] = json.loads(line)["rates"]
    return rates


def _worked() -> float:
    """Seconds of processors that children have taken."""
    times = os.times()
    return times.children_user + times.children_system


def _shown(rate: dict[str, Any]) -> str:
    low, high = rate["interval"]
    return f"**{rate['share']:.1%}** ({low:.1%} to {high:.1%})"


@bench.command()
@click.argument("sources", nargs=-1)
@click.option("--time", "span", default="5m", show_default=True, help="Of training.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Keep the run.")
@click.option("--more", default="", help="Further options of train-captcha, in one word.")
def train(sources: tuple[str, ...], span: str, output: Path | None, more: str) -> None:
    """What a reader reads that was trained from random numbers for some minutes, for SOURCES [medium]."""
    with tempfile.TemporaryDirectory() as folder:
        place = str(output or Path(folder) / "run")
        command = [*IMGTOOL, "train-captcha", *(sources or ("medium",)), "-o", place, "--time", span]
        began, before = time.monotonic(), _worked()
        run(*command, *more.split())
        wall, work = time.monotonic() - began, _worked() - before
        steps = json.loads((Path(place) / "log.jsonl").read_text().splitlines()[-1])["step"]
        for level in sources or ("medium",):
            (rate,) = _audited(level, "--weights", place)
            print(
                f"| {level} after {span} | {_shown(rate)}; {steps} steps, {wall:.0f} s, {work:.0f} s of processors |"
            )


@bench.command()
@click.option("--steps", default=800, show_default=True)
def places(steps: int) -> None:
    """The same training with the places of glyphs and without them."""
    for share in ("1", "0"):
        with tempfile.TemporaryDirectory() as folder:
            place = f"{folder}/run"
            run(*IMGTOOL, "train-captcha", "medium", "-o", place, "--steps", str(steps), "--places", share)
            (rate,) = _audited("medium", "--weights", place)
            print(f"| {steps} steps, --places {share} | {_shown(rate)} |")


@bench.command()
@click.option(
    "--steps", default=0, show_default=True, help="Of training for each level, after which it is tried too."
)
@click.option("--level", "chosen", multiple=True, type=click.Choice(LEVELS), default=LEVELS)
def levels(steps: int, chosen: tuple[str, ...]) -> None:
    """How much of each level the reader of this project reads, before and after training for it."""
    for level in chosen:
        _before_and_after(level, level, level, steps)


@bench.command()
@click.option("--count", default=5000, show_default=True, help="Captchas to train on.")
@click.option("--steps", default=600, show_default=True)
def transfer(count: int, steps: int) -> None:
    """How much the reader reads of captchas that another package draws, before and after training on some of them."""
    with tempfile.TemporaryDirectory() as folder:
        for name, size, seed in (("seen", count, 0), ("fresh", 1000, 1)):
            _foreign(Path(folder) / name, size, random.Random(seed))
        _before_and_after("package captcha", f"{folder}/seen", f"{folder}/fresh", steps)


def _before_and_after(told: str, seen: str, fresh: str, steps: int) -> None:
    """The shipped reader on captchas that nobody has seen, before and after training for such."""
    (rate,) = _audited(fresh)
    print(f"| {told}, the shipped reader | {_shown(rate)} |", flush=True)
    if not steps:
        return
    with tempfile.TemporaryDirectory() as folder:
        before, place = _worked(), f"{folder}/run"
        run(*IMGTOOL, "train-captcha", seen, "-o", place, "--start", "captcha", "--steps", str(steps), "-q")
        work = _worked() - before
        (rate,) = _audited(fresh, "--weights", place)
        print(f"| {told}, after {steps} steps, {work:.0f} s of processors | {_shown(rate)} |", flush=True)


def _foreign(folder: Path, count: int, draw: random.Random) -> None:
    """A labelled set of another package's captchas."""
    from captcha.image import ImageCaptcha

    folder.mkdir()
    theirs = ImageCaptcha(160, 60)
    with (folder / "labels.jsonl").open("w") as labels:
        for number in range(count):
            text = "".join(draw.choices("2346789ABCDEFGHJKLMNPQRSTUVWXZ", k=5))
            theirs.generate_image(text).save(folder / f"{number}.png", compress_level=1)
            labels.write(json.dumps({"file": f"{number}.png", "text": text}) + "\n")


@bench.command()
@click.option("--count", default=300, show_default=True)
def others(count: int) -> None:
    """How much of each level readers of other families read as they come, and how much at least one of them does."""
    import ddddocr
    from captcha_whisperer import CaptchaRecognizer

    from imgtool import captchas
    from imgtool.imaging.quick import encoded
    from imgtool.metrics.captchas import Rate

    whisperer = CaptchaRecognizer()
    readers: dict[str, Callable[[bytes], str]] = {
        "ddddocr": ddddocr.DdddOcr(show_ad=False).classification,
        "ddddocr, beta": ddddocr.DdddOcr(beta=True, show_ad=False).classification,
        "captcha-whisperer": lambda data: str(whisperer.recognize_bytes(data)["text"]),
    }
    for level in LEVELS:
        drawn = list(captchas(count, level, seed=1_000_003))
        hits = {name: [_is_read(each, read, encoded) for each in drawn] for name, read in readers.items()}
        hits["at least one of them"] = [any(each) for each in zip(*hits.values(), strict=True)]
        for name, found in hits.items():
            rate = Rate(sum(found), count)
            shown = _shown({"share": rate.share, "interval": rate.interval})
            print(f"| {level}, {count} captchas, {name} | {shown} |", flush=True)


def _is_read(drawn: Any, read: Callable[[bytes], str], encoded: Callable[..., bytes]) -> bool:
    return read(encoded(drawn.pixels, "png")).casefold() == drawn.text.casefold()


@bench.command()
@click.option("--level", default="medium", show_default=True)
@click.option("--count", default=2000, show_default=True)
@click.option("--folds", default=5, show_default=True)
@click.option("--margins", default="2,4,6,8,10,12", show_default=True)
@click.option("--more", default="", help="Further options of train-captcha, in one word.")
def clean(level: str, count: int, folds: int, margins: str, more: str) -> None:
    """Errors of labels that are found, of as many as were made: precision and recall."""
    draw = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        data, place = Path(folder) / "data", Path(folder) / "run"
        command = ["captcha-gen", "-n", str(count), "-o", str(data), "--level", level, "--seed", "77", "-q"]
        run(*IMGTOOL, *command)
        lines = [json.loads(line) for line in (data / "labels.jsonl").read_text().splitlines()]
        alphabet = sorted({character for line in lines for character in line["text"]})
        wrong = set()
        for line in draw.sample(lines, round(ERRORS * count)):
            at = draw.randrange(len(line["text"]))
            other = draw.choice([each for each in alphabet if each != line["text"][at]])
            line["text"] = line["text"][:at] + other + line["text"][at + 1 :]
            wrong.add(line["file"])
        (data / "labels.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        options = ["--clean", str(folds), "--margin", "0", *more.split()]
        began = time.monotonic()
        run(*IMGTOOL, "train-captcha", str(data), "-o", str(place), *options)
        found = [json.loads(line) for line in (place / "suspects.jsonl").read_text().splitlines()]
        print(f"{len(wrong)} errors among {count} labels, {time.monotonic() - began:.0f} s")
        for margin in map(float, margins.split(",")):
            named = {line["file"] for line in found if line["margin"] > margin}
            hits = len(named & wrong)
            precision, recall = hits / max(1, len(named)), hits / len(wrong)
            print(
                f"| margin {margin:g} | {len(named)} named, precision **{precision:.3f}**, recall **{recall:.3f}** |"
            )


@bench.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--threads", default=1, show_default=True)
def speed(rounds: int, threads: int) -> None:
    """Captchas a second, one by one and in batches of 64, by the best path and by beams."""
    from imgtool.runtime import processor

    processor.prepare(threads)
    from imgtool.cli.captcha_sources import drawn_by
    from imgtool.options.captcha import CaptchaOptions
    from imgtool.options.captcha_reader import CaptchaReadOptions
    from imgtool.runtime.device import select_device
    from imgtool.runtime.registry import find_weights
    from imgtool.tasks.captcha_examples import Drawn
    from imgtool.tasks.load import load_reader
    from imgtool.tasks.read_captcha import read_captchas

    drawn = Drawn([drawn_by(CaptchaOptions(), seed=5)], height=60)
    images = [drawn.image(number) for number in range(256)]
    for precision in ("fp32", "bf16"):
        reader = load_reader(find_weights("captcha"), select_device("cpu", precision))
        for beam in (1, 8):
            options = CaptchaReadOptions(beam=beam)
            one, many = [], []
            for _ in range(rounds):
                began = time.perf_counter()
                for image in images[:64]:
                    next(read_captchas([image], reader, options))
                middle = time.perf_counter()
                list(read_captchas(images, reader, options))
                one.append(64 / (middle - began))
                many.append(256 / (time.perf_counter() - middle))
            alone, together = statistics.median(one), statistics.median(many)
            print(
                f"| {precision}, beam {beam} | {alone:.0f} a second one by one, {together:.0f} in batches |"
            )


if __name__ == "__main__":
    bench()
