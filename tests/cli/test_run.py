import asyncio
import hashlib
import os
import signal
import socket
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image

from imgtool.cli import run_plan, run_work

STEPS = """
pictures = "photos/"
[lines]
command = "edges"
invert = true
[thin]
command = "edges"
pictures = "{lines}"
thin = true
[sheet]
command = "sheet"
pictures = ["{pictures}", "{lines}", "{thin}"]
"""


class Fake:
    """A child whose results are the SHA-256 of its command, options and inputs; one of b"bad" fails."""

    log = []  # noqa: RUF012
    at_once = most = 0
    signal = None  # raised in the parent while the first one works

    def __init__(self, command, words, *, on_record, on_line):
        cut = words.index("--")
        self.command, self.options, self.inputs = (
            command,
            words[:cut],
            [Path(word) for word in words[cut + 1 :]],
        )
        self.on_record, self.on_line, self.progress = on_record, on_line, {}
        self.error = None
        self.stopped = asyncio.Event()
        Fake.log.append(self)

    def value(self, name):
        return next((word.partition("=")[2] for word in self.options if word.startswith(f"--{name}=")), None)

    def stop(self):
        self.stopped.set()

    async def run(self):
        Fake.at_once += 1
        Fake.most = max(Fake.most, Fake.at_once)
        await asyncio.sleep(0.01)
        Fake.at_once -= 1
        if Fake.signal:
            number, Fake.signal = Fake.signal, None
            self._write([self.inputs[0]], self._place(self.inputs[0]), unfinished=True)
            os.kill(os.getpid(), number)
            await self.stopped.wait()
            return 128 + number
        if self.command == "sheet":
            return self._write(self.inputs, Path(self.value("output")))
        return max([self._write([path], self._place(path)) for path in self.inputs], key=abs)

    def _place(self, path):
        return Path(self.value("output")) / self.value("name").format(stem=path.stem)

    def _write(self, inputs, output, **more):
        contents = [path.read_bytes() for path in inputs]
        if b"killed" in contents:
            return -9
        if b"bad" in contents:
            self.error = "no picture"
            self.on_line(f"error: {inputs[0]}: no picture")
            self.on_record({"input": str(inputs[0]), "output": None, "error": "no picture"})
            return 1
        knobs = [word for word in self.options if not word.startswith(("--output", "--threads"))]
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(hashlib.sha256(repr([self.command, knobs, contents, more]).encode()).digest())
        self.on_record({"output": str(output), **more})
        return 0


@pytest.fixture
def fake(monkeypatch):
    """What commands were run since last asked: [(command, inputs)]."""
    monkeypatch.setattr(run_work, "Child", Fake)
    Fake.log, Fake.most, Fake.signal = [], 0, None

    def log():
        found = [(child.command, [str(path) for path in child.inputs]) for child in Fake.log]
        Fake.log = []
        return found

    return log


@pytest.fixture
def steps(folder):
    """Writes steps.toml and two photos, which nobody opens."""
    (folder / "photos").mkdir()
    for name in ("a", "b"):
        (folder / "photos" / f"{name}.jpg").write_bytes(name.encode())
    (folder / "style.jpg").write_bytes(b"style")

    def steps(text=STEPS):
        (folder / "steps.toml").write_text(text, encoding="utf-8")

    steps()
    return steps


@pytest.fixture
def run(imgtool, steps):
    return lambda *arguments: imgtool("run", "steps.toml", *arguments)


def last(result):
    return result.stderr.splitlines()[-1]


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_dry_run_tells_and_touches_nothing(run, folder, fake):
    before = files(folder)
    result = run("--dry-run")
    assert result.code == 0
    assert result.stderr.splitlines() == [
        "lines: imgtool edges --invert of pictures -> steps/lines: 2 to do, 0 done",
        "thin: imgtool edges --thin of lines -> steps/thin: 2 to do, 0 done",
        "sheet: imgtool sheet of pictures, lines, thin -> steps/sheet.png: 1 to do, 0 done",
    ]
    assert fake() == [] and files(folder) == before


