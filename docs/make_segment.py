"""Make docs/images/segment.jpg, the picture of the README: a picture, the probability of nuclei, and their outlines.

python docs/make_segment.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

import imgtool
from imgtool.imaging.io import read_picture
from imgtool.imaging.labels import contours_over
from imgtool.imaging.levels import levels

ROOT = Path(__file__).parents[1]
GAP = 8  # pixels


def main() -> None:
    """Three panels."""
    path = ROOT / "examples" / "cells.png"
    photo = np.ascontiguousarray(read_picture(path).pixels)
    found = imgtool.segment(path)
    panels = [
        photo,
        np.repeat(levels(found.foreground)[..., None], 3, axis=2),
        contours_over(photo, found.instances()),
    ]
    height, width = photo.shape[:2]
    picture = Image.new("RGB", (3 * (width + GAP) - GAP, height), "white")
    for index, panel in enumerate(panels):
        picture.paste(Image.fromarray(panel), (index * (width + GAP), 0))
    picture.resize((picture.width * 2 // 3, picture.height * 2 // 3), Image.Resampling.LANCZOS).save(
        ROOT / "docs" / "images" / "segment.jpg", quality=90
    )


if __name__ == "__main__":
    main()
