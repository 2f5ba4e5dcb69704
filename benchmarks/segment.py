"""Measure `imgtool segment`: how exact its tiles are, speed, memory, the border weights, and what a training reaches.

    python benchmarks/segment.py exact
    python benchmarks/segment.py speed
    python benchmarks/segment.py memory --suffix png
    python benchmarks/segment.py borders
    python benchmarks/segment.py cross IMAGES MASKS -o DIR --folds 5 --time 7m -- --metric v-rand

`exact` also tiles a network of the same width with MONAI's SlidingWindowInferer (`pip install monai`; left out if it
is not there). `speed` runs each side in a process of its own with the same threads. Times are wall time of this
machine; only ratios carry over to another. Results are printed as rows of the table in benchmarks/README.md.
"""

import importlib.util
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from measure import IMGTOOL, peak, ratio, run

from imgtool.runtime import processor

EXAMPLES = Path(__file__).parent.parent / "examples"
SIDES = ("textbook", "ours at width 64", "nuclei")
SPEED_SIDE = 1536  # pixels: sixteen tiles of the paper's, four of ours
OVERLAPS = {"constant": {"mode": "constant"}, "gaussian": {"mode": "gaussian"}}

threads = click.option("--threads", default=processor.cores(), show_default=True)


@click.group()
def bench() -> None:
    """Benchmarks of segment."""


def _picture(height: int, width: int, channels: int) -> np.ndarray:
    """A photo mirrored until it has a size, (H, W, channels) uint8."""
    from imgtool.imaging.io import read_picture

    photo = read_picture(EXAMPLES / "astronaut.jpg").pixels
    below, beside = max(0, height - len(photo)), max(0, width - photo.shape[1])
    return np.pad(photo, ((0, below), (0, beside), (0, 0)), "symmetric")[:height, :width, :channels]


def _segmenter(weights: str, precision: str, threads: int | None = None):  # type: ignore[no-untyped-def]
    processor.prepare(threads)
    from imgtool.runtime.device import select_device
    from imgtool.runtime.registry import find_weights
    from imgtool.tasks.load import load_segmenter

    return load_segmenter(find_weights(weights), select_device("cpu", precision))


@bench.command()
@click.option("--weights", default="nuclei", show_default=True)
@click.option("--pairs", default=200, show_default=True)
@click.option("--side", default=700, show_default=True, help="Sides of pictures and tiles are below.")
@click.option("--seed", default=0, show_default=True)
@threads
def exact(weights: str, pairs: int, side: int, seed: int, threads: int) -> None:
    """Values that differ between tiles and the whole, over random sizes and tiles; beside it MONAI's windows."""
    from imgtool.imaging.raster import raster_of
    from imgtool.tasks.segment import probabilities

    random = np.random.default_rng(seed)
    for precision in ("fp32", "bf16"):
        segmenter = _segmenter(weights, precision, threads)
        channels, differing, values = segmenter.network.channels, 0, 0
        for _ in range(pairs // 2):
            height, width, tile = map(int, random.integers((1, 1, 96), side))
            raster = raster_of(_picture(height, width, channels))
            tiled, whole = (probabilities(raster, segmenter, tile=each) for each in (tile, 10_000))
            differing += int((tiled != whole).sum())
            values += tiled.size
        print(
            f"| tiles against whole, {weights} in {precision}, {pairs // 2} pairs of size and tile | `exact` "
            f"| **{differing}** of {values:,} values differ | 0 |"
        )
    if importlib.util.find_spec("monai") is None:
        print("MONAI is left out: pip install monai")
        return
    _windows(weights, _segmenter(weights, "fp32"))


def _windows(weights: str, segmenter) -> None:  # type: ignore[no-untyped-def]
    """The same weights with zeros around each convolution, whole and in MONAI's windows."""
    import torch
    from monai.inferers import SlidingWindowInferer

    network = segmenter.network.folded()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d) and module.kernel_size == (3, 3):
            module.padding = (1, 1)

    def padded(image: torch.Tensor) -> torch.Tensor:
        return _forward(network, image)

    from imgtool.imaging.raster import raster_of
    from imgtool.tasks.segment import scale_of

    pixels = _picture(768, 768, network.channels)
    image = scale_of(raster_of(pixels))(pixels)
    with torch.inference_mode():
        whole = padded(image)
        for name, options in OVERLAPS.items():
            tiled = SlidingWindowInferer(roi_size=256, overlap=0.25, **options)(image, padded)
            error = (tiled - whole).abs()
            flips = float((tiled.argmax(1) != whole.argmax(1)).float().mean())
            print(
                f"| SlidingWindowInferer, windows of 256, overlap .25, {name}, against whole, {weights} with padding "
                f"| `exact` | at most **{float(error.max()):.2f}**, mean {float(error.mean()):.1e}, "
                f"{flips:.2%} of the labels | |"
            )


