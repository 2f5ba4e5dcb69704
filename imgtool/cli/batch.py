"""Many inputs, many outputs: what goes where is settled before work starts, and failures do not stop it."""

import glob
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import click

from imgtool.cli.console import console, counted
from imgtool.cli.naming import Index, filled, require_new, with_suffix
from imgtool.cli.rehearsal import answer
from imgtool.cli.sources import READABLE, STREAM, Source, find_sources, is_file, is_folder
from imgtool.errors import ImgtoolError, RecipeError
from imgtool.files import check_writable, printable
from imgtool.imaging.suffixes import WRITABLE

FORMATS = WRITABLE
EMBEDS_NO_RECIPE = ("bmp", "gif", "ppm", "npy")
SIDECAR = ".json"


@dataclass(frozen=True)
class Job:
    """One input and where its results go.

    Attributes:
        source: the input.
        outputs: by kind, most often a single one; `-` for stdout.
        format: of stdout.
        unfinished: whether outputs that are there are not what was asked for, to be replaced.
        leads: whether its first output is that of all kinds that were asked for, beside which their further
            files stand.
        before: the job before it, whether it is still to be done or not.
    """

    source: Source
    outputs: Mapping[str, Path]
    format: str = "png"
    unfinished: bool = False
    leads: bool = True
    before: Self | None = None

    @property
    def output(self) -> Path:
        """The output; the first one of several."""
        return next(iter(self.outputs.values()))

    def of(self, kind: str) -> Self:
        """The same job with one of its outputs alone."""
        return replace(self, outputs={kind: self.outputs[kind]})

    @property
    def to_stream(self) -> bool:
        """Whether the result goes to stdout."""
        return str(self.output) == STREAM

    @property
    def suffix(self) -> str:
        """The format of the output, in lower case and without a dot; of the first one of several."""
        return self.format if self.to_stream else self.output.suffix[1:].lower()

    def beside(self, ending: str) -> Path:
        """A further file: for `out.jpg`, "-sheet.png" means `out-sheet.png` and ".json" `out.jpg.json`."""
        stem = self.output.name if ending.startswith(".") else self.output.stem
        return self.output.with_name(stem + ending)

    def __str__(self) -> str:
        return "stdout" if self.to_stream else ", ".join(map(printable, self.outputs.values()))


@dataclass(frozen=True)
class OutputChoice:
    """What the user said about outputs: `params.output`.

    Attributes:
        output: a file, a folder or `-`; None for a default name in the current folder.
        name: a template.
        format: where no name tells it.
        force, skip_existing: what to do about outputs that exist; by default they are refused.
        fail_fast: stop at the first input that fails.
        recursive: look into sub-folders.
        beside: endings of further files, as for `Job.beside`; "-step*.png" for all that match. They stand beside the
            first output of each input, but `SIDECAR` beside each.
        beside_kind: endings of further files of one kind.
        also_read: files that are read besides the inputs, and so must not be written either.
    """

    output: str | None = None
    name: str | None = None
    format: str = "png"
    force: bool = False
    skip_existing: bool = False
    fail_fast: bool = False
    recursive: bool = False
    beside: tuple[str, ...] = ()
    beside_kind: Mapping[str, str] = field(default_factory=dict)
    also_read: tuple[str, ...] = ()


def plan(
    given: Sequence[str],
    choice: OutputChoice,
    *,
    command: str,
    kinds: Sequence[str] | None = None,
    formats: Sequence[str] = FORMATS,
    suffixes: Sequence[str] = READABLE,
    arrange: Callable[[list[Source]], list[Source]] = list,
) -> tuple[list[Job], int]:
    """Which result goes where; nothing is written or overwritten yet.

    Args:
        given: files, folders, globs and `-`, as typed.
        choice: what the user said about outputs.
        command: the command's name, for default names.
        kinds: what is made of each input, one output each; by default one that is called as the command.
        formats: suffixes that can be written.
        suffixes: what a folder is searched for.
        arrange: puts the inputs in order.
    Returns:
        The jobs to do, each with the outputs that are to be made, and how many more inputs `--skip-existing`
        finds done.
    Raises:
        click.UsageError: an input that is not there, two results for one output, an output that is an input or
            exists or has no known format, stdout on a terminal.
        OutputError: a place that cannot be written.
    """
    kinds = kinds or (command,)
    answer(kinds, choice.format, choice.also_read)
    many_given = len(given) > 1 or is_folder(given[0])
    folder = Path(choice.output) if choice.output and choice.output != STREAM else None
    sources = arrange(find_sources(given, recursive=choice.recursive, leave_out=folder, suffixes=suffixes))
    many = many_given or len(sources) > 1 or len(kinds) > 1
    _require_room(choice, many, formats)
    jobs = [
        _job(source, choice, many, kinds, {"command": command, "kind": command, "index": Index(index)})
        for index, source in enumerate(sources, start=1)
    ]
    for job in jobs:
        _require_formats(job, choice, formats)
    _refuse_collisions(jobs, choice)
    jobs = [replace(job, before=before) for before, job in zip([None, *jobs], jobs, strict=False)]
    if choice.skip_existing:
        jobs = [rest for job in jobs if (rest := _unmade(job, choice)).outputs]
    for job in jobs:
        _require_free(job, choice)
        if not job.to_stream:
            for output in job.outputs.values():
                check_writable(output)
    return jobs, len(sources) - len(jobs)


