"""Make docs/images/segment.jpg, the picture of the README: a picture, the probability of nuclei, and the overlay.

python docs/make_segment.py
"""

from pathlib import Path

import numpy as np
from panels import save_rows
from PIL import Image

import imgtool
from imgtool.imaging.io import read_picture
from imgtool.imaging.labels import mask_over
from imgtool.imaging.levels import levels

ROOT = Path(__file__).parents[1]
PART = (slice(60, 360), slice(140, 560))  # of the picture, at its own size


def main() -> None:
    """Three panels."""
    path = ROOT / "examples" / "cells.png"
    photo = np.ascontiguousarray(read_picture(path).pixels)
    found = imgtool.segment(path)
    panels = [
        photo,
        np.repeat(levels(found.foreground)[..., None], 3, axis=2),
        mask_over(photo, found.mask()),
    ]
    save_rows([[Image.fromarray(each[PART]) for each in panels]], "segment.jpg")


if __name__ == "__main__":
    main()
