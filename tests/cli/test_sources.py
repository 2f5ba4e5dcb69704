import os
from pathlib import Path

import click
import pytest

from imgtool.cli import batch
from imgtool.cli.sources import READABLE, find_sources

NOBODY = 65534  # the user of that name on most systems


def touch(*names):
    for name in names:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_whatever_is_written_can_be_read():
    assert set(batch.FORMATS) < set(READABLE)


def test_files_folders_globs_and_stdin():
    touch("a.png", "in/b.JPG", "in/c.webp", "in/notes.txt", "in/.hidden.png", "in/deep/d.png")
    found = find_sources(["a.png", "in", "-", "in/d*/*.png"])
    assert [str(source) for source in found] == [
        "a.png",
        "in/b.JPG",
        "in/c.webp",
        "stdin",
        "in/deep/d.png",
    ]


def test_recursion_goes_into_folders_that_are_not_hidden():
    touch("in/b.png", "in/deep/er/d.png", "in/.cache/e.png")
    found = find_sources(["in"], recursive=True)
    assert [str(source.inside) for source in found] == [".", "deep/er"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["gone.png"], "gone.png does not exist"),
        (["*.gone"], "*.gone matches no file"),
        (["empty"], "empty holds no picture. Use -r"),
        (["empt*"], "empt* matches no file"),
        (["-", "-"], "stdin (-) can be read only once"),
        (["two\nlines"], r"two\nlines does not exist"),
        (["a\0b"], r"a\x00b does not exist"),
        (["x" * 5000], "xxx does not exist"),
        ([""], "an empty name does not exist"),
    ],
)
def test_refusals(given, message):
    Path("empty").mkdir()
    with pytest.raises(click.UsageError) as caught:
        find_sources(given)
    assert message in caught.value.message


@pytest.fixture
def nobody():
    """A folder that is locked, and not to be root, who may read it all the same."""
    before = os.geteuid()
    Path("locked").mkdir(mode=0)
    if before == 0:
        Path().chmod(0o755)  # of root, and still to be read
        os.seteuid(NOBODY)
    yield
    os.seteuid(before)


def test_unreadable_folder(nobody):
    with pytest.raises(click.UsageError, match="locked cannot be read"):
        find_sources(["locked"])


def test_a_file_called_dash_is_not_stdin():
    touch("-")
    (source,) = find_sources(["./-"])
    assert not source.is_stream


@pytest.mark.parametrize("name", [b"\xff.png", b"two\nlines.png", b"-v.png", "ü ☃.png".encode()])
def test_strange_names(name):
    touch(os.fsdecode(name))
    (source,) = find_sources([os.fsdecode(name)])
    assert source.path.read_bytes() == b""
    assert str(source).isprintable()
