"""Make docs/images/segment.jpg, the picture of the README: a picture, the probability of nuclei, and their outlines.

python docs/make_segment.py
"""

from pathlib import Path

import numpy as np
from panels import save_rows
from PIL import Image

import imgtool
from imgtool.imaging.io import read_picture
from imgtool.imaging.labels import contours_over
from imgtool.imaging.levels import levels

ROOT = Path(__file__).parents[1]


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
    height, width = (side * 2 // 3 for side in photo.shape[:2])
    small = [Image.fromarray(each).resize((width, height), Image.Resampling.LANCZOS) for each in panels]
    save_rows([small], "segment.jpg")


if __name__ == "__main__":
    main()