def test_steps_in_order_and_only_once(run, fake):
    assert run().code == 0
    assert fake() == [
        ("edges", ["photos/a.jpg", "photos/b.jpg"]),
        ("edges", ["steps/lines/a.png", "steps/lines/b.png"]),
        (
            "sheet",
            [
                *("photos/a.jpg", "steps/lines/a.png", "steps/thin/a.png"),
                *("photos/b.jpg", "steps/lines/b.png", "steps/thin/b.png"),
            ],
        ),
    ]
    again = run()
    assert (again.code, last(again), fake()) == (0, "0 done, 5 skipped, 0 failed", [])
    assert "2 done" in run("-n").stderr


def test_a_changed_photo(run, folder, fake):
    run(), fake()
    (folder / "photos/b.jpg").write_bytes(b"other")
    assert "lines: imgtool edges --invert of pictures -> steps/lines: 1 to do, 1 done" in run("-n").stderr
    assert last(run()) == "3 done, 2 skipped, 0 failed"
    assert [inputs for _, inputs in fake()][:2] == [["photos/b.jpg"], ["steps/lines/b.png"]]


def test_a_changed_option(run, steps, fake):
    run(), fake()
    steps(STEPS.replace("thin = true", "thin = true\nthreshold = 0.5"))
    assert last(run()) == "3 done, 2 skipped, 0 failed"
    assert [command for command, _ in fake()] == ["edges", "sheet"]


def test_a_changed_setting(run, folder, fake):
    run(), fake()
    (folder / "imgtool.toml").write_text("[edges]\nscales = 0.5\n", encoding="utf-8")
    assert last(run()) == "4 done, 1 skipped, 0 failed"  # the sheet comes out the same


def test_threads_do_not_matter(run, folder, fake):
    run(), fake()
    (folder / "imgtool.toml").write_text("[edges]\nthreads = 1\n", encoding="utf-8")
    assert last(run()) == "0 done, 5 skipped, 0 failed"


def test_a_missing_result_that_comes_out_the_same(run, folder, fake):
    run(), fake()
    (folder / "steps/lines/a.png").unlink()
    assert last(run()) == "1 done, 4 skipped, 0 failed"
    assert fake() == [("edges", ["photos/a.jpg"])]


def test_a_result_that_was_changed_by_hand(run, folder, fake):
    run(), fake()
    (folder / "steps/lines/a.png").write_bytes(b"by hand")
    run()
    assert fake()[0] == ("edges", ["steps/lines/a.png"])
    assert (folder / "steps/lines/a.png").read_bytes() == b"by hand"


PAINT = """
[painted]
command = "stylize"
style = "style.jpg:0.5"
content-mask = "{lines}"
[lines]
command = "edges"
"""


def test_options_name_results_of_the_same_picture(run, steps, folder, fake):
    steps(PAINT)
    assert run("photos").code == 0
    masks = {
        str(child.inputs[0]): child.value("content-mask") for child in Fake.log if child.command == "stylize"
    }
    assert masks == {
        str(folder / "photos/a.jpg"): "steps/lines/a.png",
        str(folder / "photos/b.jpg"): "steps/lines/b.png",
    }
    fake()
    (folder / "style.jpg").write_bytes(b"another")
    assert last(run("photos")) == "2 done, 2 skipped, 0 failed"
    assert {command for command, _ in fake()} == {"stylize"}


def test_what_fails_takes_with_it_what_needs_it(run, folder, fake):
    (folder / "photos/a.jpg").write_bytes(b"bad")
    result = run()
    assert result.code == 1 and last(result) == "2 done, 0 skipped, 3 failed"
    assert "error: lines: photos/a.jpg: no picture" in result.stderr
    assert "error: sheet: 1 not made, for what they need was not" in result.stderr
    assert [inputs for _, inputs in fake()] == [["photos/a.jpg", "photos/b.jpg"], ["steps/lines/b.png"]]
    (folder / "photos/a.jpg").write_bytes(b"good")
    assert last(run()) == "3 done, 2 skipped, 0 failed"


def test_a_photo_that_cannot_be_read_is_never_done(run, fake, monkeypatch):
    def sha256_file(path, real=run_plan.sha256_file):
        if path.name == "b.jpg":
            raise PermissionError
        return real(path)

    monkeypatch.setattr(run_plan, "sha256_file", sha256_file)
    run(), fake()
    assert last(run()) == "2 done, 3 skipped, 0 failed"  # the sheet has it too
    assert fake()[0][1] == ["photos/b.jpg"]


