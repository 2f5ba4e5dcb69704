import hashlib
import io
import os
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image

from imgtool.cli.batch import Job
from imgtool.cli.session import Session
from imgtool.cli.sources import Source
from imgtool.errors import BadImage, OutputError

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
