"""Batches that are done elsewhere: in a folder of its own, by the same code, and here without a cluster."""

import pickle
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from imgtool.cli import elsewhere
from imgtool.cli.cluster import Lost
from imgtool.cli.elsewhere import StandIns

QUICK = ("--threads", "1", "--precision", "fp32")


class FarAway:
    """Instead of a cluster: what goes there and comes back is pickled."""

    accelerators, widest = 0, 1
    lost = ()  # numbers of tasks

    def share(self, value):
        return value

    def at_once(self, processors, *, accelerated):
        return 1

    def each(self, task, arguments, **more):
        for number, each in enumerate(arguments):
            sent = pickle.dumps(each)

            def result(number=number, sent=sent):
                if number in self.lost:
                    raise Lost("lost on the cluster: its machine is gone")
                return pickle.loads(pickle.dumps(task(*pickle.loads(sent))))

            yield result


@pytest.fixture
def far(monkeypatch):
    """The cluster that --ray connects to; parts have one job each."""
    cluster = FarAway()

    @contextmanager
    def connected(address, real=elsewhere.connected):
        if address == "far":
            yield cluster
        else:
            with real(address) as there:
                yield there

    monkeypatch.setattr(elsewhere, "connected", connected)
    monkeypatch.setattr(elsewhere, "MOST_JOBS", 1)
    return cluster


@pytest.fixture
def photos(folder, save):
    for seed, name in enumerate(("photos/a.png", "photos/b.jpg", "photos/in/c.png")):
        save(name, seed=seed)
    save("painting.png", seed=9)
    return folder


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def timeless(text):
    return re.sub(r"\d+\.\d+ s\b", "some s", text)


@pytest.fixture
def both(imgtool, photos, far):
    """Runs a command here and far away, and expects the same files, talk and records; what was said far away."""

    def both(*words, out="out", ray="far"):
        place = Path(out)
        here = imgtool(*words)
        made = files(place)
        shutil.rmtree(place, ignore_errors=True)
        there = imgtool(words[0], "--ray", ray, *words[1:])
        assert timeless(there.stderr) == timeless(here.stderr)
        assert there.code == here.code
        assert files(place) == made
        if "--json" in words:
            for one, other in zip(here.records, there.records, strict=True):
                assert {**one, "seconds": 0} == {**other, "seconds": 0}
        else:
            assert there.stdout == here.stdout
        return there, made

    return both


def test_edges_with_all_that_stands_beside_them(both, narrow):
    options = ("--overlay", "--svg", "--sheet", "--sidecar", "--kind", "all", "--json", "--threads", "2")
    result, made = both(
        "edges", "photos", "-r", "-o", "out", "--weights", narrow / "edges.safetensors", *QUICK, *options
    )
    assert result.code == 0 and len(made) == 3 * (7 + 7 + 3)
    assert result.records[-1]["summary"]["done"] == 3


def test_segment_with_tables(both, narrow):
    weights = ("--weights", narrow / "segment.safetensors")
    result, made = both(
        "segment", "photos", "-o", "out", *weights, *QUICK, "--kind", "mask,instances", "--json", "-v"
    )
    assert result.code == 0 and "out/a-instances-objects.csv" in result.stderr
    assert "a-instances-objects.csv" in made


def test_stylize_in_one_pass(both, narrow):
    weights = ("--weights", narrow / "paint.safetensors")
    result, made = both("stylize", "photos", "-o", "out", *weights, *QUICK, "--name", "{index}-{name}.webp")
    assert result.code == 0 and list(made) == ["0001-a.png.webp", "0002-b.jpg.webp"]
    assert result.stderr.count("style night; --blend takes waves too") == 1


def test_stylize_with_styles_and_masks(both, photos, quick):
    words = ("--content-mask", photos / "photos/a.png", "--init", "photos/in/../b.jpg", "--save-every", "1")
    result, made = both(
        "stylize", "photos/a.png", "painting.png", *words, "-o", "out/o.png", "--sheet", *quick
    )
    assert result.code == 0
    assert sorted(made) == ["o-sheet.png", "o-step0001.png", "o.png"]


def test_save_style(both, quick):
    layers = ("--style-layers", "conv1_1,conv2_1", *quick[: quick.index("--size")], "--size", "32")
    result, made = both("save-style", "photos", "-o", "out", *layers)
    assert result.code == 0 and sorted(made) == ["a.imgstyle", "b.imgstyle"]


def test_captcha_read(both, photos):
    result, _ = both("captcha-read", "photos/a.png", "photos/b.jpg", *QUICK)
    assert result.code == 0 and result.stdout.count(b"\n") == 2
    assert both("captcha-read", "photos/a.png", "--json", *QUICK)[0].records[0]["output"] is None


