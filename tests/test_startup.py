"""Commands that do no work load nothing heavy, and so answer at once."""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from imgtool.cli.main import cli
from imgtool.cli.settings import by_full_name

HEAVY = {
    *("torch", "torchvision", "numpy", "scipy", "rich", "PIL", "skimage", "tifffile", "cv2", "joblib"),
    *("safetensors", "unearth", "httpx2"),
}

# Runs command lines one after the other, and tells after each what is loaded and how it ended.
CHILD = """
import contextlib, io, json, os, sys
from imgtool.cli.main import run
for arguments, environment in json.loads(sys.argv[1]):
    os.environ.update(environment)
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = run(arguments)
        except SystemExit as stop:
            code = stop.code
    for name in environment:
        del os.environ[name]
    heavy = sorted(set(json.loads(sys.argv[2])) & set(sys.modules))
    out.flush()
    print(json.dumps([arguments, code, out.buffer.getvalue().decode(), err.getvalue(), heavy]))
"""

GROUPS = [name for name, command in cli.commands.items() if isinstance(command, click.Group)]
COMMANDS = [*cli.commands, *by_full_name(cli.commands)]
PICTURES = ("photo.png", "painting.png")


def outcomes(folder, *lines):
    """Exit code, stdout, stderr and what was loaded, for each of some (arguments, environment)."""
    child = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(lines), json.dumps(sorted(HEAVY))],
        cwd=folder,
        env={**os.environ, "IMGTOOL_CONFIG_DIR": str(folder)},
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stderr
    return [json.loads(line) for line in child.stdout.splitlines()]


@pytest.fixture
def folder(tmp_path, no_settings):
    for name in PICTURES:
        (tmp_path / name).write_bytes(b"")  # nothing looks inside before torch is needed
    return tmp_path


def test_help_version_and_completion(folder):
    complete = {"_IMGTOOL_COMPLETE": "zsh_complete", "COMP_WORDS": "imgtool stylize --st", "COMP_CWORD": "2"}
    lines = [
        (["--help"], {}),
        (["--version"], {}),
        ([], {}),
        *(([name], {}) for name in GROUPS),
        *(([*name.split(), "--help"], {}) for name in COMMANDS),
        ([], complete),
        ([], {"_IMGTOOL_COMPLETE": "fish_source"}),
    ]
    for arguments, code, out, err, heavy in outcomes(folder, *lines):
        assert heavy == [], arguments
        expected = 2 if err and arguments in ([], *([name] for name in GROUPS)) else 0
        assert code == expected, (arguments, err)
        assert out or "Usage: imgtool" in err


def test_completion_offers_options(folder):
    complete = {"_IMGTOOL_COMPLETE": "zsh_complete", "COMP_WORDS": "imgtool stylize --st", "COMP_CWORD": "2"}
    ((_, _, out, _, _),) = outcomes(folder, ([], complete))
    assert "--style-weight" in out


def test_refusals(folder):
    wrong = [
        ("--size", "0"),
        ("--style-weight", "nan"),
        ("--steps", "many"),
        ("--pool", "none"),
        ("--seed", "-1"),
        ("-o", "out.xyz"),
        ("-o", "photo.png"),
        ("-o", "painting.png", "--force"),
        ("--name", "{nome}.png"),
        ("--content-mask", "gone.png"),
        ("--nonsense",),
    ]
    lines = [
        *((["stylize", *PICTURES, *words], {}) for words in wrong),
        (["stylize", "photo.png", "."], {}),
        (["stylize", "photo.png", "gone.png"], {}),
        (["stylise"], {}),
        (["weights", "lst"], {}),
        (["photo.png"], {}),
        (["stylize", *PICTURES], {"IMGTOOL_STYLIZE_SIZE": "-1"}),
        (["rerun", "out.png"], {}),
        (["edges", "photo.png", "--scales", "0"], {}),
        (["edges", "photo.png", "--threshold", "nan"], {}),
        (["train-edges", ".", "-o", "run", "--crop", "50"], {}),
        (["train-edges", ".", "-o", "run", "--save-every", "nan"], {}),
        (["train-edges", "-o", "run", "--resume", "--batch", "4"], {}),
        (["train-edges", "-o", "run"], {}),
        (["score", "edgs"], {}),
        (["score", "edges", "gone", "."], {}),
        (["score", "edges", ".", ".", "-o", "report.pdf"], {}),
        (["score", "edges", ".", "."], {"IMGTOOL_SCORE_EDGES_THRESHOLDS": "0"}),
        *(
            (["segment", "photo.png", *words], {})
            for words in (
                ("--threshold", "2"),
                ("--kind", "masks"),
                ("--tile", "0"),
                ("--min-area", "-1"),
                ("-o", "out.jpg"),
                ("-o", "photo.png"),
                ("gone.png",),
            )
        ),
        *(
            (["train-segment", *words], {})
            for words in (
                ("-o", "run"),
                (".", ".", "-o", "run", "--depth", "9"),
                (".", ".", "-o", "run", "--metric", "iou"),
                (".", ".", "-o", "run", "--crop-scales", "0"),
                (".", ".", "-o", "run", "--resume"),
            )
        ),
        *(
            ([command, *words], {})
            for command in ("train-features", "train-gan", "train-style")
            for words in (
                ("-o", "run"),
                (*PICTURES, "-o", "run", "--steps", "0")
                if command == "train-style"
                else (".", "-o", "run", "--size", "5"),
                (".", "-o", "run", "--resume"),
            )
        ),
        (["captcha-read", "gone.png"], {}),
        (["captcha-read", "photo.png", "--beam", "0"], {}),
        *(
            (["train-captcha", *words], {})
            for words in (
                ("-o", "run"),
                ("mediun", "-o", "run"),
                (".", "easy", "-o", "run"),
                ("easy", "-o", "run", "--clean", "5"),
                (".", "-o", "run", "--clean", "1"),
                ("easy", "-o", "run", "--places", "2"),
                ("easy", "-o", "run", "--resume"),
            )
        ),
        *(
            (["captcha-audit", *words], {})
            for words in (("mediun",), ("easy", "-n", "0"), ("easy", "-o", "run"), ("easy", "--train", "0"))
        ),
    ]
    for arguments, code, out, err, heavy in outcomes(folder, *lines):
        assert heavy == [], arguments
        assert code == 2, (arguments, err)
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1, err


def test_importing_the_package_loads_nothing():
    code = f"import sys, imgtool; assert not {HEAVY!r} & set(sys.modules), sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_takes_no_longer_than_a_few_interpreters():
    """Measured in turns, so that a busy machine slows both; torch alone takes a hundred times as long."""

    def seconds(*words):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, *words], check=True, stdout=subprocess.DEVNULL, cwd=Path(__file__).parent
        )
        return time.perf_counter() - began

    seconds("-m", "imgtool", "--help")  # compiles what is not compiled yet
    ratios = [seconds("-m", "imgtool", "--help") / seconds("-c", "pass") for _ in range(5)]
    assert statistics.median(ratios) < 15, ratios
