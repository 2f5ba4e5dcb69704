import hashlib
import io
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imgtool.cli.batch import Job
from imgtool.cli.session import Session
from imgtool.cli.sources import Source
from imgtool.errors import BadImage, OutputError
from imgtool.imaging.io import read_recipe
from imgtool.imaging.raster_files import open_raster
from imgtool.imaging.strips import Layout

VALUES = {
    "max_pixels": 10**6,
    "force": False,
    "skip_existing": False,
    "threads": 1,
    "device": "cpu",
    "precision": "fp32",
}


@pytest.fixture
def session():
    return Session("stylize", VALUES)


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_a_file_and_its_sha256(session, pictures):
    picture, ingredient = session.read("photo.png", "pictures")
    assert picture.pixels.shape == (24, 40, 3)
    assert ingredient.sha256 == sha256("photo.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes, which Windows has not")
def test_a_pipe_is_read_once_and_whole(session, pictures):
    os.mkfifo("pipe")
    writer = threading.Thread(
        target=lambda: Path("pipe").write_bytes(Path("photo.png").read_bytes() + b"tail")
    )
    writer.start()
    _, ingredient = session.read("pipe", "pictures")
    writer.join()
    assert ingredient.sha256 == hashlib.sha256(Path("photo.png").read_bytes() + b"tail").hexdigest()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes, which Windows has not")
def test_a_pipe_is_read_once_for_measuring(session, pictures):
    os.mkfifo("pipe")
    data = Path("photo.png").read_bytes()
    writer = threading.Thread(target=lambda: Path("pipe").write_bytes(data))
    writer.start()
    with session.raster(Source(Path("pipe"))) as (raster, ingredient):
        assert raster.whole().shape == (24, 40, 3)
    writer.join()
    assert ingredient.sha256 == hashlib.sha256(data).hexdigest()
    assert ingredient.path == Path("pipe")


def test_a_raster_and_its_sha256(session, pictures):
    with session.raster(Source(Path("photo.png"))) as (raster, ingredient):
        assert (raster.height, raster.width, raster.channels) == (24, 40, 3)
    assert (ingredient.param, ingredient.sha256) == ("pictures", sha256("photo.png"))
    for name in ("gone.png", "."):
        with pytest.raises(BadImage), session.raster(Source(Path(name))):
            pass


def strips_of(session, name, rows, *, format="png", **more):
    job = Job(Source(Path("photo.png")), {"mask": Path(name)}, format)
    with session.strips(job, Layout(4, 5), {"command": "segment"}, sidecar=False, **more) as writer:
        writer.write(rows)


@pytest.mark.parametrize("name", ["out.png", "out.tif", "out.npy"])
def test_strips_are_there_when_all_is_written(session, folder, name):
    rows = np.arange(20, dtype=np.uint8).reshape(4, 5)
    strips_of(session, name, rows)
    with open_raster(name, max_pixels=100) as raster:
        assert np.array_equal(raster.whole()[..., 0], rows)
    assert read_recipe(Path(name)) == {"command": "segment"}
    assert sorted(path.name for path in folder.iterdir()) == [
        name,
        *(["out.npy.json"] if "npy" in name else []),
    ]
    with pytest.raises(OutputError):
        strips_of(session, name, rows)  # not without --force


@pytest.mark.parametrize("name", ["out.png", "out.tif", "out.npy", "-"])
def test_half_of_the_strips_leave_nothing(session, folder, name, capfdbinary):
    class Odd(Exception):
        pass

    job = Job(Source(Path("photo.png")), {"mask": Path(name)})
    with pytest.raises(Odd), session.strips(job, Layout(4, 5), {}, sidecar=True) as writer:
        writer.write(np.zeros((2, 5), np.uint8))
        raise Odd
    assert list(folder.iterdir()) == []
    assert capfdbinary.readouterr().out == b""


class Terminal(io.TextIOWrapper):
    def isatty(self):
        return True


@pytest.mark.parametrize(("stream", "found"), [(None, "closed"), (Terminal(io.BytesIO()), "a terminal")])
def test_stdin_without_a_picture(session, monkeypatch, stream, found):
    monkeypatch.setattr(sys, "stdin", stream)
    with pytest.raises(BadImage, match=f"stdin: it is {found}, expected the bytes of a picture"):
        session.read(Source(Path("-")), "pictures")


def test_files_that_cannot_be_read(session, folder):
    with pytest.raises(BadImage, match=r"gone\.png: no such file"):
        session.read("gone.png", "pictures")
    with pytest.raises(BadImage, match="is a directory"):
        session.read(str(folder), "pictures")


def test_notes_are_told(session, folder, capsys):
    frames = [Image.new("L", (8, 8), level) for level in (0, 255)]
    frames[0].save("two.gif", save_all=True, append_images=frames[1:])
    session.read("two.gif", "pictures")
    assert capsys.readouterr().err.startswith("note: two.gif: ")


@pytest.mark.skipif(
    not Path("/dev/full").exists(),
    reason="needs /dev/full, which only Linux has",
)
def test_stdout_that_is_full(session, pictures, monkeypatch):
    picture, _ = session.read("photo.png", "pictures")
    job = Job(Source(Path("photo.png")), {"stylize": Path("-")})
    stream = Path("/dev/full").open("w")  # noqa: SIM115, closing it fails
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(OutputError, match="cannot write stdout: no space left on device"):
        session.write(job, picture, {}, sidecar=False)
    with pytest.raises(OSError, match="No space left"):
        stream.close()
