"""Measure `imgtool edges`: speed and memory, and how good and how exact its maps are.

    python benchmarks/edges.py speed --size 481x321
    python benchmarks/edges.py accuracy --set BSDS500/data/images/val --weights hed
    python benchmarks/edges.py agreement
    python benchmarks/edges.py memory
    python benchmarks/edges.py exact

`speed` runs the same network in PyTorch as every repository has it, in OpenCV's dnn and in ONNX Runtime, each side in
a process of its own with the same threads (`pip install opencv-python-headless onnxruntime onnx`; what is not there
is left out). Times are wall time of this machine; only ratios carry over to another. On a busy one take `--threads 1
--clock processor`: what others do then changes little. Results are printed as rows of
the table in benchmarks/README.md.
"""

import importlib.util
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
from measure import IMGTOOL, peak, ratio, run

from imgtool.runtime import processor

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples"
# What each rival needs, by the names of modules and distributions
RIVALS = {
    "plain": {},
    "opencv": {"cv2": "opencv-python-headless", "onnx": "onnx"},
    "onnxruntime": {"onnxruntime": "onnxruntime", "onnx": "onnx"},
    "onnxruntime-int8": {"onnxruntime": "onnxruntime", "onnx": "onnx"},
}
SIZES = {"481x321": (481, 321), "2mp": (1920, 1080)}
SECONDS = 12.0  # of passes that a side is measured for

weights = click.option("--weights", default="hed", show_default=True, help="NAME, RUN or FILE.")
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}

clock = click.option("--clock", type=click.Choice(list(CLOCKS)), default="wall", show_default=True)
threads = click.option("--threads", default=processor.cores(), show_default=True)
photos = click.argument("photos", nargs=-1, type=click.Path(exists=True, path_type=Path))


@click.group()
def bench() -> None:
    """Benchmarks of edges."""


