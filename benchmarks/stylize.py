"""Measure `imgtool stylize` against what tutorials do, both sides in one run on the same pictures.

    python benchmarks/stylize.py evaluation
    python benchmarks/stylize.py recipe --content PHOTO --style PAINTING
    python benchmarks/stylize.py quality --content PHOTO --style PAINTING
    python benchmarks/stylize.py memory
    python benchmarks/stylize.py startup

Times are wall time of this machine; only ratios carry over to another. Results are kept in benchmarks/README.md.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
from measure import IMGTOOL, peak

from imgtool.runtime import processor

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples"
PHOTO, STYLE = EXAMPLES / "astronaut.jpg", EXAMPLES / "night.jpg"

pictures = [
    click.option("--content", type=click.Path(exists=True, path_type=Path), default=PHOTO, show_default=True),
    click.option("--style", type=click.Path(exists=True, path_type=Path), default=STYLE, show_default=True),
    click.option("--size", default=512, show_default=True),
]


def with_pictures(command: Callable) -> Callable:
    """--content, --style and --size."""
    for option in reversed(pictures):
        command = option(command)
    return command


@click.group()
def bench() -> None:
    """Benchmarks of stylize."""


@bench.command()
@with_pictures
@click.option("--rounds", default=5, show_default=True)
def evaluation(content: Path, style: Path, size: int, rounds: int) -> None:
    """One forward and backward pass with all losses: plain fp32 against ours, A B A B, a process each."""
    times: dict[str, list[float]] = {"plain": [], "ours": []}
    arguments = ["--content", str(content), "--style", str(style), "--size", str(size)]
    for _ in range(rounds):
        for name, seconds in times.items():
            command = [sys.executable, __file__, "side", name, *arguments]
            seconds.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    for name, seconds in times.items():
        spread = f"min {min(seconds):.3f}, max {max(seconds):.3f}"
        print(f"{name:6} median {statistics.median(seconds):.3f} s, {spread}")
    ratios = [plain / ours for plain, ours in zip(*times.values(), strict=True)]
    print(f"ratio  median {statistics.median(ratios):.2f}, min {min(ratios):.2f}, max {max(ratios):.2f}")


@bench.command(hidden=True)
@click.argument("name", type=click.Choice(["plain", "ours"]))
@with_pictures
def side(name: str, content: Path, style: Path, size: int) -> None:
    """The median seconds of one side of `evaluation`; only ours has its settings of threads and memory."""
    if name == "ours":
        processor.prepare()
    import torch
    from judge import Objective, load_pair

    pair = load_pair(content, style, size)
    objective = Objective(*pair, plain=True) if name == "plain" else _our_objective(*pair)
    seconds = []
    for _ in range(8):
        began = time.perf_counter()
        leaf = pair[0].clone().requires_grad_()
        loss = objective.loss(leaf) if isinstance(objective, Objective) else objective(leaf).total
        torch.autograd.grad(loss, leaf)
        seconds.append(time.perf_counter() - began)
    print(statistics.median(seconds[2:]))  # the first two warm up


@bench.command()
@with_pictures
@click.option("--seconds", default=300.0, show_default=True, help="What the textbook gets.")
@click.option(
    "--clamp", is_flag=True, help="The textbook clamps the picture to [0, 1] before each evaluation."
)
def recipe(content: Path, style: Path, size: int, seconds: float, clamp: bool) -> None:
    """Time until the default recipe has the J that the textbook has after --seconds: ours, textbook, ours."""
    processor.prepare()
    from judge import Objective, load_pair

    photo, painting = load_pair(content, style, size)
    judge = Objective(photo, painting)
    print(f"{content.name} + {style.name} at {size} px; J of the photo {judge(photo) / 1e3:.1f} (thousands)")
    curves = [_our_curve(content, style, size, judge)]
    spent, evaluations, image = _textbook(photo, judge, seconds, clamp)
    goal = judge(image)
    print(
        f"textbook{' clamped' if clamp else ''}: J {goal / 1e3:.1f} after {spent:.0f} s, {evaluations} evaluations"
    )
    curves.append(_our_curve(content, style, size, judge))
    for curve in curves:
        reached = next((at for at, value in curve if value <= goal), None)
        last, final = curve[-1]
        if reached is None:
            print(f"ours: J {final / 1e3:.1f} after {last:.1f} s, did not reach {goal / 1e3:.1f}")
        else:
            end = f"J {final / 1e3:.1f} after {last:.1f} s"
            print(f"ours: reached it after {reached:.1f} s, {spent / reached:.1f}x; {end}")


@bench.command()
@with_pictures
@click.option("--seconds", default=60.0, show_default=True, help="What each side gets.")
def quality(content: Path, style: Path, size: int, seconds: float) -> None:
    """SCORE, content kept and style gained at equal time: ours, the textbook's with and without clamping."""
    processor.prepare()
    from judge import Objective, Score, load_pair

    photo, painting = load_pair(content, style, size)
    judge, score = Objective(photo, painting), Score(photo, painting)
    sides = {
        "photo": photo,
        "ours": _our_picture(content, style, size, seconds),
        "textbook": _textbook(photo, judge, seconds, clamp=False)[2],
        "textbook clamped": _textbook(photo, judge, seconds, clamp=True)[2],
    }
    print(f"{content.name} + {style.name} at {size} px, {seconds:.0f} s each")
    for name, image in sides.items():
        total, kept, gained = score(image)
        print(
            f"{name:17} SCORE {total:5.1f}  kept {kept:.3f}  gained {gained:.3f}  J {judge(image) / 1e3:.1f}"
        )


