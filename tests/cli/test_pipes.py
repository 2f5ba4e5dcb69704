"""Commands one after the other, as a shell joins them."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

IMGTOOL = shlex.join([sys.executable, "-m", "imgtool"])
ROOT = Path(__file__).parents[2]


@pytest.fixture
def shell(folder, monkeypatch):
    """Runs a pipeline; the exit codes of its parts, stdout and stderr."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def shell(line):
        script = f"{line.replace('imgtool', IMGTOOL)}\necho ${{PIPESTATUS[*]}} > codes"
        done = subprocess.run(["bash", "-c", script], capture_output=True, timeout=300)
        codes = tuple(map(int, Path("codes").read_text(encoding="utf-8").split()))
        Path("codes").unlink()
        return codes, done.stdout.decode(errors="replace"), done.stderr.decode()

    return shell


def test_from_command_to_command(shell, pictures):
    codes, _, _ = shell("imgtool edges photo.png -o - --format tif | imgtool segment - -o mask.png")
    assert codes == (0, 0)
    with Image.open("mask.png") as image:
        assert image.size == (40, 24)


def test_text_of_what_was_drawn(shell):
    codes, said, _ = shell(
        "imgtool captcha-gen --level easy --seed 1 --text HELLO -o - | imgtool captcha-read -"
    )
    assert codes == (0, 0)
    assert said.startswith("HELLO\t") and said.endswith("\t-\n")


def test_recipe_of_what_comes_from_stdin(shell, pictures):
    codes, said, _ = shell("imgtool edges photo.png -q -o - | imgtool inspect - --json")
    assert codes == (0, 0) and '"command": "edges"' in said


def test_a_mask_from_stdin(shell, stylize, pictures, quick):
    words = shlex.join(quick)
    mask = "imgtool edges photo.png --invert -q -o -"
    codes, _, _ = shell(
        f"{mask} | imgtool stylize {words} photo.png painting.png --content-mask - -o out.png"
    )
    assert codes == (0, 0)
    assert Path("out.png").is_file()


def test_failure_of_the_first_is_told_by_both(shell, pictures):
    Path("broken.png").write_bytes(b"no picture")
    codes, _, said = shell("imgtool edges broken.png -o - | imgtool edges - -o out.png")
    assert codes == (1, 1)
    assert sorted(line.partition(": ")[2][:6] for line in said.splitlines()) == ["broken", "stdin:"]
    assert not Path("out.png").exists()


def test_nobody_reads_on(shell, pictures):
    codes, _, said = shell("imgtool edges photo.png -q -o - | true")
    assert codes[0] in (0, 141)  # a small picture fits into the pipe
    assert said == ""


@pytest.mark.parametrize(
    "arguments", [("-", "-"), ("photo.png", "-", "--content-mask", "-"), ("-", "--style", "-:0.5")]
)
def test_stdin_is_read_once(stylize, pictures, arguments):
    result = stylize(*arguments, "-o", "out.png", stdin=Path("photo.png").read_bytes())
    assert (result.code, result.error.partition(". ")[0]) == (2, "error: stdin (-) can be read only once")


def test_a_style_from_stdin_made_again(stylize, rerun, pictures, random_vgg19):
    shutil.copy(random_vgg19, ".")
    style = Path("painting.png").read_bytes()
    assert stylize("photo.png", "-", "-o", "out.png", stdin=style).code == 0
    rerun("out.png")
    Path("painting.png").unlink()
    rerun("out.png", stdin=style)


def test_inspect_nothing(imgtool):
    result = imgtool("inspect", "-", stdin=b"no picture")
    assert result.code == 1 and result.error.startswith("error: stdin: ")