@bench.command()
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
@threads
def speed(rounds: int, threads: int) -> None:
    """Seconds for the same picture: tiles of 572 in fp32 as every repository has them, and ours, A B A B."""
    found: dict[str, list[float]] = {name: [] for name in SIDES}
    for _ in range(rounds):
        for name, times in found.items():
            done = run(sys.executable, __file__, "side", name, "--threads", str(threads))
            times.append(json.loads(done.splitlines()[-1]))
    megapixels = SPEED_SIDE**2 / 1e6
    for name, times in found.items():
        print(f"{name}: {statistics.median(times) / megapixels:.3f} s a megapixel")
    for name, target in (("ours at width 64", "3x"), ("nuclei", "25x")):
        print(
            f"| textbook (width 64, fp32, tiles of 572) against {name}, {SPEED_SIDE}x{SPEED_SIDE}, {rounds} pairs "
            f"| `speed` | {ratio(found['textbook'], found[name])} | {target} |"
        )


@bench.command(hidden=True)
@click.argument("name", type=click.Choice(SIDES))
@threads
def side(name: str, threads: int) -> None:
    """One side of `speed`: the seconds of a whole picture after a tile that warms up."""
    import torch

    segment = _textbook(threads) if name == "textbook" else _ours(name, threads)
    pixels = _picture(SPEED_SIDE, SPEED_SIDE, 3 if name == "nuclei" else 1)
    torch.manual_seed(0)
    segment(pixels[:600, :600])
    began = time.perf_counter()
    segment(pixels)
    print(json.dumps(time.perf_counter() - began))


def _ours(name: str, threads: int) -> Callable[[np.ndarray], object]:
    import torch

    from imgtool.imaging.raster import raster_of
    from imgtool.nn.unet import UNet
    from imgtool.options.segment import SegmentOptions
    from imgtool.tasks.segment import Segmenter, probabilities

    if name == "nuclei":
        segmenter = _segmenter("nuclei", "auto", threads)
    else:
        processor.prepare(threads)
        from imgtool.runtime.device import select_device

        network = UNet(1, 2, width=64).eval().requires_grad_(False)
        segmenter = Segmenter(network, select_device("cpu").dtype, ("0", "1"))
    torch.set_num_threads(threads)
    return lambda pixels: probabilities(raster_of(pixels), segmenter, tile=SegmentOptions.tile)


def _forward(network, image):  # type: ignore[no-untyped-def]
    """Probabilities by the modules of a U-Net as everybody joins them, with padding or without."""
    import torch

    features, levels = image, []
    for level in range(network.depth + 1):
        features = torch.max_pool2d(features, 2) if level else features
        features = network.get_submodule(f"down{level}")(features)
        levels.append(features)
    for level in range(network.depth - 1, -1, -1):
        above = network.get_submodule(f"up{level}")(features)
        cut = (levels[level].shape[-1] - above.shape[-1]) // 2
        middle = levels[level][..., cut : cut + above.shape[-2], cut : cut + above.shape[-1]]
        features = network.get_submodule(f"merge{level}")(torch.cat((middle, above), 1))
    return torch.softmax(network.head(features), 1)