@bench.command()
@click.option("--sizes", default="512,1024", show_default=True)
def memory(sizes: str) -> None:
    """Peak resident memory of the whole command, as the kernel counts it."""
    for size in sizes.split(","):
        with tempfile.TemporaryDirectory() as folder:
            arguments = [
                "stylize",
                str(PHOTO),
                str(STYLE),
                "-o",
                f"{folder}/out.png",
                "--size",
                size,
                "--steps",
                "12",
            ]
            gigabytes, _ = peak(*IMGTOOL, *arguments, "-q")
            print(f"{size} px: {gigabytes:.2f} GB")


@bench.command()
@click.option("--rounds", default=7, show_default=True)
def startup(rounds: int) -> None:
    """`--help` against a bare interpreter, A B A B, and the seconds until the first step of stylize."""
    sides = {"python -c pass": [sys.executable, "-c", "pass"], "imgtool --help": [*IMGTOOL, "--help"]}
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, command in sides.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - began)
    for name, seconds in times.items():
        print(f"{name:15} median {statistics.median(seconds) * 1e3:.0f} ms, min {min(seconds) * 1e3:.0f} ms")
    print(f"first step of stylize at 512 px: {', '.join(f'{_first_step():.1f} s' for _ in range(3))}")


def _first_step() -> float:
    """Seconds from typing the command to the beginning of its first evaluation."""
    program = (
        "import sys, time, imgtool.tasks.stylize as task\n"
        "first = task._evaluate\n"
        "def told(*arguments):\n"
        "    print(time.time(), flush=True)\n"
        "    sys.stdout.flush()\n"
        "    raise KeyboardInterrupt\n"
        "task._evaluate = told\n"
        "from imgtool.cli.main import main\n"
        "main()\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["stylize", str(PHOTO), str(STYLE), "-o", f"{folder}/out.png", "-q"]
        began = time.time()
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments], check=False, capture_output=True, text=True
        )
        return float(done.stdout.split()[0]) - began


def _our_objective(photo, painting):  # type: ignore[no-untyped-def]
    """The default recipe's objective at full size, in the precision that it picks here."""
    from imgtool.options.stylize import StylizeOptions
    from imgtool.runtime.device import select_device
    from imgtool.runtime.registry import find_weights
    from imgtool.tasks.load import load_style_network
    from imgtool.tasks.style_objective import Style, StyleObjective

    options = StylizeOptions()
    network = load_style_network(find_weights("vgg19"), options, select_device())
    return StyleObjective(photo, [Style(painting)], options, network)


def _our_curve(content: Path, style: Path, size: int, judge: Callable) -> list[tuple[float, float]]:
    """(seconds, J) of the default recipe after each step; the judge's own time is not counted."""
    import imgtool
    from imgtool.imaging.tensors import resize

    curve: list[tuple[float, float]] = []
    judging = 0.0

    def on_step(step, image) -> None:  # type: ignore[no-untyped-def]
        nonlocal judging
        now = time.perf_counter()
        if step.number % 2 == 0:
            full = resize(image, judge.size)
            curve.append((now - began - judging, judge(full)))
        judging += time.perf_counter() - now

    began = time.perf_counter()
    imgtool.stylize(content, style, size=size, on_step=on_step)
    return curve


def _our_picture(content: Path, style: Path, size: int, seconds: float):  # type: ignore[no-untyped-def]
    import imgtool

    return imgtool.stylize(content, style, size=size, time=seconds).image


def _textbook(photo, judge, seconds: float, clamp: bool):  # type: ignore[no-untyped-def]
    """torch.optim.LBFGS on the pixels of the photo in plain fp32: (seconds spent, evaluations, picture)."""
    import torch
    from judge import Objective

    plain = Objective(*judge.pair, plain=True)
    image = photo.clone().requires_grad_()
    # One iteration a call is one evaluation; the optimiser keeps its state between the calls.
    optimizer = torch.optim.LBFGS([image], max_iter=1, history_size=100, tolerance_grad=0, tolerance_change=0)

    def closure():  # type: ignore[no-untyped-def]
        if clamp:
            image.data.clamp_(0, 1)
        optimizer.zero_grad()
        loss = plain.loss(image)
        loss.backward()
        image.grad = image.grad.contiguous()
        return loss

    began, evaluations = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        optimizer.step(closure)
        evaluations += 1
    return time.perf_counter() - began, evaluations, image.detach()


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    bench()
