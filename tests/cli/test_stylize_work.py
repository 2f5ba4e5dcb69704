"""Whole runs of `imgtool stylize`, with random weights and next to no work."""

import io
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imgtool.cli import stylize_work
from imgtool.imaging.io import read_recipe
from imgtool.options.stylize import StylizeOptions
from imgtool.runtime import device
from imgtool.tasks.stylize import StylizeResult


def size_of(file):
    with Image.open(file) as image:
        return image.size


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_one_photo(stylize, pictures):
    result = stylize("photo.png", "painting.png", "-o", "out.png", "--json")
    assert result.code == 0, result.stderr
    record, summary = result.records
    assert {key: record[key] for key in ("input", "output", "width", "height")} == {
        "input": "photo.png",
        "output": "out.png",
        "width": 32,
        "height": 19,
    }
    assert record["device"] == "cpu"
    assert record["precision"] == "fp32"
    assert len(record["weights"][0]["sha256"]) == 64
    assert record["metrics"]["steps"] == [1]
    assert summary == {"summary": {"done": 1, "skipped": 0, "failed": 0}}
    assert size_of("out.png") == (32, 19)
    assert read_recipe(Path("out.png"))["command"] == "stylize"
    assert result.stderr.startswith("out.png: 32x19, 1 steps, ")
    assert result.stderr.count("\n") == 1


def test_quiet(stylize, pictures):
    result = stylize("photo.png", "painting.png", "-q")
    assert result == (0, b"", "")
    assert Path("photo-stylize.png").exists()


def test_verbose(stylize, pictures):
    talk = stylize("photo.png", "painting.png", "-v").stderr
    assert "device cpu in fp32: cpu was" in talk or "device cpu in fp32: " in talk
    assert "weights " in talk


def test_the_paper_s_recipe_says_what_it_runs_in(imgtool, pictures, quick, monkeypatch):
    monkeypatch.setattr(device, "_has_bf16", lambda _: True)
    words = [word for word in quick if word not in ("--precision", "fp32")]
    for recipe, precision in (("gatys2016", "fp32"), ("default", "bf16")):
        result = imgtool("stylize", *words, "photo.png", "painting.png", "-fv", "--recipe", recipe)
        assert result.code == 0, result.stderr
        assert f"device cpu in {precision}" in result.stderr
        assert ("for this is a reference" in result.stderr) == (recipe == "gatys2016")
        assert read_recipe(Path("photo-stylize.png"))["options"]["precision"] == precision
        assert ("is not rescaled as in the paper" in result.stderr) == (recipe == "gatys2016")


def test_from_stdin_to_stdout(stylize, pictures):
    result = stylize("-", "painting.png", "-o", "-", stdin=Path("photo.png").read_bytes())
    assert result.code == 0, result.stderr
    assert size_of(io.BytesIO(result.stdout)) == (32, 19)
    assert result.stderr.startswith("stdout: ")
    as_jpeg = stylize(
        "-", "painting.png", "-o", "-", "--format", "jpg", "-q", stdin=Path("photo.png").read_bytes()
    )
    assert as_jpeg.stdout.startswith(b"\xff\xd8\xff")


def test_nothing_in_stdin(stylize, pictures):
    result = stylize("-", "painting.png")
    assert result.code == 1
    assert result.error == "error: stdin: the file is empty"


def test_a_bad_file_in_the_middle(stylize, pictures, save):
    save("in/a.png")
    Path("in/b.png").write_text("no picture")
    save("in/deep/c.png", seed=3)
    arguments = ("in", "-r", "--style", "painting.png", "-o", "out")
    result = stylize(*arguments, "--json")
    assert result.code == 1
    assert [record.get("output") for record in result.records] == ["out/a.png", None, "out/deep/c.png", None]
    assert result.records[1]["error"].startswith("in/b.png: it is not a picture")
    assert result.records[-1] == {"summary": {"done": 2, "skipped": 0, "failed": 1}}
    assert result.stderr.splitlines()[-1] == "2 done, 0 skipped, 1 failed"
    assert "error: in/b.png: it is not a picture" in result.stderr
    assert names(Path("out")) == ["a.png", "deep/c.png"]
    assert stylize(*arguments).code == 2

    before = Path("out/a.png").stat().st_mtime_ns
    again = stylize(*arguments, "--skip-existing")
    assert again.code == 1
    assert again.stderr.splitlines()[-1] == "0 done, 2 skipped, 1 failed"
    assert Path("out/a.png").stat().st_mtime_ns == before

    fast = stylize(*arguments, "--force", "--fail-fast")
    assert fast.code == 1
    assert fast.stderr.splitlines()[-1] == "1 done, 0 skipped, 1 failed"


