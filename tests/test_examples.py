"""The pictures of `examples/`: small, with their terms, and the drawn ones as their script draws them."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageStat

EXAMPLES = Path(__file__).parents[1] / "examples"


def load_make_styles() -> ModuleType:
    """`examples/make_styles.py` as a module."""
    spec = importlib.util.spec_from_file_location("make_styles", EXAMPLES / "make_styles.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_styles = load_make_styles()


@pytest.mark.parametrize("name", list(make_styles.PICTURES))
def test_style_is_drawn_by_its_script(name: str) -> None:
    # Not to the byte: libraries round and encode differently from version to version.
    drawn, kept = make_styles.PICTURES[name](), Image.open(EXAMPLES / f"{name}.jpg")
    assert drawn.size == kept.size == (make_styles.WIDTH, make_styles.HEIGHT)
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
