import os
from pathlib import Path

import click
import pytest
from PIL import Image

from imgtool.cli import batch
from imgtool.cli.batch import Job, OutputChoice, plan, run
from imgtool.cli.console import console
from imgtool.cli.sources import Source
from imgtool.errors import BadImage, DeviceError, OutputError, WeightsError
from imgtool.imaging import encode

GO_ON = "To go on: the same command with --skip-existing; it does anew what was cut short."


def touch(*names):
    for name in names:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def outputs(given, *, command="stylize", **choice):
    return [str(job.output) for job in plan(given, OutputChoice(**choice), command=command)[0]]


def refusal(given, **choice):
    with pytest.raises(click.UsageError) as caught:
        plan(given, OutputChoice(**choice), command="stylize")
    return caught.value.message


def test_formats_are_those_of_imaging():
    assert set(batch.FORMATS) == set(encode.FORMATS)
    without = {name for name in encode.FORMATS if not encode.FORMATS[name].recipe}
    assert set(batch.EMBEDS_NO_RECIPE) == {*without, "npy"}  # an array, which `imaging.strips` writes


class TestNames:
    def test_results_of_an_earlier_run_are_no_inputs(self):
        touch("in/b.png", "in/out/b.png")
        assert outputs(["in"], recursive=True, output="in/out", force=True) == ["in/out/b.png"]

    @pytest.mark.parametrize("name", [b"\xff.png", b"two\nlines.png", b"-v.png", "ü ☃.png".encode()])
    def test_strange_names(self, name):
        touch(os.fsdecode(name))
        assert outputs([os.fsdecode(name)]) == [f"{Path(os.fsdecode(name)).stem}-stylize.png"]

    def test_default_is_in_the_current_folder(self):
        touch("in/a.jpg")
        assert outputs(["in/a.jpg"]) == ["a-stylize.png"]
        assert outputs(["in/a.jpg"], format="webp") == ["a-stylize.webp"]
        assert outputs(["-"]) == ["stdin-stylize.png"]

    def test_file_and_folder(self):
        touch("in/a.jpg")
        Path("there").mkdir()
        assert outputs(["in/a.jpg"], output="b.webp") == ["b.webp"]
        assert outputs(["in/a.jpg"], output="there") == ["there/a.png"]
        assert outputs(["in/a.jpg"], output="new/") == ["new/a.png"]

    def test_structure_is_mirrored(self):
        touch("in/a.jpg", "in/deep/b.jpg")
        assert outputs(["in"], recursive=True, output="out") == ["out/a.png", "out/deep/b.png"]

    def test_template(self):
        touch("a.jpg", "b.png")
        name = "{index}-{stem}-{name}-{command}-{kind}.png"
        first, second = outputs(["a.jpg", "b.png"], name=name, output="out")
        assert first == "out/0001-a-a.jpg-stylize-stylize.png"
        assert second.startswith("out/0002-b-b.png")
        assert outputs(["a.jpg"], name="{index:02d}.webp") == ["01.webp"]

    def test_a_template_without_suffix_takes_the_format(self):
        touch("a.b.jpg")
        assert outputs(["a.b.jpg"], name="{stem}") == ["a.b.png"]
        assert outputs(["a.b.jpg"], name="v1.2/{stem}-x", format="webp") == ["v1.2/a.b-x.webp"]
        assert outputs(["a.b.jpg"], name="{name}", output="out") == ["out/a.b.jpg"]
        assert "unknown suffix .2" in refusal(["a.b.jpg"], name="{stem}-1.2")

    @pytest.mark.parametrize(
        "name", ["{stam}.png", "{stem.__class__}.png", "{}.png", "{stem", "{stem:d}.png"]
    )
    def test_bad_template(self, name):
        touch("a.jpg")
        assert "is no template; use {stem} {name} {command} {kind} {index}" in refusal(["a.jpg"], name=name)

    @pytest.mark.parametrize(
        ("output", "found"), [("out.xyz", "unknown suffix .xyz"), ("out", "no suffix"), ("x.p\n", r".p\n")]
    )
    def test_unknown_format(self, output, found):
        touch("a.jpg")
        message = refusal(["a.jpg"], output=output)
        assert found in message
        assert ".png" in message

    def test_no_name(self):
        touch("a.jpg")
        assert "null character" in refusal(["a.jpg"], output="a\0.png")
        assert "is empty" in refusal(["a.jpg"], output="")


