"""A user's files when others do their worst: signals, rivals, odd names, full disks, thousands of files."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from imgtool.cli.batch import OutputChoice, plan
from imgtool.imaging.io import read_recipe

ROOT = Path(__file__).parents[2]
IMGTOOL = (sys.executable, "-P", "-m", "imgtool")
NAMES = [b"\xff.png", b"two\nlines.png", b"-v.png", b"--force.png", "ü ☃.png".encode(), b"a\tb'\"$(c).png"]
SIGNALS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}


@pytest.fixture
def detector(narrow):
    """Words for `edges` with a narrow network."""
    return ("--weights", str(narrow / "edges.safetensors"), "--precision", "fp32", "--threads", "1")


def start(*words):
    """A command in a process of its own."""
    return subprocess.Popen(
        [*IMGTOOL, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def many(folder, save):
    """A folder with so many small pictures that a batch is not done at once."""
    for seed in range(8):
        save(f"first/{seed}.png", seed=seed)
    (folder / "many").mkdir()
    for number in range(400):
        (folder / f"many/{number:03}.png").hardlink_to(folder / f"first/{number % 8}.png")
    return folder / "many"


@pytest.mark.hostile
@pytest.mark.parametrize("number", SIGNALS)
def test_killed_at_random_times(many, imgtool, detector, folder, listening, number):
    assert imgtool("edges", "first", "-o", "old", "--invert", *detector).code == 0
    assert imgtool("edges", "first", "-o", "new", *detector).code == 0
    old, new = files(folder / "old"), files(folder / "new")
    chance = random.Random(int(number))
    for _ in range(3):
        (folder / "out").mkdir()
        for path in many.iterdir():
            (folder / "out" / path.name).write_bytes(old[f"{int(path.stem) % 8}.png"])
        child = start("edges", "many", "-o", "out", "--force", *detector)
        first = next(iter(sorted(files(folder / "out"))))
        while (folder / "out" / first).read_bytes() == old["0.png"]:
            assert child.poll() is None
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.5))
        child.send_signal(number)
        _, said = child.communicate(timeout=60)
        assert child.returncode == SIGNALS[number], said
        assert b"Traceback" not in said
        changed = 0
        for path in (folder / "out").iterdir():
            if path.name.startswith(".imgtool-"):
                assert number == signal.SIGKILL, "litter"
                path.unlink()
                continue
            which = f"{int(path.stem) % 8}.png"
            made = path.read_bytes()
            recipe = read_recipe(path)["inputs"][0]["path"]
            assert made == old[which] or recipe == f"many/{path.name}"
            with Image.open(path) as picture, Image.open(folder / "new" / which) as whole:
                changed += picture.tobytes() == whole.tobytes()
            path.unlink()
        assert 1 <= changed < 400 and new
        (folder / "out").rmdir()


@pytest.mark.hostile
@pytest.mark.parametrize("force", [True, False])
def test_two_at_once_on_one_output(pictures, detector, folder, force):
    words = ["-o", "out.png", *detector, *(["--force"] if force else [])]
    rivals = [start("edges", "photo.png", *words), start("edges", "painting.png", *words)]
    said = [each.communicate(timeout=120)[1].decode() for each in rivals]
    codes = [each.returncode for each in rivals]
    if force:
        assert codes == [0, 0], said
    else:
        assert sorted(codes)[0] == 0 and sorted(codes)[1] in (1, 2), said
        loser = said[codes.index(max(codes))]
        assert loser.count("\n") == 1 and "exists" in loser
    with Image.open("out.png") as made:
        made.load()
    won = read_recipe(Path("out.png"))["inputs"][0]["path"]
    assert force or won == ("photo.png", "painting.png")[codes.index(0)]
    assert sorted(path.name for path in folder.iterdir()) == ["out.png", "painting.png", "photo.png"]


@pytest.mark.hostile
def test_two_batches_at_once_into_one_folder(many, detector, folder):
    rivals = [start("edges", "many", "-o", "out", "--skip-existing", "-q", *detector) for _ in range(2)]
    for each in rivals:
        _, said = each.communicate(timeout=120)
        assert b"Traceback" not in said and each.returncode in (0, 1)
    assert len(files(folder / "out")) == 400
    for path in (folder / "out").iterdir():
        with Image.open(path) as made:
            made.load()


def calls(task):
    """How many functions are called, in Python and in C; what is linear in time is linear in them."""
    count = 0

    def note(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        task()
    finally:
        sys.setprofile(None)
    return count


def planned(folder, number, *, made):
    """Calls to plan a batch of so many pictures, of which all or none are made already."""
    source, target = folder / f"in-{number}", folder / f"out-{number}"
    source.mkdir(), target.mkdir()
    Image.new("L", (4, 4)).save(folder / "one.png")
    data = (folder / "one.png").read_bytes()
    for each in range(number):
        (source / f"{each}.png").write_bytes(data)
        if made:
            (target / f"{each}.png").write_bytes(data)
    choice = OutputChoice(output=str(target), skip_existing=True, beside=(".json",) if not made else ())
    plan([str(source)], choice, command="edges")  # what is loaded once
    return calls(lambda: plan([str(source)], choice, command="edges"))


@pytest.mark.parametrize("made", [True, False])
def test_planning_is_linear(folder, made):
    assert planned(folder, 400, made=made) < 4.4 * planned(folder, 100, made=made)


@pytest.mark.hostile
@pytest.mark.parametrize("made", [True, False])
def test_planning_ten_thousand_is_linear(folder, made):
    assert planned(folder, 10_000, made=made) < 10.5 * planned(folder, 1000, made=made)


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_from_end_to_end(imgtool, save, detector, folder, name):
    name = os.fsdecode(name)
    save("x.png").rename(name)
    stem = Path(name).stem
    result = imgtool("edges", *detector, "--json", "--sidecar", "--", name)
    assert result.code == 0, result.stderr
    record, _ = result.records
    assert (record["input"], record["output"]) == (name, f"{stem}-edges.png")
    assert len(result.stderr.splitlines()) == 1 and result.stderr.strip().isprintable()
    assert read_recipe(Path(f"{stem}-edges.png"))["inputs"][0]["path"] == name
    Path(f"{stem}-edges.png").rename(f"made {name}")
    again = imgtool("rerun", "-o", "again.png", "--find", str(Path(detector[1]).parent), "--", f"made {name}")
    assert again.code == 0, again.stderr
    assert Path("again.png").read_bytes() == Path(f"made {name}").read_bytes()
    assert imgtool("sheet", "-o", "sheet.png", "--", name, "again.png").code == 0
    assert imgtool("rerun", "-o", "sheet2.png", "sheet.png").code == 0
    assert imgtool("inspect", "--json", "--", f"made {name}").records[0]["inputs"][0]["path"] == name
    assert imgtool("edges", *detector, "-o", f"out {name}", "--", "again.png").code == 0
    assert (
        imgtool("edges", *detector, "--name", "{stem}-b", "-o", os.fsdecode(b"d\xff/"), "--", name).code == 0
    )


@pytest.mark.hostile
def test_odd_names_in_a_run(imgtool, save, folder):
    for seed, name in enumerate(map(os.fsdecode, NAMES)):
        save("photos/x.png", seed=seed).rename(folder / "photos" / name)
    steps = "[lines]\ncommand = 'edges'\n[thin]\ncommand = 'edges'\npictures = '{lines}'\nthin = true\n"
    steps += "[sheet]\ncommand = 'sheet'\npictures = ['{pictures}', '{thin}']\n"
    Path("steps.toml").write_text(steps, encoding="utf-8")
    result = imgtool("run", "steps.toml", "photos")
    assert result.code == 0, result.stderr
    assert sorted(path.name for path in Path("steps/thin").iterdir()) == sorted(map(os.fsdecode, NAMES))
    assert "0 done, 13 skipped" in imgtool("run", "steps.toml", "photos").stderr


def test_folders_that_may_not_be_written(imgtool, pictures, detector, folder, ordinary_user):
    weights = folder / "detector.safetensors"
    weights.write_bytes(Path(detector[1]).read_bytes())
    words = ("edges", "photo.png", "--weights", weights, *detector[2:])
    (folder / "locked").mkdir()
    (folder / "locked").chmod(0o555)
    (folder / "secret.png").write_bytes(b"x")
    (folder / "secret.png").chmod(0)
    folder.chmod(0o555)
    try:
        with ordinary_user(folder):
            for place in ((), ("-o", "locked/a.png"), ("-o", "locked/new/")):
                result = imgtool(*words, *place)
                assert result.code == 1 and "permission denied" in result.error
            result = imgtool("sheet", "photo.png")
            assert result.code == 1 and "permission denied" in result.error
            result = imgtool("captcha-read", "secret.png")
            assert result.code == 1 and "secret.png: permission denied" in result.error
    finally:
        folder.chmod(0o755)
    assert not list((folder / "locked").iterdir()) and len(list(folder.iterdir())) == 5


FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full, which only Linux has")


@needs_full
@pytest.mark.hostile
@pytest.mark.parametrize(
    ("words", "redirected", "code"),
    [
        (("edges", "photo.png", "-o", "-"), "1>", 1),
        (("edges", "photo.png", "--json"), "1>", 1),
        (("edges", "photo.png"), "2>", 0),
        (("edges", "gone.png"), "2>", 2),
        (("inspect", "photo.png"), "2>", 1),
        (("captcha-read", "photo.png"), "1>", 1),
        (("doctor",), "1>", 1),
        (("captcha-gen", "-o", "-"), "1>", 1),
        (("weights", "list"), "1>", 1),
        (("--help",), "1>", 1),
    ],
)
def test_a_full_disk_behind_a_stream(pictures, folder, words, redirected, code):
    with FULL.open("w") as full:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        streams["stdout" if redirected == "1>" else "stderr"] = full
        done = subprocess.run([*IMGTOOL, *words], **streams, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == code
    if redirected == "1>":
        (line,) = done.stderr.decode().splitlines()[-1:]
        assert line.startswith("error: ") and "cannot write" in line and b"Traceback" not in done.stderr
    assert Path("photo-edges.png").exists() == (words == ("edges", "photo.png") or "--json" in words)