def test_places_elsewhere_are_called_as_here(both, save, tmp_path, narrow):
    save(tmp_path / "far off/a.png"), save("../other/a.png", seed=3), save("b.png", seed=4)
    pictures = (tmp_path / "far off/a.png", "../other/a.png", "b.png", Path.cwd() / "photos/b.jpg")
    words = ("--weights", narrow / "edges.safetensors", *QUICK, "--json", "--sidecar")
    result, made = both(
        "edges", *pictures, "-o", tmp_path / "out", "--name", "{index}.bmp", *words, out=tmp_path / "out"
    )
    assert result.code == 0
    assert [record["input"] for record in result.records[:-1]] == list(map(str, pictures))
    assert sorted(made) == [f"000{number}.bmp{end}" for number in range(1, 5) for end in ("", ".json")]
    assert b'"path":"photos/b.jpg"' in made["0004.bmp.json"] and b"far off" not in made["0001.bmp.json"]


@pytest.mark.parametrize("name", [b"\xff.png", b"two\nlines.png", b"-v.png", "ü ☃.png".encode()])
def test_strange_names(both, save, narrow, name):
    import os

    save("x.png").rename(os.fsdecode(name))
    words = ("--weights", narrow / "edges.safetensors", *QUICK, "--json", "-o", "out/")
    assert both("edges", *words, "--", os.fsdecode(name))[0].code == 0


def test_failures(both, photos, narrow):
    (photos / "photos/b.jpg").write_bytes(b"no picture")
    (photos / "photos/d.png").mkdir()
    (photos / "photos/e.png").symlink_to("nowhere")
    words = ("--weights", narrow / "edges.safetensors", *QUICK, "-o", "out", "--json")
    result, _ = both("edges", "photos", *words)
    assert result.code == 1 and result.records[-1]["summary"] == {"done": 1, "skipped": 0, "failed": 2}
    shutil.rmtree("out")
    assert both("edges", "photos", *words, "--fail-fast")[0].code == 1
    shutil.rmtree("out")
    assert (
        both("edges", "photos/b.jpg", *words, "--name", "{stem}")[0]
        .records[0]["error"]
        .startswith("photos/b.jpg: it is not")
    )


def test_nothing_can_be_done(both, narrow):
    result, _ = both("edges", "photos", "-o", "out", "--weights", narrow / "segment.safetensors", *QUICK)
    assert result.code == 3 and result.stderr.count("\n") == 1
    assert both("segment", "photos", "-o", "out", "--classes", "cat", *QUICK)[0].code == 2


def test_what_is_lost_is_told_and_the_rest_goes_on(imgtool, photos, far, narrow):
    far.lost = (0,)
    words = ("--weights", narrow / "edges.safetensors", *QUICK, "-o", "out", "--ray", "far", "--json")
    result = imgtool("edges", "photos", *words)
    assert (result.code, sorted(files(photos / "out"))) == (1, ["b.png"])
    assert result.stderr.splitlines()[0] == "error: photos/a.png: lost on the cluster: its machine is gone"
    assert result.records[0] == {
        "input": "photos/a.png",
        "output": None,
        "error": "lost on the cluster: its machine is gone",
    }
    far.lost = ()
    again = imgtool("edges", "photos", *words, "--skip-existing")
    assert again.code == 0 and "1 done, 1 skipped, 0 failed" in again.stderr


def test_a_bug_is_one_line(imgtool, photos, far, narrow, monkeypatch):
    def broken(*arguments, **more):
        raise ZeroDivisionError("oh\nno")

    monkeypatch.setattr("imgtool.cli.edges_work.edges_that_fit", broken)
    words = ("--weights", narrow / "edges.safetensors", *QUICK, "-o", "out/", "--ray", "far")
    assert (
        imgtool("edges", "photos/a.png", *words).error
        == "error: photos/a.png: ZeroDivisionError: oh. Try: -vv"
    )
    assert "Traceback" in imgtool("edges", "photos/a.png", *words, "-vv").stderr


def test_existing_results(imgtool, photos, far, narrow):
    words = (
        "edges",
        "photos",
        "--weights",
        narrow / "edges.safetensors",
        *QUICK,
        "-o",
        "out",
        "--ray",
        "far",
    )
    assert imgtool(*words).code == 0
    assert "out/a.png exists" in imgtool(*words).error
    (photos / "out/a.png").write_bytes(b"mine")
    assert "0 done, 2 skipped" in imgtool(*words, "--skip-existing").stderr
    assert imgtool(*words, "--force").code == 0 and (photos / "out/a.png").read_bytes() != b"mine"