def test_strange_names(stylize, pictures):
    for name in (b"\xff.png", b"two\nlines.png", b"-x.png"):
        Path(os.fsdecode(name)).write_bytes(Path("photo.png").read_bytes())
        result = stylize("--json", "--style=painting.png", "--name={stem}+.png", "--", os.fsdecode(name))
        assert result.code == 0, result.stderr
        assert result.stderr.isascii()
        assert result.stderr.count("\n") == 1
        made = os.fsdecode(name.replace(b".png", b"+.png"))
        assert (result.records[0]["input"], result.records[0]["output"]) == (os.fsdecode(name), made)
        assert read_recipe(Path(made))["inputs"][0]["path"] == os.fsdecode(name)


def test_everything_beside_the_result(stylize, pictures):
    result = stylize(
        "photo.png",
        "painting.png",
        "-o",
        "o.png",
        "--steps",
        "2",
        "--save-every",
        "1",
        "--sidecar",
        "--sheet",
    )
    assert result.code == 0, result.stderr
    assert {"o.png", "o.png.json", "o-step0001.png", "o-step0002.png", "o-sheet.png"} < set(names(pictures))
    assert json.loads(Path("o.png.json").read_text()) == read_recipe(Path("o.png"))


def test_an_unfinished_job_replaces_its_own_frames(stylize, pictures):
    Path("o-step0001.png").write_bytes(b"of a run that was killed")
    arguments = ("photo.png", "painting.png", "-o", "o.png", "--save-every", "1")
    assert stylize(*arguments).code == 2
    assert stylize(*arguments, "--skip-existing").code == 0
    assert size_of("o-step0001.png") == (32, 19)


def test_alpha_is_carried(stylize, pictures, save):
    save("clear.png", alpha=True)
    more = ("--save-every", "1", "--scales", "2", "--steps", "1,1")
    assert stylize("clear.png", "painting.png", "-o", "out.png", *more).code == 0
    for name, size in (("out.png", (32, 19)), ("out-step0002.png", (32, 19)), ("out-step0001.png", (16, 10))):
        with Image.open(name) as out, Image.open("clear.png") as clear:
            assert out.size == size
            alpha = np.asarray(out.getchannel("A"), float)
            expected = np.asarray(clear.getchannel("A").resize(size), float)
        assert abs(alpha - expected).mean() < 8, name


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (5, 7)])
def test_tiny_photos(stylize, pictures, save, size):
    save("tiny.png", size=size)
    result = stylize("tiny.png", "painting.png", "-o", "out.png", "--size", "full")
    assert result.code == 0, result.stderr
    assert size_of("out.png") == size


def test_black_mask(stylize, pictures):
    Image.new("L", (40, 24)).save("black.png")
    result = stylize("photo.png", "painting.png", "--content-mask", "black.png")
    assert result.code == 2
    assert "--content-mask: the mask is all black" in result.error


def test_max_pixels(stylize, pictures):
    result = stylize("photo.png", "painting.png", "--max-pixels", "100")
    assert result.code == 1
    assert "40x24" in result.error or "960" in result.error


# Runs a command line, and notes when its task was done and until when it might have gone on.
NOTING = """
import json, sys, time
import imgtool
from imgtool.cli import main, stylize_work

real = stylize_work.stylize

def noting(*arguments, deadline, **more):
    result = real(*arguments, deadline=deadline, **more)
    print(json.dumps({"done": time.monotonic(), "kept": imgtool.STARTED + 600 - deadline}), flush=True)
    return result

stylize_work.stylize = noting
sys.exit(main.run(sys.argv[1:]))
"""


