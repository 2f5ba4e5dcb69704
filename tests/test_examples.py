"""The pictures of `examples/`: small, with their terms, and the drawn ones as their script draws them."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageStat

EXAMPLES = Path(__file__).parents[1] / "examples"

MAKE_STYLES = runpy.run_path(str(EXAMPLES / "make_styles.py"))


@pytest.mark.parametrize("name", list(MAKE_STYLES["PICTURES"]))
def test_style_is_drawn_by_its_script(name: str) -> None:
    # Not to the byte: libraries round and encode differently from version to version.
    drawn, kept = MAKE_STYLES["PICTURES"][name](), Image.open(EXAMPLES / f"{name}.jpg")
    assert drawn.size == kept.size == (MAKE_STYLES["WIDTH"], MAKE_STYLES["HEIGHT"])
    difference = ImageChops.difference(drawn.reduce(8), kept.reduce(8))
    assert max(ImageStat.Stat(difference).mean) < 4
    assert all(np.abs(np.array(ImageStat.Stat(drawn).stddev) - ImageStat.Stat(kept).stddev) < 4)


def test_every_picture_is_small_and_has_terms() -> None:
    terms = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    pictures = sorted(EXAMPLES.glob("*.jpg"))
    assert len(pictures) >= 6
    for path in pictures:
        assert f"`{path.name}`" in terms
        assert path.stat().st_size < 300_000
        with Image.open(path) as picture:
            assert 400 <= max(picture.size) <= 700
            assert not picture.getexif()
