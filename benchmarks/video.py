"""Measure how a film flickers when `imgtool stylize` repaints it: frame by frame against `--video`.

    python benchmarks/video.py
    python benchmarks/video.py --pan --weights palette

A film is made of a photo: a disc that moves before it, or a camera that goes along it, and the noise of a sensor.
Flicker is the mean absolute difference, in levels of 255, of a result from that of the frame before, where the
film stands still; with --pan after both are laid over each other as the camera went. Results are kept in
benchmarks/README.md.
"""

import resource
import subprocess
import tempfile
from pathlib import Path

import click
import numpy as np
from measure import IMGTOOL
from PIL import Image

EXAMPLES = Path(__file__).parent.parent / "examples"
PHOTO, STYLE, DISC = EXAMPLES / "chelsea.jpg", EXAMPLES / "night.jpg", EXAMPLES / "astronaut.jpg"
NOISE = 4.0  # levels of 255: a sensor in dim light
SIDE = 64  # pixels of the disc
STEP = 4  # pixels that the camera goes from frame to frame


@click.command()
@click.option("--photo", type=click.Path(exists=True, path_type=Path), default=PHOTO, show_default=True)
@click.option("--style", type=click.Path(exists=True, path_type=Path), default=STYLE, show_default=True)
@click.option("--size", default=256, show_default=True)
@click.option("--frames", default=12, show_default=True)
@click.option("--pan", is_flag=True, help="The camera moves, instead of a disc before it.")
@click.option("--weights", help="Repaint in one pass.")
@click.option("--keep", type=click.Path(path_type=Path), help="A folder for all frames.")
@click.option("--only-video", is_flag=True, help="Leave frame by frame away.")
@click.argument("words", nargs=-1)
def bench(
    photo: Path,
    style: Path,
    size: int,
    frames: int,
    pan: bool,
    weights: str | None,
    keep: Path | None,
    only_video: bool,
    words: tuple[str, ...],
) -> None:
    """Flicker of both ways, and the seconds of each; WORDS are options for both."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = keep or Path(temporary)
        still = make_film(folder / "film", photo, size, frames, pan=pan)
        tell("the film itself", folder / "film", still, pan=pan)
        how = ["--weights", weights] if weights else ["--style", str(style), "--size", str(size)]
        for name, more in (("frame by frame", []), ("--video", ["--video"])):
            if only_video and not more:
                continue
            out = folder / name.strip("-").replace(" ", "-")
            began = processor_seconds()
            command = [*IMGTOOL, "stylize", str(folder / "film"), *how, "-o", str(out), "-qf", *more, *words]
            subprocess.run(command, check=True)
            seconds = (processor_seconds() - began) / frames
            tell(f"{name}, {seconds:.1f} s of processor time a frame", out, still, pan=pan)


def processor_seconds() -> float:
    """Of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def make_film(folder: Path, photo: Path, size: int, frames: int, *, pan: bool) -> np.ndarray:
    """Write the frames, and return where each stands still against the one before, (frames - 1, H, W)."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    with Image.open(photo) as image, Image.open(DISC) as other:
        width = size + (STEP * frames if pan else 0)
        scene = np.asarray(image.convert("RGB").resize((width, size * 2 // 3)), float)
        disc = np.asarray(other.convert("RGB").resize((SIDE, SIDE)), float)
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    round_ = rows**2 + columns**2 < (SIDE / 2) ** 2
    covered = np.zeros((frames, *scene.shape[:1], size), bool)
    for index in range(frames):
        frame = scene[:, STEP * index : STEP * index + size].copy() if pan else scene.copy()
        if not pan:
            left = round((size - SIDE) * index / max(1, frames - 1))
            place = np.s_[size // 3 - SIDE // 2 : size // 3 + SIDE // 2, left : left + SIDE]
            frame[place] = np.where(round_[..., None], disc, frame[place])
            covered[index][place] = round_
        noisy = frame + random.normal(0, NOISE, frame.shape)
        Image.fromarray(noisy.clip(0, 255).round().astype(np.uint8)).save(folder / f"f{index + 1}.png")
    return ~(covered[1:] | covered[:-1])


def tell(name: str, folder: Path, still: np.ndarray, *, pan: bool) -> None:
    """The flicker of the frames in a folder."""
    found = []
    shown = [
        np.asarray(Image.open(folder / f"f{number}.png").convert("RGB"), float)
        for number in range(1, len(still) + 2)
    ]
    for before, now, where in zip(shown, shown[1:], still, strict=False):
        if pan:
            found.append(np.abs(now[:, :-STEP] - before[:, STEP:]).mean())
        else:
            found.append(np.abs(now - before)[where].mean())
    print(f"{name}: flicker {np.mean(found):.2f}, at most {np.max(found):.2f}")


if __name__ == "__main__":
    bench()
