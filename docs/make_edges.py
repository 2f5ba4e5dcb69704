"""Make docs/images/edges.jpg and edges_kinds.jpg: photos, Canny's edges and the default detector's; all it makes.

python docs/make_edges.py
"""

from pathlib import Path

from panels import save_rows, save_titled
from PIL import Image

import imgtool
from imgtool.imaging.io import read_picture
from imgtool.imaging.levels import levels
from imgtool.imaging.overlay import canny_edges, overlay

ROOT = Path(__file__).parents[1]
PHOTOS = ("coffee", "chelsea")
HEIGHT = 260  # pixels


def row(name: str) -> list[Image.Image]:
    """Photo, Canny, HED, of one height."""
    path = ROOT / "examples" / f"{name}.jpg"
    photo = read_picture(path).pixels
    panels = [Image.fromarray(photo), Image.fromarray(canny_edges(photo)), imgtool.edges(path).to_pil()]
    width = round(photo.shape[1] * HEIGHT / photo.shape[0])
    return [each.convert("RGB").resize((width, HEIGHT), Image.Resampling.LANCZOS) for each in panels]


def kinds(name: str) -> list[tuple[str, Image.Image]]:
    """What can be made of one photo, with the option that makes it."""
    path = ROOT / "examples" / f"{name}.jpg"
    found = imgtool.edges(path, kind="all")
    maps = {kind: Image.fromarray(levels(each)) for kind, each in found.maps.items()}
    thinned = found.thinned()
    drawn = {
        "--thin": levels(thinned),
        "--thin --threshold 0.3 --invert": levels(thinned, threshold=0.3, invert=True),
        "--overlay": overlay(read_picture(path).pixels, found.probabilities),
    }
    return [(f"--kind {kind}", image) for kind, image in maps.items()] + [
        (title, Image.fromarray(pixels)) for title, pixels in drawn.items()
    ]


def main() -> None:
    """A row a photo; and one photo in every way."""
    save_rows([row(name) for name in PHOTOS], "edges.jpg")
    save_titled(kinds("chelsea"), "edges_kinds.jpg", columns=5, height=200)


if __name__ == "__main__":
    main()