def test_time_is_kept_back_for_all_that_comes_after_the_task(pictures, quick):
    """As much as writing and leaving took in the same process, however busy the machine."""
    command = ["stylize", *quick, "photo.png", "painting.png", "--time", "600", "-q"]
    child = subprocess.run([sys.executable, "-c", NOTING, *command], capture_output=True, text=True)
    end = time.monotonic()
    assert child.returncode == 0, child.stderr
    note = json.loads(child.stdout)
    assert 0 < end - note["done"] < note["kept"]


def test_more_is_kept_back_for_more_to_write_and_on_a_slow_machine():
    def kept(size=(512, 512), *, sheet=False, loading=1.0):
        work = object.__new__(stylize_work.StylizeWork)
        work.options, work.values = StylizeOptions(time=600), {"sheet": sheet}
        work.styles, work.loading = [None], loading
        return 600 - work._deadline(0.0, size)

    assert 0 < kept() < min(kept((1024, 1024)), kept(sheet=True), kept(loading=2.0))


class TestExitCodes:
    def test_weights_that_are_not_there(self, imgtool, pictures):
        result = imgtool("stylize", "photo.png", "painting.png", "--json")
        assert result.code == 3
        assert "vgg19 cannot be had" in result.error
        assert "Try: imgtool weights fetch vgg19" in result.error
        assert result.records == [{"summary": {"done": 0, "skipped": 0, "failed": 1}}]

    @pytest.mark.parametrize("content", [b"", b"x" * 100, b"\x08\0\0\0\0\0\0\0{}      "])
    def test_weights_that_are_none(self, stylize, pictures, content):
        Path("w.safetensors").write_bytes(content)
        result = stylize("photo.png", "painting.png", "--weights", "w.safetensors")
        assert result.code in (2, 3)
        assert "w.safetensors" in result.error

    def test_weights_of_another_network(self, stylize, pictures):
        result = stylize("photo.png", "painting.png", "--network", "vgg16")
        assert result.code == 2
        assert "holds vgg19, not vgg16. Try: --network vgg19" in result.error

    def test_device_that_is_not_there(self, stylize, pictures, monkeypatch):
        monkeypatch.setattr(device, "available_devices", lambda: iter(["cpu"]))
        result = stylize("photo.png", "painting.png", "--device", "cuda")
        assert result.code == 4
        assert "no device 'cuda' here; there is cpu. Try: --device cpu" in result.error

    def test_too_little_memory(self, stylize, pictures):
        result = stylize("photo.png", "painting.png", "--size", "1000000")
        assert result.code == 4
        assert "needs about" in result.error
        named = int(result.error.rpartition("Try: --size ")[2])  # which depends on what is free
        assert 100 < named < 100_000

    def test_too_large_a_style(self, stylize, pictures):
        result = stylize("photo.png", "painting.png", "--style-scale", "100000")
        assert result.code == 4
        assert "needs about" in result.error
        assert "--style-scale" in result.error

    def test_too_wide_a_stroke(self, stylize, pictures):
        result = stylize("photo.png", "painting.png", "--stroke", "1000000")
        assert result.code == 4
        assert result.error.rstrip().endswith("Try: a smaller --stroke")

    def test_memory_that_runs_out(self, stylize, pictures, monkeypatch):
        def greedy(*_, **__):
            raise MemoryError

        monkeypatch.setattr(stylize_work, "stylize", greedy)
        result = stylize("photo.png", "painting.png")
        assert result.code == 4
        assert "note: out of memory; once more with --history 2" in result.stderr
        assert "error: photo.png: out of memory. Try: --size 22" in result.stderr

    def test_memory_that_suffices_for_less(self, stylize, pictures, monkeypatch):
        repaint = stylize_work.stylize

        def greedy(content, styles, options, **others):
            if options.history > 2:
                raise MemoryError
            return repaint(content, styles, options, **others)

        monkeypatch.setattr(stylize_work, "stylize", greedy)
        result = stylize("photo.png", "painting.png", "-o", "out.png")
        assert result.code == 0
        assert "once more with --history 2" in result.stderr
        assert read_recipe(Path("out.png"))["options"]["history"] == 2

    def test_tiles_are_in_the_recipe(self, stylize, pictures, rerun, random_vgg19):
        arguments = ("photo.png", "painting.png", "-o", "out.png", "--size", "160", "--tile", "64")
        assert stylize(*arguments).code == 0
        assert read_recipe(Path("out.png"))["options"]["tile"] == 64
        rerun("out.png", "--find", random_vgg19.parent)
        result = stylize("photo.png", "painting.png", "-o", "b.png", "--tile", "63")
        assert result.code == 2 and "--tile: must be at least 64" in result.error

    def test_divergence(self, stylize, pictures, monkeypatch):
        def diverged(content, *_, **__):
            return StylizeResult(content, (1,), (), 0.0, diverged=True)

        monkeypatch.setattr(stylize_work, "stylize", diverged)
        result = stylize("photo.png", "painting.png", "--json")
        assert result.code == 1
        assert "NaN" in result.records[0]["error"]
        assert Path("photo-stylize.png").exists()


