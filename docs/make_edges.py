"""Make docs/images/edges.jpg, the picture of the README: a photo, Canny's edges and the default detector's.

python docs/make_edges.py
"""

from pathlib import Path

from PIL import Image

import imgtool
from imgtool.imaging.io import read_picture
from imgtool.imaging.overlay import canny_edges

ROOT = Path(__file__).parents[1]
PHOTOS = ("coffee", "chelsea")
HEIGHT, GAP = 260, 8  # pixels


def row(name: str) -> list[Image.Image]:
    """Photo, Canny, HED, of one height."""
    path = ROOT / "examples" / f"{name}.jpg"
    photo = read_picture(path).pixels
    panels = [Image.fromarray(photo), Image.fromarray(canny_edges(photo)), imgtool.edges(path).to_pil()]
    width = round(photo.shape[1] * HEIGHT / photo.shape[0])
    return [each.convert("RGB").resize((width, HEIGHT), Image.Resampling.LANCZOS) for each in panels]


def main() -> None:
    """A row a photo."""
    rows = [row(name) for name in PHOTOS]
    width = max(sum(each.width + GAP for each in panels) for panels in rows) - GAP
    picture = Image.new("RGB", (width, len(rows) * (HEIGHT + GAP) - GAP), "white")
    for index, panels in enumerate(rows):
        left = 0
        for each in panels:
            picture.paste(each, (left, index * (HEIGHT + GAP)))
            left += each.width + GAP
    target = ROOT / "docs" / "images" / "edges.jpg"
    target.parent.mkdir(exist_ok=True)
    picture.save(target, quality=90)


if __name__ == "__main__":
    main()
