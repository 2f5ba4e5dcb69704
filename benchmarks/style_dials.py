"""Measure what `--strength`, `--stroke` and regions of `imgtool stylize` mean, and what large pictures take.

    python benchmarks/style_dials.py strength --paintings FOLDER
    python benchmarks/style_dials.py stroke
    python benchmarks/style_dials.py regions
    python benchmarks/style_dials.py tiles
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
from functools import partial
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
        self.size, self.options = size, StylizeOptions(size=size)
        options = self.options
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

    def grams(self, image, mask=None):  # type: ignore[no-untyped-def]
        """Gram matrices by layer, of a region if there is a mask (1, 1, h, w)."""
        import torch

        from imgtool.imaging.tensors import resize
        from imgtool.losses.gram import gram_matrix

        found = {}
        with torch.no_grad():
            for layer, features in self.network.stream(image):
                if layer in self.options.style_layers:
                    features, size = features.float(), (features.shape[-2], features.shape[-1])
                    guide = torch.ones(1, 1, *size) if mask is None else resize(mask, size)
                    found[layer] = gram_matrix(features * (guide / guide.square().mean().sqrt()))
        return found

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
@click.option("--size", default=256, show_default=True, help="Of the preview.")
@click.option("--factor", default=2, show_default=True, help="How many times as large the final is.")
@click.option("--stroke", default=6.0, show_default=True, help="In the preview.")
@click.option("--words", default="", help="For the command that makes the final.")
@click.option("--only-stroke", is_flag=True, help="Not without --stroke.")
@click.option("--threads", default=2, show_default=True)
@click.option("--save", type=click.Path(path_type=Path), help="A folder for the pictures.")
def stroke(
    content: Path,
    style: Path,
    size: int,
    factor: int,
    stroke: float,
    words: str,
    only_stroke: bool,
    threads: int,
    save: Path | None,
) -> None:
    """How far a final is from its preview, made as small, with and without --stroke."""
    import numpy as np
    from PIL import Image

    pair = [*IMGTOOL, "stylize", str(content), str(style), f"--threads={threads}", "-qfo"]
    ways = {"stroke": [f"--stroke={stroke}", f"--stroke={factor * stroke}"], "default": ["--seed=0"] * 2}
    with tempfile.TemporaryDirectory() as temporary:
        folder = save or Path(temporary)
        folder.mkdir(exist_ok=True)
        for name in ("stroke",) if only_stroke else ways:
            small, large = (folder / f"{name}-{side}.png" for side in (size, factor * size))
            peak(*pair, str(small), f"--size={size}", ways[name][0])
            gigabytes, _ = peak(*pair, str(large), f"--size={factor * size}", ways[name][1], *words.split())
            preview, final = (Image.open(each).convert("RGB") for each in (small, large))
            apart = np.asarray(final.resize(preview.size, Image.Resampling.LANCZOS), float) - np.asarray(
                preview
            )
            print(
                f"{name:8} {np.abs(apart).mean():.2f}/255, {_blocks(apart)}; {gigabytes:.2f} GB", flush=True
            )


def _blocks(apart) -> str:  # type: ignore[no-untyped-def]
    """The difference of means over squares: of colours, not of where each stroke lies."""
    words = []
    for side in (4, 16):
        height, width = (length // side * side for length in apart.shape[:2])
        means = apart[:height, :width].reshape(height // side, side, width // side, side, 3).mean((1, 3))
        words.append(f"of squares of {side} px {abs(means).mean():.2f}/255")
    return ", ".join(words)


@bench.command()
@click.option("--size", default=256, show_default=True)
@click.option("--threads", default=2, show_default=True)
def regions(size: int, threads: int) -> None:
    """With --content-mask auto, how far each region of a result is from its own style against from the other."""
    import torch

    import imgtool
    from imgtool.tasks.style_regions import color_regions

    torch.set_num_threads(threads)
    styles = [EXAMPLES / f"{name}.jpg" for name in ("night", "waves")]
    for photo in PHOTOS:
        pair = _Pair(EXAMPLES / f"{photo}.jpg", styles[0], size, threads)
        own = [pair.grams(imgtool.stylize(each, each, size=size, strength=0).image) for each in styles]
        masks = color_regions(pair.photo, len(styles))
        for name, words in (("regions", {"content_masks": "auto"}), ("a mix", {})):
            result = imgtool.stylize(EXAMPLES / f"{photo}.jpg", styles, size=size, **words)
            found = [pair.grams(result.image, mask) for mask in masks]
            shares = [_apart(found[n], own[n]) / _apart(found[n], own[1 - n]) for n in (0, 1)]
            print(f"{photo:10} {name:8} dark {shares[0]:.2f}, light {shares[1]:.2f}", flush=True)


def _apart(ours, theirs) -> float:  # type: ignore[no-untyped-def]
    """Of Gram matrices: the mean over layers of the distance against the length of theirs."""
    return statistics.mean(float((ours[name] - theirs[name]).norm() / theirs[name].norm()) for name in theirs)


@bench.command()
@click.option("--size", default=256, show_default=True)
@click.option("--tile", default=64, show_default=True)
@click.option("--threads", default=2, show_default=True)
def tiles(size: int, tile: int, threads: int) -> None:
    """The relative difference of the gradient in tiles from that of the whole, with the real network."""
    import torch

    from imgtool.options.stylize import StylizeOptions
    from imgtool.runtime.device import select_device
    from imgtool.runtime.registry import find_weights
    from imgtool.tasks.load import load_style_network
    from imgtool.tasks.style_objective import Style, StyleObjective
    from imgtool.tasks.tiled_objective import TiledObjective

    pair, found = _Pair(EXAMPLES / "astronaut.jpg", EXAMPLES / "night.jpg", size, threads), {}
    options = StylizeOptions(size=size)
    for precision in ("fp32", "bf16"):
        network = load_style_network(find_weights("vgg19"), options, select_device("cpu", precision))
        for way, of in (("whole", StyleObjective), ("tiles", partial(TiledObjective, tile=tile))):
            leaf = (pair.photo * 0.9).requires_grad_()
            objective = of(pair.photo, [Style(pair.style)], options, network)
            (found[precision, way],) = torch.autograd.grad(objective(leaf).total, leaf)
    for one, other in ((("fp32", "tiles"), ("fp32", "whole")), (("bf16", "tiles"), ("bf16", "whole"))):
        print(f"{' '.join(one)} from {' '.join(other)}: {_relative(found[one], found[other]):.1e}")
    print(f"bf16 whole from fp32 whole: {_relative(found['bf16', 'whole'], found['fp32', 'whole']):.1e}")


def _relative(one, other) -> float:  # type: ignore[no-untyped-def]
    return float((one - other).norm() / other.norm())


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
