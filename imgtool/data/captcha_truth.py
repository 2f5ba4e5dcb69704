"""What a set of captchas tells about how legible its glyphs are."""

from __future__ import annotations

import json
from pathlib import Path

from imgtool.data.captcha_shards import TRUTH


def glyphs_known(place: Path, most: int) -> list[tuple[float, float]]:
    """Contrast and visible share of each glyph of the first captchas of a set; none, if it does not tell.

    Args:
        place: its folder, or its file of labels.
        most: captchas.
    """
    path = (place if place.is_dir() else place.parent) / TRUTH
    try:
        with path.open(encoding="utf-8") as lines:
            records = [json.loads(line) for _, line in zip(range(most), lines, strict=False)]
        return [
            (float(glyph["contrast"]), float(glyph["visible"]))
            for record in records
            for glyph in record["glyphs"]
        ]
    except (OSError, ValueError, LookupError, TypeError):
        return []
