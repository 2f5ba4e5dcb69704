"""Measure what `--strength` and `--stroke` of `imgtool stylize` mean, and what large pictures take.

    python benchmarks/style_dials.py strength --paintings FOLDER
    python benchmarks/style_dials.py stroke
    python benchmarks/style_dials.py large --megapixels 12

Results are kept in benchmarks/README.md.
"""

import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import click
from measure import IMGTOOL, peak

EXAMPLES = Path(__file__).parents[1] / "examples"
PHOTOS = ("astronaut", "chelsea", "coffee")
STYLES = ("waves", "night", "window")


@click.group()
def bench() -> None:
    """Benchmarks of the dials of stylize."""


@bench.command()
@click.option(
    "--paintings", type=click.Path(exists=True, path_type=Path), help="Styles, beside one of the examples."
)
@click.option("--size", default=192, show_default=True)
@click.option("--steps", default=40, show_default=True, help="At each of two scales.")
@click.option("--threads", default=2, show_default=True)
@click.option("--strengths", default="0.25,0.5,0.75,1", show_default=True)
@click.option("--weights", default="0.1,0.03,0.01", show_default=True, help="Bare style weights.")
def strength(
    paintings: Path | None, size: int, steps: int, threads: int, strengths: str, weights: str
) -> None:
    """How far apart photos and styles are at one strength, and at one style weight."""
    pairs = [_Pair(EXAMPLES / f"{photo}.jpg", style, size, threads) for photo, style in _pairs(paintings)]
    for name, values in (("strength", strengths), ("style_weight", weights)):
        for value in filter(None, values.split(",")):
            found = [pair.measured(steps=(steps,), **{name: float(value)}) for pair in pairs]
            _tell(f"--{name.replace('_', '-')} {value}", found)


def _pairs(paintings: Path | None) -> list[tuple[str, Path]]:
    styles = [EXAMPLES / f"{name}.jpg" for name in STYLES]
    return list(product(PHOTOS, [styles[0], *sorted(paintings.glob("*.jpg"))] if paintings else styles))


def _tell(name: str, found: list[tuple[float, float]]) -> None:
    for what, values in zip(("style distance left", "content kept"), zip(*found, strict=True), strict=True):
        mean, spread = statistics.mean(values), statistics.stdev(values)
        ends = f"{min(values):.3f} to {max(values):.3f}"
        print(f"{name:22} {what:19} mean {mean:.3f}  sd {spread:.3f}  {ends}", flush=True)


class _Pair:
    """One photo and style, and the judges of what comes of them."""

    def __init__(self, photo: Path, style: Path, size: int, threads: int) -> None:
        import torch
        from judge import Score, load_pair

        from imgtool.options.stylize import StylizeOptions
        from imgtool.runtime.device import select_device
        from imgtool.runtime.registry import find_weights
        from imgtool.tasks.load import load_style_network
        from imgtool.tasks.style_objective import Style, StyleObjective

        torch.set_num_threads(threads)
        self.size, options = size, StylizeOptions(size=size)
        self.photo, self.style = load_pair(photo, style, size)
        self.network = load_style_network(find_weights("vgg19"), options, select_device())
        self.objective = StyleObjective(self.photo, [Style(self.style)], options, self.network)
        self.score = Score(self.photo, self.style)
        with torch.no_grad():
            self.far = float(self.objective(self.photo).style)

    def measured(self, **knobs: object) -> tuple[float, float]:
        """The share of the distance of Gram matrices that is left, and the judge's share of content that is kept."""
        import torch
        from judge import eight_bits

        image = self.repainted(**knobs)
        with torch.no_grad():
            left = math.sqrt(float(self.objective(eight_bits(image)).style) / self.far)
        return left, self.score(image)[1]

    def repainted(self, **knobs: object):  # type: ignore[no-untyped-def]
        """What stylize makes of them."""
        from imgtool.options.stylize import StylizeOptions
        from imgtool.tasks.style_objective import Style
        from imgtool.tasks.stylize import stylize

        options = StylizeOptions.of_recipe(size=self.size, **knobs)
        return stylize(self.photo, [Style(self.style)], options, network=self.network).image