def test_a_link_that_leads_nowhere(run, folder, fake):
    (folder / "photos/gone.png").symlink_to("nowhere.png")
    result = run()
    assert (
        result.code == 2
        and result.error == "error: photos/gone.png does not exist. Try 'imgtool run --help'."
    )
    assert fake() == []


def test_a_command_that_dies_is_told(run, folder, fake):
    (folder / "photos/a.jpg").write_bytes(b"killed")
    result = run()
    assert result.code == 1 and last(result) == "2 done, 0 skipped, 3 failed"
    assert "error: lines: the command ended with -9, 1 not made" in result.stderr


def test_fail_fast(run, folder, fake):
    (folder / "photos/a.jpg").write_bytes(b"bad")
    assert run("--fail-fast").code == 1
    assert len(fake()) == 1


def test_folders_inside(run, steps, folder, fake):
    (folder / "photos/in").mkdir()
    (folder / "photos/in/a.jpg").write_bytes(b"deep")
    steps("recursive = true\n" + STEPS)
    assert run().code == 0
    assert (folder / "steps/thin/in/a.png").is_file() and (folder / "steps/thin/a.png").is_file()


def test_at_once(run, steps, fake):
    steps('[one]\ncommand = "edges"\n[two]\ncommand = "edges"\nthin = true\n')
    assert run("photos", "-j", "2").code == 0
    assert Fake.most == 2
    threads = {child.value("threads") for child in Fake.log}
    assert len(threads) == 1 and int(threads.pop()) >= 1
    assert len(fake()) == 4


def test_one_after_the_other(run, steps, fake):
    steps('[one]\ncommand = "edges"\n[two]\ncommand = "edges"\nthin = true\n')
    run("photos")
    assert Fake.most == 1 and {child.value("threads") for child in Fake.log} == {None}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(run, fake, number, monkeypatch):
    before = signal.signal(number, signal.default_int_handler)
    try:
        Fake.signal = number
        result = run()
    finally:
        signal.signal(number, before)
    assert result.code == 130  # of the handler that stood here
    assert "To go on: the same command.\n0 done, 0 skipped, 0 failed\n" in result.stderr
    assert len(fake()) == 1
    assert last(run()) == "5 done, 0 skipped, 0 failed", "what was cut short is made anew"


def test_a_cluster_that_does_not_answer_is_told_before_the_first_step(run, folder, fake):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = "{}:{}".format(*listening.getsockname())
    result = run("--ray", address)
    assert result.code == 2 and f"--ray: nothing answers at {address}" in result.error
    assert fake() == [] and not (folder / "steps").exists()


def test_files_of_others_are_left_alone(run, folder, fake):
    (folder / "steps/lines").mkdir(parents=True)
    (folder / "steps/lines/a.png").write_bytes(b"mine")
    result = run()
    assert result.code == 2 and "steps/lines/a.png exists" in result.error
    assert fake() == [] and (folder / "steps/lines/a.png").read_bytes() == b"mine"
    assert run("--force").code == 0


def test_force_makes_all_anew(run, fake):
    run(), fake()
    assert last(run("--force")) == "5 done, 0 skipped, 0 failed"


def test_half_a_line_in_the_journal(run, folder, fake):
    run(), fake()
    journal = folder / "steps/run.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    assert last(run()) == "1 done, 4 skipped, 0 failed"


def test_a_journal_that_is_none(run, folder):
    (folder / "steps/run.jsonl").mkdir(parents=True)
    assert "run.jsonl of an earlier run cannot be read" in run().error


