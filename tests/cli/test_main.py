import os
import pty
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import click
import pytest
from PIL import Image

from imgtool import __version__, errors
from imgtool.cli import main, stylize_work
from imgtool.imaging.io import read_recipe

IMGTOOL = (sys.executable, "-m", "imgtool")


def test_version_and_help(imgtool):
    assert imgtool("--version") == (0, f"imgtool {__version__}\n".encode(), "")
    text = imgtool("--help").stdout.decode()
    assert all(f"\n  {name} " in text for name in main.COMMANDS)
    assert imgtool("-h").stdout.decode() == text


def test_no_command_shows_the_help(imgtool):
    code, stdout, stderr = imgtool()
    assert (code, stdout) == (2, b"")
    assert stderr.startswith("Usage: imgtool")
    assert stderr.count("\n") > 5


def test_every_command_has_an_example():
    for name, command in main.cli.commands.items():
        assert f"imgtool {name}" in (command.help or "") + (command.epilog or ""), name


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("stylise", "'stylize'"),
        ("style", "'stylize'"),
        ("docter", "'doctor'"),
        ("weights lst", "'list'"),
        ("stylize --stile a", "'--style'"),
    ],
)
def test_did_you_mean(imgtool, words, meant):
    result = imgtool(*words.split())
    assert result.code == 2
    assert meant in result.error


def test_a_file_in_place_of_a_command(imgtool, pictures):
    error = imgtool("photo.png", "painting.png").error
    assert "photo.png is a file, expected a command first: imgtool stylize photo.png" in error


def test_commands_are_a_mapping():
    commands = main.LazyCommands(main.COMMANDS)
    assert list(commands) == list(main.COMMANDS)
    assert "stylize" in commands
    assert not commands.loaded
    commands["new"] = click.Command("new")
    assert commands["new"].name == "new"
    del commands["new"]
    assert len(commands) == len(main.COMMANDS)


def all_errors(kind=errors.ImgtoolError):
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == "imgtool.errors":
            yield from all_errors(child)


@pytest.mark.parametrize("kind", list(all_errors()))
def test_every_error_is_one_line_and_its_exit_code(imgtool, pictures, monkeypatch, kind):
    arguments = (
        ("what", "went wrong") if kind in (errors.BadImage, errors.OptionError) else ("it went wrong",)
    )

    def fail(*_):
        raise kind(*arguments, hint="the cure")

    monkeypatch.setattr(stylize_work, "StylizeWork", fail)
    result = imgtool("stylize", "photo.png", "painting.png")
    assert result.code == kind.exit_code
    assert result.error.endswith("went wrong. Try: the cure")
    assert f"{kind.__name__} " in errors.__doc__
    shown = imgtool("stylize", "photo.png", "painting.png", "-vv").stderr
    assert shown.startswith("Traceback")
    assert imgtool("stylize", "photo.png", "painting.png", "-v").stderr.count("\n") == 1


def test_a_bug_shows_its_traceback(imgtool, pictures, monkeypatch):
    monkeypatch.setattr(stylize_work, "StylizeWork", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        imgtool("stylize", "photo.png", "painting.png")


def on_terminal(name, work, monkeypatch):
    """What a terminal gets that stands for stdout or stderr while `work` is done."""
    outside, inside = pty.openpty()
    shown = []

    def listen():
        try:
            while data := os.read(outside, 4096):
                shown.append(data)
        except OSError:  # the other side is closed
            pass

    ear = threading.Thread(target=listen)
    ear.start()
    with monkeypatch.context() as patch, os.fdopen(inside, "w") as stream:
        patch.setattr(sys, name, stream)
        work()
    ear.join()
    os.close(outside)
    return b"".join(shown).decode()


class TestTerminal:
    @pytest.fixture
    def run(self, pictures, quick):
        return lambda *more: main.run(["stylize", "photo.png", "painting.png", *quick, "--force", *more])

    def test_a_bar_in_colour(self, run, monkeypatch):
        monkeypatch.setenv("TERM", "xterm")
        shown = on_terminal("stderr", run, monkeypatch)
        assert "photo" in shown
        assert "━" in shown
        assert "\x1b[38" in shown or "\x1b[3" in shown
        assert "photo-stylize.png: 32x19, 1 steps" in shown

    def test_a_bar_without_colour(self, run, monkeypatch):
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("NO_COLOR", "1")
        shown = on_terminal("stderr", run, monkeypatch)
        assert "photo" in shown
        assert "\x1b[3" not in shown

    @pytest.mark.parametrize(("name", "value"), [("TERM", "dumb"), ("IMGTOOL_STYLIZE_QUIET", "1")])
    def test_no_bar(self, run, monkeypatch, name, value):
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv(name, value)
        shown = on_terminal("stderr", run, monkeypatch)
        assert "━" not in shown
        assert "\x1b" not in shown

    def test_no_picture_on_a_terminal(self, run, capsys, monkeypatch):
        codes = []
        shown = on_terminal("stdout", lambda: codes.append(run("-o", "-")), monkeypatch)
        assert (codes, shown) == ([2], "")
        assert "a picture is not written to a terminal" in capsys.readouterr().err


def test_a_reader_that_goes_away():
    reader, writer = os.pipe()
    os.close(reader)
    child = subprocess.run([*IMGTOOL, "--help"], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert child.returncode != 0
    assert child.stderr == b""


@pytest.mark.skipif(
    not Path("/dev/full").exists(),
    reason="needs /dev/full, which only Linux has",
)
def test_a_disk_that_is_full():
    with Path("/dev/full").open("w") as full:
        child = subprocess.run([*IMGTOOL, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert child.returncode == 1
    assert child.stderr == "error: cannot write: no space left on device\n"


SIGNALS = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "terminated")}


def test_signals_save_the_best_so_far(pictures, quick, listening):
    """Sent to children in the middle of optimisation, at the same time to save some."""
    children = {}
    for number in SIGNALS:
        words = ["stylize", "photo.png", "painting.png", *quick, "-o", f"{number:d}/out.png"]
        words += ["--steps", "100000", "--scales", "2", "--save-every", "1", "--json"]
        children[number] = subprocess.Popen(
            [*IMGTOOL, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    for number, child in children.items():
        while child.poll() is None and not Path(f"{number:d}/out-step0003.png").exists():
            time.sleep(0.02)
        child.send_signal(number)
    heard = {number: child.communicate(timeout=60) for number, child in children.items()}
    for number, (code, word) in SIGNALS.items():
        stdout, stderr = heard[number]
        assert children[number].returncode == code, stderr
        folder = Path(f"{number:d}")
        with Image.open(folder / "out.png") as image:
            assert image.size == (32, 19)
        steps = read_recipe(folder / "out.png")["options"]["steps"]
        assert steps[0] >= 3
        assert steps[1] == 0
        assert [path for path in folder.iterdir() if path.name.startswith(".")] == []
        result, go_on, last = stderr.splitlines()
        assert result.startswith(f"{number:d}/out.png: 32x19")
        assert "to go on: imgtool stylize photo.png --style painting.png --size=32 " in go_on
        assert last == f"error: {word}"
        assert stdout.count("\n") == 2
