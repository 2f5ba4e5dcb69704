"""Pillow's own test images, about a thousand good, odd, damaged and hostile files, through every picture command."""

import json
import os
import subprocess
import sys
import tarfile
from functools import cache
from pathlib import Path

import pytest
from PIL import Image, ImageOps, UnidentifiedImageError
from safetensors.torch import load_file

from imgtool.errors import BadImage
from imgtool.imaging.io import read_picture
from imgtool.runtime import download, index
from imgtool.runtime.entries import Distribution, Pin

pytestmark = [pytest.mark.hostile, pytest.mark.filterwarnings("ignore:::PIL")]  # what Pillow says of them

SDIST = Distribution("pillow", "13.0.0", "pillow-13.0.0.tar.gz")
PIN = Pin(47_058_631, "cdcd1ba258178f7356d74170c9a81ba4eab6a5d55748bc402a5a2a6fe6be3510")
MAX_PIXELS = 1_000_000
PATIENCE = 600  # seconds for a thousand files: no file hangs
QUICK = ("--threads", "1", "--max-pixels", str(MAX_PIXELS))


@pytest.fixture(scope="module")
def images(request, tmp_path_factory):
    """The folder with them; the sdist comes from the index that pip uses, and is opened, not run."""
    archive = request.config.cache.mkdir("pillow") / SDIST.file
    if not archive.is_file():
        tried = []
        settings = index.read_settings(tried)
        with index.open_client(settings) as client:
            for candidate in index.candidates(client, settings, SDIST, PIN, tried):
                download.download(client, candidate, archive, PIN, lambda what, done, total: None)
                break
            else:
                pytest.skip(f"{SDIST.file} cannot be had: {'; '.join(tried)}")
    folder = tmp_path_factory.mktemp("pillow")
    with tarfile.open(archive) as file:
        inside = f"{SDIST.file.removesuffix('.tar.gz')}/Tests/images/"
        members = [member for member in file if member.name.startswith(inside) and member.isfile()]
        file.extractall(folder, members, filter="data")
    return folder / inside


@pytest.fixture
def through(folder, images):
    """Runs a command on all images; its exit code, records, summary and talk."""

    def through(*words, pictures=("**/*",)):
        typed = [sys.executable, "-P", "-m", "imgtool", *map(str, words), "--json", "--"]
        typed += [os.path.relpath(images / picture) for picture in pictures]
        here = str(Path(__file__).parents[2])
        done = subprocess.run(
            typed, capture_output=True, timeout=PATIENCE, text=True, env={**os.environ, "PYTHONPATH": here}
        )
        assert "Traceback" not in done.stderr
        *records, last = map(json.loads, done.stdout.splitlines())
        return done.returncode, records, last["summary"], done.stderr.splitlines()

    return through


@cache
def size_of(path):
    """Width and height, upright, as Pillow itself tells them; None if it knows no such picture, as tifffile may."""
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).size
    except UnidentifiedImageError:
        return None


def require_whole_or_nothing(images, folder, found):
    """Each file has one record; what was made is there, and nothing else is; the records of what was made."""
    code, records, summary, talk = found
    files = [path for path in images.rglob("*") if path.is_file()]
    assert len(files) > 1000
    done = [record for record in records if record.get("output")]
    made = {Path(record["output"]) for record in done}
    failed = [record for record in records if record.get("error")]
    assert len(records) == len(files) and len(made) + len(failed) == len(files)
    assert summary == {"done": len(made), "skipped": 0, "failed": len(failed)}
    assert code == 1 and len(made) > 690 and len(failed) > 300
    assert {path for path in folder.rglob("*") if path.is_file()} == {folder / path for path in made}
    errors = [line for line in talk if line.startswith("error: ")]
    assert all(line.startswith(("error: ", "note: ", "out/", "style ")) for line in talk[:-1])
    assert len(errors) == len(failed)
    for line, record in zip(errors, failed, strict=True):
        assert Path(record["input"]).name in line and len(line) < 1000
    return done


def require_sizes(records, side=None):
    """What was made can be read and has its input's size, or with a side its proportions."""
    for record in records:
        with Image.open(record["output"]) as result:
            result.load()
            assert result.size == (record["width"], record["height"])
            size = size_of(record["input"])
            if size and side:
                assert max(result.size) == side
                size = tuple(max(1, round(each * side / max(size))) for each in size)
            assert size in (result.size, None)


OUT = ("-o", "out", "--name", "{index}-{name}.png")


def test_edges(through, images, folder, narrow):
    found = through("edges", *OUT, "--weights", narrow / "edges.safetensors", *QUICK)
    require_sizes(require_whole_or_nothing(images, folder, found))


def test_stylize_in_one_pass(through, images, folder):
    found = through("stylize", *OUT, "--weights", "palette", *QUICK)
    require_sizes(require_whole_or_nothing(images, folder, found))


def test_segment(through, images, folder, narrow):
    found = through("segment", *OUT, "--weights", narrow / "segment.safetensors", *QUICK)
    require_sizes(require_whole_or_nothing(images, folder, found))


LAYER = ("--style-layers", "conv1_1", "--precision", "fp32")


def test_stylize_by_optimising(through, images, folder, random_vgg19, save):
    save("../painting.png")
    weights = ("--weights", random_vgg19, "--content-layers", "conv1_1", *LAYER)
    little = ("--style", "../painting.png", "--size", "24", "--scales", "1", "--steps", "1")
    found = through("stylize", *OUT, *little, *weights, *QUICK)
    require_sizes(require_whole_or_nothing(images, folder, found), side=24)


def test_save_style(through, images, folder, random_vgg19):
    out = ("-o", "out", "--name", "{index}-{name}.imgstyle", "--size", "32")
    found = through("save-style", *out, "--weights", random_vgg19, *LAYER, *QUICK)
    for record in require_whole_or_nothing(images, folder, found):
        assert all(gram.isfinite().all() for gram in load_file(record["output"]).values())


def test_captcha_read(through, images, folder):
    code, records, summary, _ = through("captcha-read", *QUICK)
    texts = [record["text"] for record in records if not record.get("error")]
    assert code == 1 and summary["done"] == len(texts) > 690
    assert len(records) == sum(path.is_file() for path in images.rglob("*"))


def is_good(path):
    try:
        read_picture(path, max_pixels=MAX_PIXELS)
    except BadImage:
        return False
    return True


@pytest.fixture(scope="module")
def sorted_out(images):
    """The files that can be read, and the others."""
    found = {True: [], False: []}
    for path in sorted(images.rglob("*")):
        if path.is_file():
            found[is_good(path)].append(path)
    return found[True], found[False]


def test_sheet(imgtool, sorted_out, folder):
    good, bad = sorted_out
    limit = ("--max-pixels", MAX_PIXELS)
    result = imgtool("sheet", *good, "-o", "sheet.png", "--height", "32", "--columns", "40", *limit)
    assert result.code == 0, result.stderr
    (folder / "sheet.png").unlink()
    for path in bad:
        result = imgtool("sheet", path, "-o", "sheet.png", "-q", *limit)
        assert result.code == 1 and path.name in result.error
    assert list(folder.iterdir()) == []


def test_inspect(imgtool, sorted_out):
    good, bad = sorted_out
    result = imgtool("inspect", *good, *bad)
    assert result.code == 1 and result.stdout == b""
    assert len(result.stderr.splitlines()) == len(good) + len(bad)
