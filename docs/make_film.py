"""Make docs/images/film.webp: a film, repainted frame by frame and with `--video`.

python docs/make_film.py
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from panels import GAP, IMAGES
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"
PHOTO, STYLE = EXAMPLES / "chelsea.jpg", EXAMPLES / "night.jpg"
FRAMES, STEP, WIDTH, HEIGHT = 10, 3, 200, 160  # pixels, and how far the camera goes from frame to frame
NOISE = 4.0  # levels of 255: a sensor in dim light
MILLISECONDS = 120
QUICK = ("--size", WIDTH, "--steps", "12,20", "--frame-steps", "14")


def film(folder: Path) -> Path:
    """A camera that goes along a photo."""
    scene = np.asarray(Image.open(PHOTO).convert("RGB").resize((WIDTH + STEP * FRAMES, HEIGHT)), float)
    random = np.random.default_rng(0)
    folder.mkdir()
    for index in range(FRAMES):
        frame = scene[:, index * STEP : index * STEP + WIDTH]
        noisy = (frame + random.normal(0, NOISE, frame.shape)).round().clip(0, 255)
        Image.fromarray(noisy.astype(np.uint8)).save(folder / f"{index}.png")
    return folder


def main() -> None:
    """Three films beside each other: the frames, each by itself, and each after the one before."""
    with tempfile.TemporaryDirectory() as folder:
        films = [film(Path(folder) / "film")]
        for name, words in (("each", ()), ("video", ("--video",))):
            films.append(Path(folder) / name)
            typed = ["stylize", films[0], "--style", STYLE, "-o", films[-1], *QUICK, *words]
            subprocess.run([sys.executable, "-m", "imgtool", *map(str, typed)], check=True)
        sheets = []
        for index in range(FRAMES):
            sheet = Image.new("RGB", (3 * WIDTH + 2 * GAP, HEIGHT), "white")
            for column, frames in enumerate(films):
                sheet.paste(Image.open(frames / f"{index}.png"), (column * (WIDTH + GAP), 0))
            sheets.append(sheet)
    there_and_back = [*sheets, *sheets[-2:0:-1]]
    how: dict[str, Any] = {"duration": MILLISECONDS, "loop": 0, "quality": 60, "method": 6}
    there_and_back[0].save(IMAGES / "film.webp", save_all=True, append_images=there_and_back[1:], **how)


if __name__ == "__main__":
    main()
