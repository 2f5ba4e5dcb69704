from pathlib import Path

import pytest
from PIL import Image

from imgtool.cli.sheet import titles_of


@pytest.fixture
def many(folder, save):
    for seed in range(5):
        save(f"photos/{seed}.png", seed=seed)
    return folder


def size(path):
    with Image.open(path) as image:
        return image.size


def test_all_pictures_on_one(imgtool, many):
    result = imgtool("sheet", "photos", "--height", "64", "--columns", "2", "--json")
    assert result.code == 0
    (told,) = result.records
    assert told["output"] == "sheet.png" and len(told["input"]) == 5
    width, height = size("sheet.png")
    assert (told["width"], told["height"]) == (width, height)
    assert width == pytest.approx(2 * 64 * 40 / 24, rel=0.1)
    assert height > 3 * 64


def test_rows_as_they_fit(imgtool, many):
    imgtool("sheet", "photos", "--height", "64")
    imgtool("sheet", "photos", "--height", "64", "--columns", "1", "-o", "column.jpg")
    assert size("sheet.png")[0] > size("column.jpg")[0]


def test_made_again(imgtool, rerun, many):
    imgtool("sheet", "photos", "--height", "40", "--title", "a", *("--title", "b") * 4)
    rerun("sheet.png")


def test_a_link_to_nowhere_beside_what_is_replaced(imgtool, many):
    Path("photos/gone.png").symlink_to("nowhere.png")
    assert imgtool("sheet", "photos/0.png").code == 0
    result = imgtool("sheet", "photos", "--force")
    assert result.code == 1 and "gone.png" in result.stderr and "Traceback" not in result.stderr


def test_titles():
    paths = [Path("photos/a.jpg"), Path("lines/a.png"), Path("b.jpg"), Path("a.jpg")]
    assert titles_of(paths) == ["photos/a", "lines/a", "b", "a"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("photos", "--title", "a"), 2, "1 --title for 5 pictures"),
        (("photos", "-o", "sheet"), 2, "no suffix of a picture"),
        (("photos", "-o", "photos/0.png"), 2, "would replace an input"),
        (("photos", "-o", "there.png"), 2, "--force"),
        (("photos", "--height", "100", "--max-pixels", "20000"), 2, "use --height 63"),
        (("photos", "--max-pixels", "100"), 2, "use fewer pictures"),
        (("-",), 2, "takes files"),
        (("photos/9.png",), 2, "does not exist"),
        (("photos/0.png", "broken.png"), 1, "broken.png"),
        (("large.png", "--height", "32", "--max-pixels", "2000"), 1, "large.png"),
    ],
)
def test_refused(imgtool, many, save, arguments, code, words):
    save("there.png")
    save("large.png", size=(50, 50))
    Path("broken.png").write_bytes(b"no picture")
    before = {path: path.read_bytes() for path in many.rglob("*") if path.is_file()}
    result = imgtool("sheet", *arguments)
    assert result.code == code and words in result.error
    assert {path: path.read_bytes() for path in many.rglob("*") if path.is_file()} == before


def test_force(imgtool, many, save):
    save("sheet.png")
    assert imgtool("sheet", "photos", "-f", "--height", "64").code == 0
    assert size("sheet.png") != (40, 24)