class TestClobber:
    def test_two_inputs_for_one_output(self):
        touch("a.jpg", "a.png", "x/a.jpg")
        assert "--name '{name}.png'" in refusal(["a.jpg", "a.png"], output="out")
        assert "--name '{index}-{name}.png'" in refusal(["a.jpg", "x/a.jpg"], output="out")
        assert outputs(["a.jpg", "a.png"], output="out", name="{name}.png") == [
            "out/a.jpg.png",
            "out/a.png.png",
        ]
        assert "a.jpg is given twice" in refusal(["a.jpg", "./a.jpg"], output="out")

    def test_an_output_that_is_an_input(self):
        touch("a.png", "b.png")
        assert "a.png would replace an input" in refusal(["a.png"], output="a.png", force=True)
        assert "would replace an input" in refusal(
            ["a.png"], output=f"../{Path.cwd().name}/a.png", force=True
        )
        assert "b.png would replace an input" in refusal(
            ["a.png", "b.png"], output=".", force=True, name="b.png"
        )
        Path("link.png").symlink_to("a.png")
        assert "would replace an input" in refusal(["a.png"], output="link.png", force=True)

    def test_an_output_that_is_read_otherwise(self):
        touch("a.jpg", "style.png")
        assert "style.png would" in refusal(
            ["a.jpg"], output="style.png", force=True, also_read=("style.png",)
        )

    def test_files_beside_the_output_count_too(self):
        touch("a.jpg", "a-sheet.jpg", "style.png")
        assert "both" in refusal(["a.jpg", "a-sheet.jpg"], output="out", beside=("-sheet.png",))
        touch("o-sheet.png", "o-step0005.png", "p.bmp.json")
        refused = {"force": True, "beside": ("-sheet.png",), "also_read": ("o-sheet.png",)}
        assert "o-sheet.png would replace an input" in refusal(["a.jpg"], output="o.png", **refused)
        assert "o-sheet.png exists" in refusal(["a.jpg"], output="o.png", beside=("-sheet.png",))
        assert "o-step0005.png exists" in refusal(["a.jpg"], output="o.png", beside=("-step*.png",))
        assert "p.bmp.json exists" in refusal(["a.jpg"], output="p.bmp")

    def test_brackets_and_stars_in_names(self):
        touch("a[1]*.jpg", "a[1]*-step0001.png")
        assert "exists" in refusal(["a[1]*.jpg"], output="a[1]*.png", beside=("-step*.png",))

    def test_existing_outputs(self):
        touch("a.jpg", "b.jpg", "out/a.png")
        message = refusal(["a.jpg", "b.jpg"], output="out")
        assert "out/a.png exists" in message
        assert "--force" in message
        assert "--skip-existing" in message
        assert len(outputs(["a.jpg", "b.jpg"], output="out", force=True)) == 2
        jobs, skipped = plan(["a.jpg", "b.jpg"], OutputChoice(output="out", skip_existing=True), command="x")
        assert ([str(job) for job in jobs], skipped) == (["out/b.png"], 1)

    def test_an_output_that_an_interrupt_left_is_not_done(self):
        touch("a.jpg", "b.jpg", "c.jpg", "out/b.png", "out/c.bmp")
        Path("out/a.png.json").write_text('{"unfinished": true}')
        Image.new("L", (2, 2)).save("out/a.png")
        Path("out/c.bmp.json").write_text('{"unfinished": "yes"}')
        choice = OutputChoice(output="out", skip_existing=True)
        jobs, skipped = plan(["a.jpg", "b.jpg"], choice, command="x")
        assert ([(str(job), job.unfinished) for job in jobs], skipped) == ([("out/a.png", True)], 1)
        assert plan(["c.jpg"], OutputChoice(output="out", format="bmp", skip_existing=True), command="x") == (
            [],
            1,
        )
        with pytest.raises(click.UsageError, match="exists"):
            plan(["a.jpg"], OutputChoice(output="out"), command="x")

    def test_a_file_where_a_folder_is_needed(self):
        touch("a.jpg", "b.jpg", "out.png")
        assert "is a file" in refusal(["a.jpg", "b.jpg"], output="out.png", force=True)

    def test_a_place_that_cannot_be_written(self):
        touch("a.jpg", "file")
        with pytest.raises(OutputError, match="file is not a folder"):
            plan(["a.jpg"], OutputChoice(output="file/a.png"), command="x")

    def test_stdout(self):
        touch("a.jpg", "b.jpg")
        assert "takes one input" in refusal(["a.jpg", "b.jpg"], output="-")
        assert "no room" in refusal(["a.jpg"], output="-", beside=("-sheet.png",))
        console.json = True
        assert "no room" in refusal(["a.jpg"], output="-")

    def test_nothing_is_made(self, folder):
        touch("a.jpg")
        plan(["a.jpg"], OutputChoice(output="new/deep/"), command="x")
        assert [path.name for path in folder.iterdir()] == ["a.jpg"]


