"""Make docs/images/segment.jpg and segment_kinds.jpg: probability of nuclei and overlay; every kind of result.

python docs/make_segment.py
"""

from pathlib import Path

import numpy as np
from panels import save_rows, save_titled
from PIL import Image

import imgtool
from imgtool.imaging.io import read_picture
from imgtool.imaging.labels import contours_over, mask_over, palette
from imgtool.imaging.levels import levels

ROOT = Path(__file__).parents[1]
PART = (slice(60, 360), slice(140, 560))  # of the picture, at its own size


def main() -> None:
    """Three panels, and six with their names."""
    path = ROOT / "examples" / "cells.png"
    photo = np.ascontiguousarray(read_picture(path).pixels)
    found = imgtool.segment(path)
    objects = found.instances()
    kinds = {
        "the picture": photo,
        "mask": np.repeat(255 * found.mask()[..., None], 3, axis=2),
        "probability": np.repeat(levels(found.foreground)[..., None], 3, axis=2),
        "overlay": mask_over(photo, found.mask()),
        "instances": palette(objects.max() + 1)[objects],
        "contours": contours_over(photo, objects),
    }
    panels = {name: Image.fromarray(each[PART]) for name, each in kinds.items()}
    save_rows([[panels[name] for name in ("the picture", "probability", "overlay")]], "segment.jpg")
    save_titled(list(panels.items()), "segment_kinds.jpg", columns=3, height=260)


if __name__ == "__main__":
    main()
