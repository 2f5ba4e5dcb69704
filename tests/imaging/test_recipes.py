"""Recipes survive in every format, and hostile ones do no harm."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from imgtool.errors import RecipeError
from imgtool.imaging.encode import FORMATS
from imgtool.imaging.io import Picture, read_recipe, write_picture
from imgtool.imaging.recipes import MAX_RECIPE_BYTES, from_json, from_xmp, sidecar_path, to_json, to_xmp

PICTURE = Picture(np.full((8, 9, 3), 99, np.uint8))
RECIPE = {
    "command": "stylize",
    "options": {
        "steps": 300,
        "style_weight": 1e5,
        "size": None,
        "inputs": ["a & <b>.png", "ü漢\n", "\udcff]]>"],
    },
    "seed": 2**63,
}
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.none() | NUMBERS | st.text() | st.lists(st.text(), max_size=3)


@pytest.mark.parametrize("suffix", sorted(FORMATS))
@pytest.mark.parametrize("sidecar", [False, True])
def test_round_trip(tmp_path: Path, suffix: str, sidecar: bool) -> None:
    path = tmp_path / f"out.{suffix}"
    write_picture(path, PICTURE, recipe=RECIPE, sidecar=sidecar)
    assert read_recipe(path) == RECIPE
    beside = sidecar or suffix in ("bmp", "gif", "ppm")
    assert sidecar_path(path).exists() == beside
    if beside:
        assert read_recipe(sidecar_path(path)) == RECIPE
        assert sidecar_path(path).name == f"out.{suffix}.json"


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_png_has_a_text_chunk(tmp_path: Path, depth: type) -> None:
    write_picture(tmp_path / "a.png", Picture(np.zeros((2, 2, 3), depth)), recipe=RECIPE)
    data = (tmp_path / "a.png").read_bytes()
    assert b"iTXtimgtool:recipe\0\0\0\0\0" + to_json(RECIPE).encode() in data
    assert data.index(b"iTXt") < data.index(b"IDAT")


@settings(max_examples=60)
@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_json_and_xmp_lose_nothing(recipe: dict[str, object]) -> None:
    text = to_json(recipe)
    assert text.isascii()
    assert "\n" not in text
    assert from_json(text, "a") == recipe
    assert from_xmp(to_xmp(text)) == text


def test_canonical() -> None:
    assert to_json({"b": 1, "a": {"d": 2, "c": 3}}) == to_json({"a": {"c": 3, "d": 2}, "b": 1})
    assert to_json({"b": [1.5, None], "a": "ü"}) == '{"a":"\\u00fc","b":[1.5,null]}'


@pytest.mark.parametrize("bad", [{"a": float("nan")}, {"a": Path("x")}, {"a": "x" * MAX_RECIPE_BYTES}])
def test_what_is_no_json_is_refused_before_writing(tmp_path: Path, bad: dict[str, object]) -> None:
    with pytest.raises(RecipeError):
        write_picture(tmp_path / "a.png", PICTURE, recipe=bad)
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_too_long_for_jpeg_goes_beside_it(tmp_path: Path) -> None:
    most = 65_504 - len(to_xmp('{"text":""}'))
    for length, letter, beside in (
        (most, "x", False),
        (most + 1, "x", True),
        (most // 4, "<", False),
        (most, "<", True),
    ):
        path = tmp_path / f"{length}{letter.isalpha()}.jpg"
        recipe = {"text": letter * length}
        notes = write_picture(path, PICTURE, recipe=recipe)
        assert read_recipe(path) == recipe
        assert sidecar_path(path).exists() == beside
        assert bool(notes) == beside


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        "null",
        '"a"',
        '{"a": NaN}',
        '{"a": -Infinity}',
        "[" * 100_000,
        '{"a":' * 50_000,
        "1" * 5000,
    ],
)
def test_damaged(tmp_path: Path, text: str) -> None:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt("imgtool:recipe", text)
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png", pnginfo=chunks)
    (tmp_path / "a.json").write_text(text)
    for name in ("a.png", "a.json"):
        with pytest.raises(RecipeError, match=r"a\.\w+: its recipe is damaged") as caught:
            read_recipe(tmp_path / name)
        assert caught.value.hint
        assert len(caught.value.message) < 300
        assert "\n" not in caught.value.message


def test_too_large(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b" " * (MAX_RECIPE_BYTES + 1))
    with pytest.raises(RecipeError, match="larger than"):
        read_recipe(tmp_path / "a.json")


def test_none(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", PICTURE)
    (tmp_path / "text.png").write_text("no picture")
    for name, reason in (
        ("a.png", "no recipe"),
        ("missing.png", "no such file"),
        ("text.png", "not a picture"),
        ("", "directory"),
    ):
        with pytest.raises(RecipeError, match=reason):
            read_recipe(tmp_path / name)


def test_no_entity_is_interpreted() -> None:
    packet = (
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><imgtool:recipe>{"a":"&b;"}</imgtool:recipe>'
    )
    assert from_xmp(packet) == '{"a":"&b;"}'
    assert from_xmp(b"<imgtool:recipe>") is None