class TestKinds:
    """A command that makes several outputs of one input, or one that is not called as the command."""

    def plan(self, given, *, kinds=("fuse", "side1"), formats=batch.FORMATS, **choice):
        jobs, skipped = plan(given, OutputChoice(**choice), command="edges", kinds=kinds, formats=formats)
        return [{kind: str(path) for kind, path in job.outputs.items()} for job in jobs], skipped

    def refusal(self, given, **choice):
        with pytest.raises(click.UsageError) as caught:
            self.plan(given, **choice)
        return caught.value.message

    def test_default_names_tell_them_apart(self):
        touch("in/a.jpg")
        (one,), _ = self.plan(["in/a.jpg"])
        assert one == {"fuse": "a-edges-fuse.png", "side1": "a-edges-side1.png"}
        (one,), _ = self.plan(["in"], output="out")
        assert one == {"fuse": "out/a-fuse.png", "side1": "out/a-side1.png"}

    def test_a_single_kind_has_the_command_s_name_unless_a_template_asks(self):
        touch("a.jpg")
        (one,), _ = self.plan(["a.jpg"], kinds=("thin",))
        assert one == {"thin": "a-edges.png"}
        (one,), _ = self.plan(["a.jpg"], kinds=("thin",), name="{stem}-{kind}.webp")
        assert one == {"thin": "a-thin.webp"}
        (one,), _ = self.plan(["a.jpg"], kinds=("thin",), output="b.png")
        assert one == {"thin": "b.png"}

    def test_one_file_for_several(self):
        touch("a.jpg", "b.jpg")
        assert "o.png is one file for several outputs; use o.png/" in self.refusal(["a.jpg"], output="o.png")
        assert "one file for several" in self.refusal(["a.jpg", "b.jpg"], output="o.png", kinds=("thin",))
        assert self.plan(["a.jpg"], output="o.png/")[0] == [
            {"fuse": "o.png/a-fuse.png", "side1": "o.png/a-side1.png"}
        ]
        assert "makes one output" in self.refusal(["a.jpg"], output="-")
        message = self.refusal(["a.jpg"], name="{stem}-x.png")
        assert "all of fuse, side1 would be written to a-x.png. Use --name '{stem}-{kind}.png'" in message

    def test_two_inputs_for_one_output(self):
        touch("a.jpg", "a.png", "x/a.jpg")
        assert "--name '{name}-{kind}.png'" in self.refusal(["a.jpg", "a.png"], output="out")
        assert "--name '{index}-{name}-{kind}.png'" in self.refusal(["a.jpg", "x/a.jpg"], output="out")
        assert "given twice" in self.refusal(["a.jpg", "a.jpg"], output="out")

    def test_existing_outputs(self):
        touch("a.jpg", "b.jpg", "out/a-fuse.png", "out/b-fuse.png", "out/b-side1.png")
        assert "out/a-fuse.png exists" in self.refusal(["a.jpg", "b.jpg"], output="out")
        jobs, skipped = self.plan(["a.jpg", "b.jpg"], output="out", skip_existing=True)
        assert (jobs, skipped) == ([{"side1": "out/a-side1.png"}], 1)

    def test_files_beside_each(self):
        touch("a.jpg", "a-edges-fuse-sheet.png", "a-edges-side1-all.csv", "a-edges-side1.bmp.json")
        assert "fuse-sheet.png exists" in self.refusal(["a.jpg"], beside=("-sheet.png",))
        assert "side1-all.csv exists" in self.refusal(["a.jpg"], beside_kind={"side1": "-all.csv"})
        assert "side1.bmp.json exists" in self.refusal(["a.jpg"], format="bmp")

    def test_what_stands_beside_belongs_to_the_first_or_to_one_kind(self):
        touch("a.jpg", "a-edges-side1-sheet.png", "a-edges-fuse-all.csv")
        self.plan(["a.jpg"], beside=("-sheet.png",), beside_kind={"side1": "-all.csv"})  # neither is written

    def test_an_output_without_what_stands_beside_it_is_not_done(self):
        more = {"output": "out", "skip_existing": True, "beside": ("-sheet.png", ".json", "-step*.png")}
        more["beside_kind"] = {"side1": "-objects.csv"}
        there = ["fuse.png", "fuse.png.json", "fuse-sheet.png", "side1.png", "side1.png.json"]
        touch("a.jpg", *(f"out/a-{name}" for name in there), "out/a-side1-objects.csv")
        choice = OutputChoice(**more)
        assert plan(["a.jpg"], choice, command="edges", kinds=("fuse", "side1")) == ([], 1)
        for gone, kind, leads in (
            ("side1-objects.csv", "side1", False),
            ("side1.png.json", "side1", False),
            ("side1.png", "side1", False),
            ("fuse-sheet.png", "fuse", True),
            ("fuse.png.json", "fuse", True),
        ):
            path = Path(f"out/a-{gone}")
            path.unlink()
            ((job,), _) = plan(["a.jpg"], choice, command="edges", kinds=("fuse", "side1"))
            assert (list(job.outputs), job.leads, job.unfinished) == ([kind], leads, gone != "side1.png")
            path.touch()

    def test_other_formats(self):
        touch("a.jpg")
        assert "unknown suffix .svg" in self.refusal(["a.jpg"], kinds=("lines",), output="a.svg")
        svg = {"formats": (*batch.FORMATS, "svg"), "kinds": ("lines",)}
        assert self.plan(["a.jpg"], output="a.svg", **svg)[0] == [{"lines": "a.svg"}]
        assert self.plan(["a.jpg"], format="svg", **svg)[0] == [{"lines": "a-edges.svg"}]
        assert ".avif .svg" in self.refusal(["a.jpg"], output="a.xyz", **svg)

    def test_one_output_alone(self):
        job = Job(Source(Path("a.jpg")), {"fuse": Path("a.png"), "side1": Path("b.png")}, "webp")
        assert str(job) == "a.png, b.png"
        assert job.of("side1") == Job(job.source, {"side1": Path("b.png")}, "webp")
        assert job.of("side1").beside("-sheet.png") == Path("b-sheet.png")