def _textbook(threads: int) -> Callable[[np.ndarray], object]:
    """U-Net as it is written everywhere: fp32, contiguous, batch normalisation live, tiles of 572 for 388."""
    import torch

    from imgtool.nn.unet import UNet

    torch.set_num_threads(threads)
    network = UNet(1, 2, width=64).eval().requires_grad_(False)
    tile, step, halo = 572, 384, 92

    def segment(pixels: np.ndarray) -> np.ndarray:
        height, width = pixels.shape[:2]
        below, beside = -height % step, -width % step
        edges = ((halo, halo + below + 4), (halo, halo + beside + 4), (0, 0))
        plane = np.pad(pixels, edges, "reflect")[..., 0].astype(np.float32) / 255
        result = np.empty((height + below, width + beside), np.float32)
        with torch.no_grad():
            for top in range(0, height, step):
                for left in range(0, width, step):
                    window = plane[top : top + tile, left : left + tile]
                    seen = _forward(network, torch.from_numpy(np.ascontiguousarray(window))[None, None])[0, 1]
                    result[top : top + step, left : left + step] = seen[:step, :step]
        return result[:height, :width]

    return segment


@bench.command()
@click.option("--weights", default="nuclei", show_default=True)
@click.option("--megapixels", default="4,17,100", show_default=True)
@click.option("--suffix", default="tif", show_default=True)
@click.argument("options", nargs=-1)
def memory(weights: str, megapixels: str, suffix: str, options: tuple[str, ...]) -> None:
    """Peak resident memory of the whole command; OPTIONS go to it, after --."""
    for count in map(float, megapixels.split(",")):
        width, height = round((count * 4 / 3) ** 0.5 * 1000), round((count * 3 / 4) ** 0.5 * 1000)
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/picture.{suffix}"
            # Another process, as the kernel counts what this one holds as the peak of its children
            run(sys.executable, __file__, "picture", str(width), str(height), path)
            arguments = ["segment", path, "-o", f"{folder}/out/", "--weights", weights, "-q", *options]
            gigabytes, seconds = peak(*IMGTOOL, *arguments)
        what = " ".join(["peak memory of the command", weights, *options])
        print(
            f"| {what}, {width}x{height} .{suffix} | `memory` | **{gigabytes:.2f} GB**, {seconds:.0f} s | 1 GB |",
            flush=True,
        )


@bench.command(hidden=True)
@click.argument("width", type=int)
@click.argument("height", type=int)
@click.argument("path", type=click.Path(path_type=Path))
def picture(width: int, height: int, path: Path) -> None:
    """A photo of a size in colour, made of mirrored copies."""
    from imgtool.imaging.strips import Layout, strip_writer

    with path.open("wb") as file:
        writer = strip_writer(file, path.suffix[1:], Layout(height, width, channels=3))
        writer.write(_picture(height, width, 3))
        writer.close()


@bench.command()
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@click.argument("masks", nargs=-1, type=click.Path(exists=True, path_type=Path))
def borders(rounds: int, masks: tuple[Path, ...]) -> None:
    """The border weights of a picture of cells against a stack of distance transforms of the whole picture."""
    from scipy import ndimage

    from imgtool.losses.masks import border_weights

    def textbook(objects: np.ndarray) -> np.ndarray:
        numbers = np.unique(objects[objects > 0])
        stack = np.stack([ndimage.distance_transform_edt(objects != number) for number in numbers])
        near = np.sort(stack, axis=0)[:2].sum(axis=0)
        return np.where(objects == 0, 10 * np.exp(-(near**2) / (2 * 5**2)), 0)

    for objects in [_cells_of(path) for path in masks] or [_cells()]:
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            for function, spent in zip((textbook, border_weights), times, strict=True):
                began = time.perf_counter()
                function(objects)
                spent.append(time.perf_counter() - began)
        difference = float(np.abs(textbook(objects) - border_weights(objects)).max())
        count, (height, width) = len(np.unique(objects)) - 1, objects.shape
        print(
            f"| border weights of {count} cells, {width}x{height} | `borders` | {ratio(*times)}; "
            f"difference at most {difference:.0e} | 20x, 1e-3 |"
        )


