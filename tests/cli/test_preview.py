"""The picture in the terminal: half blocks, only on a terminal, and gone when the work ends."""

import io
import os
import pty
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from rich.console import Console as Terminal

from imgtool.cli import preview
from imgtool.cli.preview import HalfBlocks, small


def test_two_pixels_a_character():
    blocks = HalfBlocks()
    blocks.show(np.array([[[255, 0, 0], [1, 2, 3]], [[0, 255, 0], [4, 5, 6]]], np.uint8))
    written = io.StringIO()
    Terminal(file=written, force_terminal=True, color_system="truecolor", width=10).print(blocks, end="")
    assert "\x1b[38;2;255;0;0;48;2;0;255;0m▀" in written.getvalue()
    assert "\x1b[38;2;1;2;3;48;2;4;5;6m▀" in written.getvalue()
    assert written.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    ("size", "room", "expected"),
    [
        ((100, 200), (80, 40), (40, 80)),
        ((200, 100), (80, 20), (40, 20)),
        ((1, 1), (80, 20), (40, 40)),
        ((500, 2), (80, 20), (40, 1)),
        ((100, 100), (1, 1), (2, 1)),
        ((100, 100), (0, -2), (2, 1)),
    ],
    ids=str,
)
def test_fits_the_terminal(size, room, expected):
    assert small(torch.rand(1, 3, *size), *room).shape == (*expected, 3)


def test_without_a_terminal_a_note(stylize, pictures):
    result = stylize("photo.png", "painting.png", "--preview", "-o", "out.png")
    assert result.code == 0
    assert "note: no --preview: stderr is no terminal" in result.stderr
    assert "\x1b" not in result.stderr
    quiet = stylize("photo.png", "painting.png", "--preview", "-o", "b.png", "-q")
    assert quiet.stderr == ""


def test_the_note_comes_once(stylize, pictures):
    result = stylize("photo.png", "painting.png", "--style", "painting.png", "--preview", "-o", "out/")
    assert result.code == 0, result.stderr
    assert result.stderr.count("no --preview") == 1


@pytest.mark.parametrize(("name", "value"), [("TERM", "dumb"), ("NO_COLOR", "1")])
def test_terminals_without_colors(monkeypatch, name, value):
    monkeypatch.setattr(preview.sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(name, value)
    assert preview._why_not() == "this terminal has no colours"


def test_on_a_terminal_it_is_shown_and_cleared(pictures, quick):
    command = [sys.executable, "-m", "imgtool", "stylize", "photo.png", "painting.png", *quick]
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    process = subprocess.Popen(
        [*command, "--steps", "3", "--preview", "-o", "out.png"],
        stderr=theirs,
        env=environment,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    assert process.wait() == 0, shown
    text = shown.decode()
    assert "▀" in text and re.search(r"\x1b\[38;2;\d+;\d+;\d+;48;2;\d+;\d+;\d+m▀", text)
    assert text.rindex("\x1b[?25h") > text.rindex("▀")  # the cursor is back after the last picture
    assert "out.png: 32x19" in text