@pytest.fixture
def stopped(monkeypatch):
    """Work that a Ctrl-C ends at its second step, until it is told otherwise."""
    real = stylize_work.stylize

    def stop_at_two(*arguments, on_step, **more):
        def stop(step, image):
            on_step(step, image)
            if step.number == 2:
                raise KeyboardInterrupt

        return real(*arguments, on_step=stop, **more)

    monkeypatch.setattr(stylize_work, "stylize", stop_at_two)
    return lambda: monkeypatch.setattr(stylize_work, "stylize", real)


def test_the_command_that_goes_on(stylize, imgtool, pictures, stopped, monkeypatch):
    """A stop in the middle of the work leaves the best so far, and a command that works."""
    monkeypatch.setenv("IMGTOOL_STYLIZE_PRESERVE_COLOR", "1")
    save = ("-o", "out.png", "--steps", "30", "--style-weight", "2", "--no-preserve-color")
    result = stylize("photo.png", "--style", "painting.png:0.5", *save, "--json")
    assert result.code == 130
    assert [record.get("output") for record in result.records] == ["out.png", None]
    assert result.records[-1] == {"summary": {"done": 0, "skipped": 0, "failed": 0}}
    recipe = read_recipe(Path("out.png"))
    assert recipe["options"]["steps"] == [2]
    assert recipe["unfinished"] is True
    stopped()
    _, line, last = result.stderr.splitlines()
    assert last == "error: interrupted"
    words = shlex.split(line.partition("to go on: ")[2])
    assert "--style-weight=2.0" in words
    assert "--no-preserve-color" in words
    assert words[words.index("--init") + 1] == "out.png"
    assert words[words.index("--steps") + 1] == "30"
    result = imgtool(*words[1:], "--steps", "1")
    assert result.code == 0, result.stderr
    assert size_of("out-more.png") == (32, 19)


def test_an_unfinished_picture_is_made_anew(stylize, rerun, pictures, save, stopped, random_vgg19):
    for name in "abc":
        save(f"in/{name}.png", seed=ord(name))
    whole = ("in", "--style", "painting.png", "-o", "out", "--steps", "3")
    assert stylize(*whole, "--skip-existing").code == 130
    assert names(Path("out")) == ["a.png"]
    stopped()
    # To the same bytes, still unfinished
    rerun("out/a.png", "--find", "in", "--find", str(random_vgg19.parent))
    result = stylize(*whole, "--skip-existing")
    assert result.code == 0, result.stderr
    assert result.stderr.splitlines()[-1] == "3 done, 0 skipped, 0 failed"
    assert "unfinished" not in read_recipe(Path("out/a.png"))
    assert stylize(*whole, "--skip-existing").stderr == "0 done, 3 skipped, 0 failed\n"