def test_two_runs_in_one_folder(run, folder, fake):
    (folder / "steps").mkdir()
    with FileLock(folder / "steps" / run_work.LOCK):
        result = run()
    assert result.code == 1 and "another run works in steps" in result.error


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = ", "cannot be read"),
        ("", "no step"),
        ("x = 1", "'x' is none of pictures, recursive or a step's table"),
        ("[a]\nthin = true", "step 'a': it has no command"),
        ("[a]\ncommand = 'edgse'", "Did you mean 'edges'?"),
        ("[a]\ncommand = 'doctor'", "makes pictures of pictures"),
        ("[a]\ncommand = 'edges'\nthn = true", "no option 'thn'. Did you mean 'thin'?"),
        ("[a]\ncommand = 'edges'\noutput = 'x'", "run's own business"),
        ("[a]\ncommand = 'stylize'\nvideo = true", "'video' is of films; type the command"),
        ("[a]\ncommand = 'edges'\nthin = 'yes'", "step 'a'"),
        ("[a]\ncommand = 'edges'\nscales = 100", "step 'a': --scales: must be from 0.05 to 8"),
        ("[a]\ncommand = 'edges'\nbits = 9", "step 'a'"),
        ("[a]\ncommand = 'edges'\nkind = 'all'", "give it one kind"),
        ("[a]\ncommand = 'segment'\nverify-tiles = true", "step 'a'"),
        ("[a]\ncommand = 'stylize'", "step 'a': no style"),
        ("[a]\ncommand = 'stylize'\nstyle = 'none.jpg'", "none.jpg does not exist"),
        ("[a]\ncommand = 'edges'\npictures = 'photos/'", "not 'photos/'"),
        ("[a]\ncommand = 'edges'\npictures = '{b}'", "needs 'b', which is no step"),
        ("[a]\ncommand = 'edges'\npictures = '{a}'", "a needs a"),
        (
            "[a]\ncommand = 'edges'\npictures = '{b}'\n[b]\ncommand = 'edges'\npictures = '{a}'",
            "need each other",
        ),
        ("[a]\ncommand = 'edges'\npictures = ['{pictures}', '{pictures}']", "each picture alone"),
        ("[pictures]\ncommand = 'edges'", "pictures: expected text"),
        ("['a b']\ncommand = 'edges'", "letters, digits"),
        ("['../x']\ncommand = 'edges'", "letters, digits"),
        (
            "[s]\ncommand = 'sheet'\n[a]\ncommand = 'stylize'\npictures = '{s}'\nstyle = '{pictures}'",
            "{pictures} is 2 pictures where one is needed",
        ),
    ],
)
def test_wrong_files_are_refused_before_the_first_step(run, steps, folder, fake, text, words):
    steps(text)
    result = run("photos")
    assert result.code == 2 and words in result.error
    assert fake() == [] and not (folder / "steps").exists()


@pytest.mark.parametrize(
    ("pictures", "words"),
    [
        ((), "no pictures"),
        (("none",), "does not exist"),
        (("-",), "not stdin"),
        (("photos/a.jpg", "other/a.png"), "same name 'a'"),
    ],
)
def test_wrong_pictures(run, steps, save, fake, pictures, words):
    save("other/a.png")
    steps("[a]\ncommand = 'edges'")
    result = run(*pictures)
    assert result.code == 2 and words in result.error
    assert fake() == []


def test_from_another_folder(imgtool, steps, folder, monkeypatch, fake):
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert imgtool("run", "../steps.toml").code == 0
    assert (folder / "elsewhere/steps/sheet.png").is_file()
    assert Path.cwd() == folder / "elsewhere"


def test_real_commands(imgtool, folder, save):
    for seed, name in enumerate("ab"):
        save(f"photos/{name}.png", seed=seed, size=(64, 48))
    (folder / "steps.toml").write_text(STEPS, encoding="utf-8")
    result = imgtool("run", "steps.toml", "-o", "out", "--json", "-j", "2")
    assert result.code == 0, result.stderr
    assert result.records[-1] == {"summary": {"done": 5, "skipped": 0, "failed": 0}}
    assert sorted(record["step"] for record in result.records[:-1]) == [
        "lines",
        "lines",
        "sheet",
        "thin",
        "thin",
    ]
    for name in ("lines/a.png", "lines/b.png", "thin/a.png", "thin/b.png"):
        with Image.open(folder / "out" / name) as image:
            assert image.size == (64, 48)
    assert imgtool("inspect", "out/sheet.png").code == 0
    assert last(imgtool("run", "steps.toml", "-o", "out")) == "0 done, 5 skipped, 0 failed"