@bench.command()
@click.option("--size", "sizes", type=click.Choice(list(SIZES)), multiple=True, default=list(SIZES))
@click.option("--rival", "rivals", type=click.Choice(list(RIVALS)), multiple=True, default=list(RIVALS))
@click.option("--weights", "ours", multiple=True, default=["hed", "hed-small", "hed-lite"], show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--seconds", default=SECONDS, show_default=True, help="That a side is measured for in a round.")
@clock
@threads
def speed(
    sizes: tuple[str, ...],
    rivals: tuple[str, ...],
    ours: tuple[str, ...],
    rounds: int,
    seconds: float,
    clock: str,
    threads: int,
) -> None:
    """A picture's edges by `hed` in other engines and by ours, A B A B, a process each."""
    sides = [*filter(_installed, rivals), *filter(_at_hand, ours)]
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            found: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
            for _ in range(rounds):
                for name, results in found.items():
                    results.append(_measured(name, size, seconds, clock, threads, Path(folder)))
            _tell_speed(size, found, Path(folder))


def _installed(rival: str) -> bool:
    missing = [pip for module, pip in RIVALS[rival].items() if importlib.util.find_spec(module) is None]
    if missing:
        print(f"{rival} is left out: pip install {' '.join(missing)}")
    return not missing


def _at_hand(name: str) -> bool:
    from imgtool.errors import WeightsError
    from imgtool.runtime.registry import find_weights

    try:
        find_weights(name)
    except WeightsError as error:
        print(f"{name} is left out: {error.message}")
        return False
    return True


def _measured(
    name: str, size: str, seconds: float, clock: str, threads: int, folder: Path
) -> dict[str, float]:
    command = [sys.executable, __file__, "side", name, "--size", size, "--folder", str(folder)]
    command += ["--seconds", str(seconds), "--clock", clock, "--threads", str(threads)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(f"{name} failed: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def _tell_speed(size: str, found: dict[str, list[dict[str, float]]], folder: Path) -> None:
    """Each side's times, then a row for each pair with ours."""
    times = {name: [result["median"] for result in results] for name, results in found.items()}
    for name, seconds in times.items():
        best = min(result["best"] for result in found[name])
        print(f"{name:16} {size}: median {statistics.median(seconds):.3f} s, best pass {best:.3f} s")
    _tell_same(size, list(times), folder)
    ours = [name for name in times if name not in RIVALS]
    pairs = [(name, ours[0]) for name in times if name in RIVALS and ours]
    pairs += [(ours[0], other) for other in ours[1:]]
    for name, other in pairs:
        print(
            f"| {name} against {other} at {size}, {len(times[name])} pairs | `speed --size {size}` "
            f"| {ratio(times[name], times[other])} | |"
        )


def _tell_same(size: str, names: list[str], folder: Path) -> None:
    """That the rivals run the same network: how far their maps are from the plain one."""
    maps = {name: np.load(folder / f"{name}-{size}.npy") for name in names if name in RIVALS}
    for name in maps.keys() - {"plain"} if "plain" in maps else ():
        difference = np.abs(maps[name] - maps["plain"])
        print(
            f"{name:16} {size}: {difference.mean() * 255:.3f}/255 from plain, at most {difference.max():.5f}"
        )


@bench.command(hidden=True)
@click.argument("name")
@click.option("--size", type=click.Choice(list(SIZES)), required=True)
@click.option("--folder", type=click.Path(path_type=Path), required=True)
@click.option("--seconds", type=float, required=True)
@clock
@threads
def side(name: str, size: str, folder: Path, seconds: float, clock: str, threads: int) -> None:
    """One side of `speed`: pixels to probabilities, after a pass that warms up; JSON of the seconds a pass."""
    pixels = _photo(EXAMPLES / "chelsea.jpg", SIZES[size])
    if name in RIVALS:
        import rivals

        from imgtool.runtime.checkpoints import load_tensors
        from imgtool.runtime.registry import find_weights

        tensors = load_tensors(find_weights("hed"))
        detect = rivals.load(name, tensors, pixels.shape[:2], threads, folder)
    else:
        detect = Ours(name, threads=threads)
    found = detect(pixels)
    if name in RIVALS:
        np.save(folder / f"{name}-{size}.npy", found)
    spent: list[float] = []
    while not spent or (sum(spent) < seconds and len(spent) < 50):
        began = CLOCKS[clock]()
        detect(pixels)
        spent.append(CLOCKS[clock]() - began)
    print(json.dumps({"median": statistics.median(spent), "best": min(spent)}))


class Ours:
    """The whole task from pixels to probabilities, with the machine set up as the command does it."""

    def __init__(self, weights: str, *, threads: int | None = None, precision: str = "auto") -> None:
        processor.prepare(threads)
        from imgtool.runtime.device import select_device
        from imgtool.runtime.registry import find_weights
        from imgtool.tasks.load import load_hed

        self.network = load_hed(find_weights(weights), select_device("cpu", precision))

    def __call__(self, pixels: np.ndarray, **knobs: object) -> np.ndarray:
        """(H, W, 3) uint8 to (kinds, H, W) in [0, 1], by `EdgesOptions`."""
        from imgtool.options.edges import EdgesOptions
        from imgtool.tasks.edges import edges

        return np.stack([*edges(pixels, EdgesOptions(**knobs), network=self.network).maps.values()])


def _photo(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """The pixels of a photo, (H, W, 3) uint8, filled up by mirroring to a (width, height) if one is given."""
    from imgtool.imaging.io import read_picture
    from imgtool.imaging.picture import to_8_bits

    pixels = to_8_bits(read_picture(path).pixels)
    return pixels if size is None else _mirrored(pixels, *size)


def _mirrored(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    below, beside = max(0, height - len(pixels)), max(0, width - pixels.shape[1])
    return np.pad(pixels, ((0, below), (0, beside), (0, 0)), "symmetric")[:height, :width]


@bench.command()
@weights
@click.option("--set", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option(
    "--truth", type=click.Path(exists=True, path_type=Path), help="Instead of ../../groundTruth/NAME."
)
@click.option("--scales", default="1", show_default=True)
@click.option("--kind", default="average", show_default=True)
@click.option("--precision", default="auto", show_default=True)
@click.option(
    "--scorer", type=click.Path(exists=True, path_type=Path), help="Called with --pred DIR --gt DIR."
)
def accuracy(
    weights: str,
    folder: Path,
    truth: Path | None,
    scales: str,
    kind: str,
    precision: str,
    scorer: str | None,
) -> None:
    """ODS, OIS and AP of the command's maps of a folder of BSDS pictures."""
    truth = truth or folder.resolve().parents[1] / "groundTruth" / folder.resolve().name
    options = ["--weights", weights, "--scales", scales, "--kind", kind, "--precision", precision]
    with tempfile.TemporaryDirectory() as maps:
        run(*IMGTOOL, "edges", str(folder), "-o", maps, "-q", "--name", "{stem}.png", *options)
        scores = {"score edges": run(*IMGTOOL, "score", "edges", maps, str(truth), "--json")}
        if scorer:
            script = shlex.split(scorer)
            arguments = ["--pred", maps, "--gt", str(truth), "--json"]
            scores[Path(script[0]).name] = run(sys.executable, *script, *arguments)
    what = f"{weights}, {kind}, scales {scales}, {precision}, on {folder.name}"
    for name, output in scores.items():
        ods, ois, ap = _figures(output, "ods", "ois", "ap")
        print(f"| {what}, by {name} | `accuracy` | ODS **{ods:.4f}**, OIS {ois:.4f}, AP {ap:.4f} | |")


def _figures(output: str, *names: str) -> list[float]:
    """Numbers by name out of lines of JSON, at whatever depth and in whatever case they stand."""

    def numbers(value: object) -> Iterator[tuple[str, float]]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from [(key.lower(), inner)] if isinstance(inner, int | float) else numbers(inner)

    found = dict(
        pair for line in output.splitlines() if line.startswith("{") for pair in numbers(json.loads(line))
    )
    if missing := [name for name in names if name not in found]:
        raise click.ClickException(f"no {', '.join(missing)} in {output[:500]!r}")
    return [found[name] for name in names]


@bench.command()
@weights
@photos
def agreement(weights: str, photos: tuple[Path, ...]) -> None:
    """How far maps in bf16 are from those in fp32; by default of the photos in examples/."""
    coarse, fine = Ours(weights, precision="bf16"), Ours(weights, precision="fp32")
    means, worst = [], 0.0
    for path in photos or sorted(EXAMPLES.glob("*.jpg")):
        pixels = _photo(path)
        difference = np.abs(coarse(pixels) - fine(pixels))
        means.append(float(difference.mean()) * 255)
        worst = max(worst, float(difference.max()))
        print(f"{path.name:16} mean {means[-1]:.3f}/255, largest {difference.max() * 255:.1f}/255")
    print(
        f"| bf16 against fp32, {weights}, {len(means)} photos | `agreement` | mean **{np.mean(means):.2f}/255**, "
        f"of the worst photo {max(means):.2f}/255, largest anywhere {worst * 255:.1f}/255 | 2/255 |"
    )


@bench.command()
@weights
@click.option("--megapixels", default="12,100", show_default=True)
@click.argument("options", nargs=-1)
def memory(weights: str, megapixels: str, options: tuple[str, ...]) -> None:
    """Peak resident memory of the whole command, as the kernel counts it; OPTIONS go to it, after --."""
    for count in map(float, megapixels.split(",")):
        width, height = round((count * 4 / 3) ** 0.5 * 1000), round((count * 3 / 4) ** 0.5 * 1000)
        with tempfile.TemporaryDirectory() as folder:
            photo = f"{folder}/photo.jpg"
            # Another process, as the kernel counts what this one holds as the peak of its children
            run(sys.executable, __file__, "picture", str(width), str(height), photo)
            arguments = ["edges", photo, "-o", f"{folder}/out.png", "--weights", weights, "-q", *options]
            gigabytes, seconds = peak(*IMGTOOL, *arguments)
        what = " ".join(["peak memory of the command", weights, *options])
        print(f"| {what}, {width}x{height} | `memory` | **{gigabytes:.2f} GB**, {seconds:.0f} s | |")


@bench.command(hidden=True)
@click.argument("width", type=int)
@click.argument("height", type=int)
@click.argument("path", type=click.Path(path_type=Path))
def picture(width: int, height: int, path: Path) -> None:
    """A photo of a size, made of mirrored copies."""
    from PIL import Image

    Image.fromarray(_photo(EXAMPLES / "astronaut.jpg", (width, height))).save(path, quality=90)


@bench.command()
@weights
@click.option("--trials", type=click.IntRange(min=1), default=12, show_default=True)
@click.option("--seed", default=0, show_default=True)
def exact(weights: str, trials: int, seed: int) -> None:
    """Maps in tiles against whole ones in fp32, over random sizes, places and tiles."""
    random = np.random.default_rng(seed)
    photo, ours = _photo(EXAMPLES / "window.jpg"), Ours(weights, precision="fp32")
    worst = 0.0
    for _ in range(trials):
        height, width = random.integers(1, (*photo.shape[:2],), endpoint=True)
        top, left = (
            int(random.integers(0, room + 1)) for room in photo.shape[:2] - np.array((height, width))
        )
        tile = 16 * int(random.integers(1, 20))
        pixels = np.ascontiguousarray(photo[top : top + height, left : left + width])
        maps = (ours(pixels, tile=side, kind="all") for side in (tile, 10_000))
        difference = float(np.abs(np.subtract(*maps)).max())
        print(f"{width}x{height} in tiles of {tile}: {difference:.1e}")
        worst = max(worst, difference)
    what = f"tiles against whole, fp32, {weights}, every kind of map, {trials} sizes"
    print(f"| {what} | `exact` | at most **{worst:.1e}** | 1e-5 |")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    bench()
