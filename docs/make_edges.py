"""Make docs/images/edges.jpg, the picture of the README: a photo, Canny's edges and the default detector's.

python docs/make_edges.py
"""

from pathlib import Path

from panels import save_rows
from PIL import Image

import imgtool
from imgtool.imaging.io import read_picture
from imgtool.imaging.overlay import canny_edges

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


def main() -> None:
    """A row a photo."""
    save_rows([row(name) for name in PHOTOS], "edges.jpg")


if __name__ == "__main__":
    main()