def _unmade(job: Job, choice: OutputChoice) -> Job:
    """A job with those outputs that are not there, that a signal cut short, or that lack what stands beside."""
    if job.to_stream:
        return job
    there = [kind for kind, path in job.outputs.items() if is_file(path)]
    done = [
        kind for kind in there if not _is_unfinished(job.outputs[kind]) and _has_companions(job, kind, choice)
    ]
    left = {kind: path for kind, path in job.outputs.items() if kind not in done}
    leads = next(iter(job.outputs)) in left
    return replace(job, outputs=left, unfinished=len(done) < len(there), leads=leads)


def _is_unfinished(output: Path) -> bool:
    """Whether the recipe of an output says that it is the best of a run that was cut short."""
    from imgtool.imaging.io import read_recipe

    try:
        return read_recipe(output).get("unfinished") is True
    except RecipeError:
        return False


def _require_room(choice: OutputChoice, many: bool, formats: Sequence[str]) -> None:
    """Refuse an output that is no name, or that is a single one where there are many results."""
    output = choice.output
    if "\0" in (output or "") + (choice.name or "") or output == "":
        raise click.UsageError("an output's name is empty or has a null character.")
    if output is None or not (many or choice.name):
        return
    shown = printable(output)
    if output == STREAM:
        if many:
            raise click.UsageError("-o - takes one input and makes one output.")
    elif is_file(output):
        raise click.UsageError(f"{shown} is a file; -o takes a folder for several outputs or --name.")
    elif choice.name is None and Path(output).suffix[1:].lower() in formats and not _means_folder(output):
        raise click.UsageError(f"{shown} is one file for several outputs; use {shown}/ for a folder.")


def _means_folder(output: str) -> bool:
    return output.endswith(("/", os.sep)) or is_folder(output)


def _job(
    source: Source, choice: OutputChoice, many: bool, kinds: Sequence[str], fields: Mapping[str, object]
) -> Job:
    """One input with its outputs, one a kind."""
    output = choice.output
    inside = output is not None and (many or _means_folder(output))
    if output is not None and (output == STREAM or not (inside or choice.name)):
        return Job(source, {kinds[0]: Path(output)}, choice.format)
    default = ("{stem}" if inside else "{stem}-{command}") + ("-{kind}" if len(kinds) > 1 else "")
    template = with_suffix(choice.name or default, choice.format)
    folder = Path(output or ".") / source.inside
    fields = {"stem": source.stem, "name": source.name, **fields}
    outputs = {kind: folder / filled(template, {**fields, "kind": kind}) for kind in kinds}
    return Job(source, outputs, choice.format)


def _require_formats(job: Job, choice: OutputChoice, formats: Sequence[str]) -> None:
    """Refuse names that tell no format that can be written."""
    for output in () if job.to_stream else job.outputs.values():
        suffix = output.suffix[1:].lower()
        if suffix in formats:
            continue
        shown = printable(output)
        unknown = "" if suffix in FORMATS else "unknown "  # others may know it
        found = f"{unknown}suffix .{printable(suffix)}" if suffix else "no suffix"
        known = " ".join(f".{each}" for each in formats)
        folder = f", or {shown}/ for a folder" if choice.name is None and not suffix else ""
        raise click.UsageError(f"{shown} has {found}; use one of {known}{folder}.")


def _endings(job: Job, kind: str, choice: OutputChoice) -> list[str]:
    """Of the files that stand beside one output of a job."""
    first = kind == next(iter(job.outputs))
    endings = [ending for ending in choice.beside if first or ending == SIDECAR]
    endings += [choice.beside_kind[kind]] if kind in choice.beside_kind else []
    if job.outputs[kind].suffix[1:].lower() in EMBEDS_NO_RECIPE:
        endings.append(SIDECAR)
    return list(dict.fromkeys(endings))


def _has_companions(job: Job, kind: str, choice: OutputChoice) -> bool:
    """Whether all is there that stands beside one output, but for pictures whose number nobody knows."""
    return all(
        "*" in ending or is_file(job.of(kind).beside(ending)) for ending in _endings(job, kind, choice)
    )


def _files_of(job: Job, choice: OutputChoice) -> Iterator[Path]:
    """All files that a job writes; where an ending has a *, those that are there already."""
    for kind in () if job.to_stream else job.outputs:
        one = job.of(kind)
        yield one.output
        for ending in _endings(job, kind, choice):
            if "*" in ending:
                yield from map(Path, sorted(glob.glob(glob.escape(str(one.beside(""))) + ending)))  # noqa: PTH207
            else:
                yield one.beside(ending)