class TestRun:
    @pytest.fixture(autouse=True)
    def as_json(self):
        console.json = True

    def work(self, results, capsys, **options):
        """Runs one job a result, and returns the exit code, the records and stderr."""
        jobs = [
            Job(Source(Path(f"{number}.png")), {"x": Path(f"out/{number}.png")})
            for number in range(len(results))
        ]

        def do(job):
            result = results[jobs.index(job)]
            if isinstance(result, BaseException):
                raise result
            return dict(result)

        code = run(jobs, lambda: do, **options)
        return (code, *self.told(capsys))

    def told(self, capsys):
        import json

        told = capsys.readouterr()
        return [json.loads(line) for line in told.out.splitlines()], told.err.splitlines()

    def test_goes_on_after_a_failure(self, capsys):
        code, records, talk = self.work([{}, BadImage("1.png", "no picture"), {}], capsys, skipped=2)
        assert code == 1
        assert [record.get("error") for record in records] == [None, "1.png: no picture", None, None]
        assert records[1]["output"] is None
        assert records[-1] == {"summary": {"done": 2, "skipped": 2, "failed": 1}}
        assert talk == ["error: 1.png: no picture", "2 done, 2 skipped, 1 failed"]

    def test_each_output_has_a_line_and_a_failure_one(self, capsys):
        job = Job(Source(Path("a.jpg")), {"fuse": Path("a.png"), "side1": Path("b.png")})
        assert run([job], lambda: lambda job: {"width": 3}) == 0
        records, _ = self.told(capsys)
        assert records[:-1] == [
            {"input": "a.jpg", "output": "a.png", "kind": "fuse", "width": 3},
            {"input": "a.jpg", "output": "b.png", "kind": "side1", "width": 3},
        ]
        assert records[-1]["summary"]["done"] == 1

        def fail(job):
            raise BadImage("a.jpg", "no picture")

        assert run([job], lambda: fail) == 1
        assert self.told(capsys)[0][0] == {"input": "a.jpg", "output": None, "error": "a.jpg: no picture"}

    def test_names_the_input(self, capsys):
        assert self.work([DeviceError("out of memory", hint="--size 64")], capsys)[2] == [
            "error: 0.png: out of memory. Try: --size 64"
        ]

    def test_fail_fast(self, capsys):
        code, records, talk = self.work([BadImage("0.png", "bad"), {}], capsys, fail_fast=True)
        assert code == 1
        assert len(records) == 2
        assert talk[-1] == "0 done, 0 skipped, 1 failed"

    def test_exit_code_of_a_single_job_or_a_common_cause(self, capsys):
        full = DeviceError("out of memory")
        assert self.work([full], capsys)[0] == 4
        assert self.work([full, full], capsys)[0] == 4
        assert self.work([full, {}], capsys)[0] == 1
        assert self.work([full, BadImage("1.png", "bad")], capsys)[0] == 1
        assert self.work([{"error": "diverged"}], capsys)[0] == 1

    def test_failed_preparation_fails_all(self, capsys):
        def prepare():
            raise WeightsError("no weights")

        with pytest.raises(WeightsError):
            run([Job(Source(Path("a.png")), {"x": Path("b.png")})] * 3, prepare)
        records, talk = self.told(capsys)
        assert records == [{"summary": {"done": 0, "skipped": 0, "failed": 3}}]
        assert talk == []  # the reason is told where it is caught

    def test_nothing_is_prepared_for_no_jobs(self, capsys):
        assert run([], lambda: pytest.fail("prepared"), skipped=3) == 0
        assert self.told(capsys)[1] == ["0 done, 3 skipped, 0 failed"]

    def test_an_interrupt_is_raised_again_once_its_result_is_told(self, capsys):
        stop = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt) as caught:
            self.work([{}, {"interrupted": stop}, {}], capsys)
        assert caught.value is stop
        records, talk = self.told(capsys)
        assert [record.get("output") for record in records] == ["out/0.png", "out/1.png", None]
        assert talk == [GO_ON, "1 done, 0 skipped, 0 failed"]

    def test_a_batch_that_is_cut_short_says_how_to_go_on(self, capsys):
        with pytest.raises(KeyboardInterrupt):
            self.work([{}, KeyboardInterrupt()], capsys)
        assert self.told(capsys)[1] == [GO_ON, "1 done, 0 skipped, 0 failed"]
        with pytest.raises(KeyboardInterrupt):
            self.work([KeyboardInterrupt()], capsys)
        assert self.told(capsys)[1] == []

    def test_a_bug_is_not_hidden(self, capsys):
        with pytest.raises(ZeroDivisionError):
            self.work([ZeroDivisionError()], capsys)
