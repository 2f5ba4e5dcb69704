"""Measure `imgtool captcha-gen`: drawing, encoding, the wave warp, and how two workers share the work.

    python benchmarks/captcha_gen.py drawing      (needs `pip install captcha`)
    python benchmarks/captcha_gen.py wave
    python benchmarks/captcha_gen.py workers

Sides take turns within one process (drawing, wave) or one command each (workers). Times are wall time here;
only ratios carry over to another. Results are printed as rows of the table in benchmarks/README.md.
"""

import io
import math
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import cv2
import numpy as np
from measure import IMGTOOL, ratio, run

LEVELS = ("easy", "medium", "hard")
BATCH = 300  # pictures a turn


@click.group()
def bench() -> None:
    """Benchmarks of captcha-gen."""
    cv2.setNumThreads(1)


def _style(level: str):  # type: ignore[no-untyped-def]
    from imgtool.imaging.fonts import find_fonts
    from imgtool.options.captcha import CaptchaOptions
    from imgtool.tasks.captcha import Captchas

    return Captchas(CaptchaOptions.of_level(level), find_fonts(()))


def _seconds(work: Callable[[int], object], turn: int, count: int = BATCH) -> float:
    began = time.perf_counter()
    for index in range(turn * count, (turn + 1) * count):
        work(index)
    return (time.perf_counter() - began) / count


@bench.command()
@click.option("--rounds", default=5, show_default=True)
def drawing(rounds: int) -> None:
    """Pictures of 160x60 with five characters against the package `captcha`, in memory and as PNG."""
    from captcha.image import ImageCaptcha

    from imgtool.imaging.quick import encoded

    theirs = ImageCaptcha(160, 60)
    styles = {level: _style(level) for level in LEVELS}

    def their_png(index: int) -> None:
        theirs.generate_image("ABCDE").save(io.BytesIO(), "png")

    sides: dict[str, Callable[[int], object]] = {
        "captcha": lambda index: theirs.generate_image("ABCDE"),
        "captcha, PNG": their_png,
    }
    for level, style in styles.items():
        sides[level] = lambda index, style=style: style.draw(index, truth=False)  # type: ignore[misc]
    medium = styles["medium"]
    sides["medium, PNG"] = lambda index: encoded(medium.draw(index, truth=False).pixels, "png")
    for work in sides.values():
        _seconds(work, 0, 64)
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds):
        for name, work in sides.items():
            times[name].append(_seconds(work, turn))
    for name in LEVELS:
        print(
            f"| {name} in memory against `captcha` | `drawing` | {_rates(times['captcha'], times[name])} | 8x |"
        )
    png = _rates(times["captcha, PNG"], times["medium, PNG"])
    print(f"| medium with PNG against `captcha` with PNG | `drawing` | {png} | 5x |")


def _rates(slow: list[float], fast: list[float]) -> str:
    rate = f"{1 / min(fast):,.0f} a second at best"
    return f"{ratio([1000 * each for each in slow], [1000 * each for each in fast]).replace(' s', ' ms', 2)}; {rate}"


@bench.command()
@click.option("--rounds", default=5, show_default=True)
def wave(rounds: int) -> None:
    """The wave of a picture of 400x150 against a double loop in Python, and against one that is supersampled."""
    from imgtool.imaging.wave import Wave

    smooth = Wave((3.0, 3.0), (60.0, 80.0), (0.3, 1.1))
    pixels = _drawn_text(150, 400)
    slow, fast = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        looped = _looped(pixels, smooth)
        slow.append(time.perf_counter() - began)
        fast.append(_seconds(lambda index: smooth.warp(pixels, border=255), 0, 50))
    truth = _supersampled(pixels, smooth)
    ours = smooth.warp(pixels, border=255)
    words = ratio([1000 * each for each in slow], [1000 * each for each in fast]).replace(" s", " ms", 2)
    print(f"| wave at 400x150 against a loop over pixels | `wave` | {words} | 90x |")
    print(
        f"| the same against 8 x 8 samples a pixel | `wave` | **{_psnr(ours, truth):.1f} dB** "
        f"(the loop: {_psnr(looped, truth):.1f} dB) | 35 dB |"
    )


def _drawn_text(height: int, width: int) -> np.ndarray:
    """A text in black on white, with soft edges, (H, W)."""
    pixels = np.full((height, width), 255, np.uint8)
    cv2.putText(pixels, "Captcha", (30, 105), cv2.FONT_HERSHEY_SIMPLEX, 2.6, 0, 7, cv2.LINE_AA)
    return cv2.GaussianBlur(pixels, (0, 0), 0.8)


def _looped(pixels: np.ndarray, wave) -> np.ndarray:  # type: ignore[no-untyped-def]
    """The recipe of tutorials: the nearest lower pixel, and where that is outside, what was there before."""
    height, width = pixels.shape
    result = pixels.copy()
    for y in range(height):
        for x in range(width):
            from_x = int(x + wave.amplitude[0] * math.sin(2 * math.pi * y / wave.length[0] + wave.phase[0]))
            from_y = int(y + wave.amplitude[1] * math.sin(2 * math.pi * x / wave.length[1] + wave.phase[1]))
            if 0 <= from_x < width and 0 <= from_y < height:
                result[y, x] = pixels[from_y, from_x]
    return result


def _supersampled(pixels: np.ndarray, wave, factor: int = 8) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Each pixel as the mean of factor x factor samples of the bilinear picture, in float64."""
    from scipy.ndimage import map_coordinates

    height, width = pixels.shape
    y, x = (np.mgrid[: height * factor, : width * factor] + 0.5) / factor - 0.5
    from_x = x + wave.amplitude[0] * np.sin(2 * np.pi * y / wave.length[0] + wave.phase[0])
    from_y = y + wave.amplitude[1] * np.sin(2 * np.pi * x / wave.length[1] + wave.phase[1])
    fine = map_coordinates(pixels.astype(float), [from_y, from_x], order=1, mode="constant", cval=255.0)
    return fine.reshape(height, factor, width, factor).mean(axis=(1, 3))


def _psnr(one: np.ndarray, other: np.ndarray) -> float:
    return 10 * math.log10(255**2 / float(np.mean((one.astype(float) - other) ** 2)))


@bench.command()
@click.option("-n", "--count", default=40_000, show_default=True)
@click.option("--rounds", default=2, show_default=True)
def workers(count: int, rounds: int) -> None:
    """WebDataset shards of PNGs by one worker and by two, whole commands."""
    one, two, work = [], [], []
    for _ in range(rounds):
        one.append(_generated(count, 1))
        before = _worked()
        two.append(_generated(count, 2))
        work.append(_worked() - before)
    words = f"{ratio(one, two)}; {count / min(two):,.0f} a second with two, {count / min(one):,.0f} with one"
    words += f"; two took {min(work):.1f} s of processors"
    print(f"| {count:,} PNGs in tars, one worker against two | `workers` | {words} | 1.6x, 3,000 a second |")


def _worked() -> float:
    """Seconds of processors that children have taken."""
    times = os.times()
    return times.children_user + times.children_system


def _generated(count: int, workers: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        run(
            *IMGTOOL,
            *("captcha-gen", "-n", str(count), "-o", str(Path(folder) / "set"), "--layout", "tar"),
            *("--workers", str(workers), "--quiet"),
        )
        return time.perf_counter() - began


if __name__ == "__main__":
    bench()