def _cells(side: int = 512, count: int = 130) -> np.ndarray:
    """A picture of cells that touch but for thin gaps: regions nearest to random points."""
    from scipy import ndimage

    points = np.random.default_rng(0).integers(0, side, (count, 2))
    seeds = np.zeros((side, side), np.int32)
    seeds[points[:, 0], points[:, 1]] = np.arange(1, count + 1)
    rows, columns = ndimage.distance_transform_edt(seeds == 0, return_distances=False, return_indices=True)
    cells = seeds[rows, columns]
    gap = ndimage.grey_dilation(cells, 3) != ndimage.grey_erosion(cells, 3)
    return np.where(gap, 0, cells)


def _cells_of(path: Path) -> np.ndarray:
    from imgtool.data.coding import Coding
    from imgtool.data.mask_pairs import MaskPair

    values = MaskPair(path, path).values()
    return Coding(tuple(np.unique(values).tolist())).objects(values)


@bench.command()
@click.argument("images", type=click.Path(exists=True, path_type=Path))
@click.argument("masks", type=click.Path(exists=True, path_type=Path))
@click.option("--folds", default=5, show_default=True)
@click.option("--fold", "chosen", type=int, multiple=True, help="These alone.")
@click.option("--time", "budget", help="Of each training, where not its steps end it.")
@click.option(
    "--scorer", type=click.Path(exists=True), help="Called with MAPS MASKS --json instead of score masks."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="A folder for the runs.")
@click.argument("options", nargs=-1)
def cross(
    images: Path,
    masks: Path,
    folds: int,
    chosen: tuple[int, ...],
    budget: str | None,
    scorer: str | None,
    output: Path,
    options: tuple[str, ...],
) -> None:
    """Cross-validation: each fold is segmented by a model that has not seen it, nor been chosen by it."""
    from imgtool.data.mask_pairs import find_mask_pairs

    pairs = find_mask_pairs(images, masks)
    for fold in chosen or range(folds):
        held = pairs[len(pairs) * fold // folds : len(pairs) * (fold + 1) // folds]
        place = output / f"fold{fold}"
        for name in ("images", "masks", "held", "truth"):
            (place / name).mkdir(parents=True, exist_ok=True)
        for pair in pairs:
            left, right = ("held", "truth") if pair in held else ("images", "masks")
            for path, folder in ((pair.image, left), (pair.mask, right)):
                link = place / folder / path.name
                if not link.exists():
                    link.symlink_to(path.resolve())
        train = ["train-segment", str(place / "images"), str(place / "masks"), "-o", str(place / "run")]
        begun = (place / "run" / "options.json").exists()
        train = (
            [*train[:1], *train[3:], "--resume"]
            if begun
            else [*train, *(["--time", budget] if budget else []), *options]
        )
        run(*IMGTOOL, *train)  # a run that is done is only scored again
        for kind in ("--kind=probability", "--kind=probability --tta"):
            maps = place / ("maps-tta" if "tta" in kind else "maps")
            words = [
                "segment",
                str(place / "held"),
                "-o",
                str(maps),
                "--weights",
                str(place / "run"),
                "-q",
                "-f",
            ]
            run(*IMGTOOL, *words, *kind.split())
            command = (
                [sys.executable, scorer, str(maps), str(place / "truth"), "--invert", "--json"]
                if scorer
                else [*IMGTOOL, "score", "masks", str(maps), str(place / "truth"), "--json"]
            )
            print(f"fold {fold}, {len(held)} pictures, {kind}: {run(*command).splitlines()[-1]}", flush=True)


if __name__ == "__main__":
    bench()
