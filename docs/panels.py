"""Pictures beside and below each other, for the makers of the pictures in README and docs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from imgtool.imaging.picture import Picture
from imgtool.imaging.sheet import draw_sheet

IMAGES = Path(__file__).parent / "images"
GAP = 8  # pixels


def save_rows(rows: Sequence[Sequence[Image.Image]], name: str) -> None:
    """Write docs/images/NAME: rows of pictures of one height, each row centred."""
    widths = [sum(each.width + GAP for each in row) - GAP for row in rows]
    height = sum(row[0].height + GAP for row in rows) - GAP
    sheet = Image.new("RGB", (max(widths), height), "white")
    top = 0
    for row, width in zip(rows, widths, strict=True):
        left = (sheet.width - width) // 2
        for each in row:
            sheet.paste(each, (left, top))
            left += each.width + GAP
        top += row[0].height + GAP
    IMAGES.mkdir(exist_ok=True)
    sheet.save(IMAGES / name, quality=90)


def save_titled(
    panels: Sequence[tuple[str, Image.Image]], name: str, *, columns: int, height: int, quality: int = 90
) -> None:
    """Write docs/images/NAME: pictures with their titles, `height` pixels high each."""
    pictures = [(title, Picture(np.asarray(image.convert("RGB")))) for title, image in panels]
    sheet = draw_sheet(pictures, panel_px=height, columns=columns)
    Image.fromarray(sheet.pixels).save(IMAGES / name, quality=quality)