@bench.command()
@click.option("--content", type=click.Path(exists=True, path_type=Path), default=EXAMPLES / "astronaut.jpg")
@click.option("--style", type=click.Path(exists=True, path_type=Path), default=EXAMPLES / "night.jpg")
@click.option("--size", default=256, show_default=True, help="Of the preview; the final is twice as large.")
@click.option("--stroke", default=6.0, show_default=True, help="In the preview.")
@click.option("--save", type=click.Path(path_type=Path), help="A folder for the pictures.")
def stroke(content: Path, style: Path, size: int, stroke: float, save: Path | None) -> None:
    """How far a final of twice the size is from its preview, made half as large, with and without --stroke."""
    import numpy as np
    from PIL import Image

    ways = {"--stroke": (f"--stroke={stroke}", f"--stroke={2 * stroke}"), "default": ("--seed=0", "--seed=0")}
    with tempfile.TemporaryDirectory() as temporary:
        folder = save or Path(temporary)
        for name, words in ways.items():
            pictures = []
            for factor, word in zip((1, 2), words, strict=True):
                out = folder / f"{name.strip('-')}-{factor * size}.png"
                peak(
                    *IMGTOOL,
                    "stylize",
                    str(content),
                    str(style),
                    "-qfo",
                    str(out),
                    f"--size={factor * size}",
                    word,
                )
                pictures.append(Image.open(out).convert("RGB"))
            small = pictures[1].resize(pictures[0].size, Image.Resampling.LANCZOS)
            apart = np.asarray(small, float) - np.asarray(pictures[0], float)
            print(f"{name:10} mean difference {np.abs(apart).mean():.2f}/255, {_blocks(apart)}")


def _blocks(apart) -> str:  # type: ignore[no-untyped-def]
    """The difference of means over squares: of colours, not of where each stroke lies."""
    words = []
    for side in (4, 16):
        height, width = (length // side * side for length in apart.shape[:2])
        means = apart[:height, :width].reshape(height // side, side, width // side, side, 3).mean((1, 3))
        words.append(f"of squares of {side} px {abs(means).mean():.2f}/255")
    return ", ".join(words)


@bench.command()
@click.option("--megapixels", default="12", show_default=True)
@click.option("--words", default="--scales 5 --steps 0,0,0,1,3", show_default=True, help="For the command.")
def large(megapixels: str, words: str) -> None:
    """Peak resident memory of the whole command at --size full, and the seconds of an evaluation at full size."""
    from PIL import Image

    for each in map(float, megapixels.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            width = round(math.sqrt(each * 1e6 * 4 / 3))
            photo = Path(folder) / "photo.jpg"
            Image.open(EXAMPLES / "rocket.jpg").convert("RGB").resize((width, width * 3 // 4)).save(photo)
            arguments = [str(photo), str(EXAMPLES / "waves.jpg"), "-o", f"{folder}/out.png", "--size", "full"]
            gigabytes, steps = _watched("stylize", *arguments, "--json-progress", *words.split())
            last = steps[-1] - steps[-2] if len(steps) > 1 else math.nan
            print(
                f"{each:g} megapixels: {gigabytes:.2f} GB, {last:.1f} s for the last evaluation", flush=True
            )


def _watched(*words: str) -> tuple[float, list[float]]:
    """Peak resident memory of a command in GB, and when each of its steps was told."""
    process = subprocess.Popen([*IMGTOOL, *words], stderr=subprocess.PIPE, text=True)
    steps = []
    assert process.stderr is not None
    for line in process.stderr:
        steps += [time.perf_counter()] if '"content ' in line else []
        if '"progress"' not in line:
            print(f"    {line.rstrip()}", flush=True)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise click.ClickException(f"ended with {status}")
    return usage.ru_maxrss * 1024 / 1e9, steps


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    bench()
