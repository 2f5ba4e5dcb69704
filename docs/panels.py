"""Pictures beside and below each other, for the makers of the README's pictures."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

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