def _refuse_collisions(jobs: Sequence[Job], choice: OutputChoice) -> None:
    """Refuse two results for one output, and outputs that are inputs."""
    inputs = [job.source.path for job in jobs if not job.source.is_stream]
    read = {identity(path) for path in (*inputs, *map(Path, choice.also_read))}
    taken: dict[object, Job] = {}
    for job in jobs:
        for path in _files_of(job, choice):
            one = identity(path)
            if one in taken:
                raise click.UsageError(_both(taken[one], job, path))
            if one in read:
                raise click.UsageError(f"{printable(path)} would replace an input; choose another output.")
            taken[one] = job


def identity(path: Path) -> object:
    """Something that all names of one file share, whether it is there or not."""
    try:
        status = path.stat()
    except OSError:
        return os.path.join(os.path.realpath(path.parent), path.name)  # noqa: PTH118
    return (status.st_dev, status.st_ino)


def _both(first: Job, second: Job, output: Path) -> str:
    one, other = first.source, second.source
    if one.path == other.path and first is not second:
        return f"{one} is given twice."
    cure = "{name}" if one.path.name != other.path.name else "{stem}" if first is second else "{index}-{name}"
    cure += "-{kind}.png" if len(first.outputs) > 1 else ".png"
    what = (
        f"{one} and {other} would both" if first is not second else f"all of {', '.join(first.outputs)} would"
    )
    return f"{what} be written to {printable(output)}. Use --name '{cure}'."


def require_stream(*, alone: bool) -> None:
    """Refuse stdout where no picture belongs.

    Args:
        alone: whether the picture is all that is made: what would lie beside it has no place.
    Raises:
        click.UsageError: stdout is a terminal, or something else would be written besides.
    """
    if sys.stdout.isatty():
        raise click.UsageError("a picture is not written to a terminal; use -o FILE or pipe it on.")
    if console.json or not alone:
        raise click.UsageError("-o - leaves no room for --json or for files beside it; use -o FILE.")


def _require_free(job: Job, choice: OutputChoice) -> None:
    """Refuse stdout where no picture belongs, and files that are there already."""
    if job.to_stream:
        require_stream(alone=not (choice.beside or choice.beside_kind))
        return
    if choice.force or choice.skip_existing:  # an unfinished job's further files are its own
        return
    for path in _files_of(job, choice):
        require_new(path, "Use --force to replace it, --skip-existing to keep it.")


# Does one job and returns the fields of its `--json` lines, of which each output has one. An "error" among
# them means that a result was saved but is not what was asked for; an "interrupted", that a signal cut the
# work short, to be raised again.
Work = Callable[[Job], dict[str, Any]]


def run(
    jobs: Sequence[Job], make_work: Callable[[], Work], *, skipped: int = 0, fail_fast: bool = False
) -> int:
    """Do the jobs one after the other and count; the exit code.

    Args:
        jobs: from `plan`.
        make_work: prepares what all jobs share, if there are any. An `ImgtoolError` of the work fails that
            job alone; one of the preparation fails them all.
        skipped: jobs that were done before.
        fail_fast: stop at the first failure.
    """
    failures: list[int] = []
    counts = {"done": 0, "skipped": skipped, "failed": len(jobs)}  # should the preparation fail
    prepared = False
    try:
        work = make_work() if jobs else None
        prepared, counts["failed"] = True, 0
        for job in jobs:
            assert work is not None
            fields = _do(work, job, failures)
            counts["failed"] = len(failures)
            interrupted = fields.pop("interrupted", None)
            fields |= {"unfinished": True} if interrupted else {}
            counts["done"] += not fields.get("error") and not interrupted
            for record in _records(job, fields):
                console.record(record)
            if interrupted:
                raise interrupted
            if failures and fail_fast:
                break
    except KeyboardInterrupt:
        if len(jobs) > 1:
            console.say("To go on: the same command with --skip-existing; it does anew what was cut short.")
        raise
    finally:
        if prepared and (skipped or len(jobs) > 1):
            console.say(counted(counts))
        console.record({"summary": counts})
    # A reason of its own for all that were tried, such as memory, is told by its own code.
    return (
        failures[0] if failures and not counts["done"] and len(set(failures)) == 1 else min(1, len(failures))
    )


def _records(job: Job, fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The `--json` lines of a job: one for each output, or one for its failure."""
    given = {"input": str(job.source.path)}
    if fields.get("output", job) is None:
        return [{**given, **fields}]
    return [{**given, "output": str(path), "kind": kind, **fields} for kind, path in job.outputs.items()]


def _do(work: Work, job: Job, failures: list[int]) -> dict[str, Any]:
    """The fields of one job, whose failure is told and noted."""
    try:
        fields = work(job)
    except ImgtoolError as error:
        failures.append(error.exit_code)
        name = str(job.source)
        console.error(error.message if name in error.message else f"{name}: {error.message}", hint=error.hint)
        return {"error": error.message, "output": None}
    if fields.get("error"):
        failures.append(1)
    return fields