def test_a_file_that_appears_meanwhile_is_kept(imgtool, photos, far, narrow, monkeypatch):
    def do_part(*arguments, real=elsewhere.do_part):
        Path("out").mkdir()
        Path("out/a.png").write_bytes(b"mine")
        return real(*arguments)

    monkeypatch.setattr(elsewhere, "do_part", do_part)
    words = ("--weights", narrow / "edges.safetensors", *QUICK, "-o", "out/", "--ray", "far")
    assert "cannot write out/a.png: it exists already" in imgtool("edges", "photos/a.png", *words).error
    assert (photos / "out/a.png").read_bytes() == b"mine"


def test_another_version_there(imgtool, photos, far, narrow, monkeypatch):
    monkeypatch.setattr(elsewhere, "__version__", "9.9")
    words = ("--weights", narrow / "edges.safetensors", *QUICK, "-o", "out", "--ray", "far")
    assert "has imgtool" in imgtool("edges", "photos", *words).error


@pytest.mark.parametrize("words", [("-", "-o", "x.png"), ("photos/a.png", "-o", "-")])
def test_streams_stay_here(imgtool, photos, far, words):
    result = imgtool("edges", *words, "--ray", "far")
    assert result.code == 2 and "--ray: stdin and stdout stay here" in result.error


def test_names_there_and_here(photos):
    stand_ins = StandIns()
    for each in (stand_ins.of_input, stand_ins.of_output):
        assert each(Path("a/b.png")) == Path("a/b.png")
        assert each(Path("/x/y.png")) == Path("../0/y.png")
        assert each(Path("../../z.png")) == Path("../1/z.png")
    assert stand_ins.of_input(photos / "a/b.png") == Path("../here/a/b.png")
    assert stand_ins.of_output(photos / "a/b.png") == Path("../2/b.png")
    assert stand_ins.real("../0/y-sheet.png") == Path("/x/y-sheet.png")
    assert stand_ins.real("a/y-sheet.png") == Path("a/y-sheet.png")
    told = stand_ins.told("../0/y.png, ../1/z.png, ../here/a/b.png, ../9/c.png")
    assert told == f"/x/y.png, ../../z.png, {photos}/a/b.png, ../9/c.png"
    with pytest.raises(KeyError):
        stand_ins.real("../3/passwd")


STEPS = """
[lines]
command = "edges"
weights = "edges.safetensors"
precision = "fp32"
[thin]
command = "segment"
weights = "segment.safetensors"
precision = "fp32"
pictures = "{lines}"
[sheet]
command = "sheet"
pictures = ["{pictures}", "{thin}"]
"""


@pytest.mark.ray
def test_a_run_on_a_real_cluster(imgtool, photos, narrow):
    for name in ("edges.safetensors", "segment.safetensors"):
        shutil.copy(narrow / name, ".")
    Path("steps.toml").write_text(STEPS, encoding="utf-8")
    there = imgtool("run", "steps.toml", "photos", "-o", "out", "--ray", "local")
    assert there.code == 0, there.stderr
    made = files(photos / "out")
    assert "0 done, 5 skipped" in imgtool("run", "steps.toml", "photos", "-o", "out").stderr
    shutil.rmtree("out")
    assert imgtool("run", "steps.toml", "photos", "-o", "out").code == 0
    assert files(photos / "out") == made


@pytest.mark.ray
@pytest.mark.parametrize("command", ["edges", "segment", "paint", "optimise", "save-style", "captcha-read"])
def test_same_bytes_on_a_real_cluster(both, photos, narrow, quick, command):
    (photos / "photos/c.png").write_bytes(b"no picture")
    words = {
        "edges": ("edges", "--kind", "all", "--overlay", "--weights", narrow / "edges.safetensors", *QUICK),
        "segment": ("segment", "--kind", "all", "--weights", narrow / "segment.safetensors", *QUICK),
        "paint": ("stylize", "--weights", narrow / "paint.safetensors", *QUICK),
        "optimise": ("stylize", "--style", photos / "painting.png", *quick),
        "save-style": ("save-style", "--style-layers", "conv1_1", *quick[: quick.index("--size")]),
        "captcha-read": ("captcha-read", *QUICK),
    }[command]
    place = () if command == "captcha-read" else ("-o", "out")
    result, made = both(*words, "photos", "--json", *place, ray="local")
    assert result.code == 1 and result.records[-1]["summary"] == {"done": 2, "skipped": 0, "failed": 1}
    assert bool(made) == bool(place)
