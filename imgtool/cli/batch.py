"""Many inputs, many outputs: what goes where is settled before work starts, and failures do not stop it."""

import glob
import os
import string
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from imgtool.cli.console import console
from imgtool.cli.sources import STREAM, Source, find_sources, is_file, is_folder
from imgtool.errors import ImgtoolError
from imgtool.files import check_writable, printable

# What `imaging.encode` writes; here because imaging takes long to load.
FORMATS = ("png", "jpg", "jpeg", "webp", "tif", "tiff", "bmp", "gif", "ppm", "avif")
EMBEDS_NO_RECIPE = ("bmp", "gif", "ppm")
SIDECAR = ".json"


@dataclass(frozen=True)
class Job:
    """One input and where its result goes; `output` is `-` for stdout, in the format `format`."""

    source: Source
    output: Path
    format: str = "png"

    @property
    def to_stream(self) -> bool:
        """Whether the result goes to stdout."""
        return str(self.output) == STREAM

    def beside(self, ending: str) -> Path:
        """A further file: for `out.jpg`, "-sheet.png" means `out-sheet.png` and ".json" `out.jpg.json`."""
        stem = self.output.name if ending.startswith(".") else self.output.stem
        return self.output.with_name(stem + ending)

    def __str__(self) -> str:
        return "stdout" if self.to_stream else printable(self.output)


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
        beside: endings of further files, as for `Job.beside`; "-step*.png" for all that match.
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
    also_read: tuple[str, ...] = ()


def plan(given: Sequence[str], choice: OutputChoice, *, command: str) -> tuple[list[Job], int]:
    """Which result goes where; nothing is written or overwritten yet.

    Args:
        given: files, folders, globs and `-`, as typed.
        choice: what the user said about outputs.
        command: the command's name, for default names.
    Returns:
        The jobs to do, and how many more `--skip-existing` finds done.
    Raises:
        click.UsageError: an input that is not there, two inputs for one output, an output that is an input or
            exists or has no known format, stdout on a terminal.
        OutputError: a place that cannot be written.
    """
    many_given = len(given) > 1 or is_folder(given[0])
    folder = Path(choice.output) if choice.output and choice.output != STREAM else None
    sources = find_sources(given, recursive=choice.recursive, leave_out=folder)
    many = many_given or len(sources) > 1
    jobs = [
        Job(source, _target(source, choice, command, many, index), choice.format)
        for index, source in enumerate(sources, start=1)
    ]
    for job in jobs:
        _require_format(job, choice)
    _refuse_collisions(jobs, choice)
    if choice.skip_existing:
        jobs = [job for job in jobs if job.to_stream or not is_file(job.output)]
    for job in jobs:
        _require_free(job, choice)
        if not job.to_stream:
            check_writable(job.output)
    return jobs, len(sources) - len(jobs)


class _Index(int):
    """A position that is written with four digits unless the template says otherwise."""

    def __format__(self, spec: str) -> str:
        return format(int(self), spec or "04d")


def _target(source: Source, choice: OutputChoice, command: str, many: bool, index: int) -> Path:
    """The output of one input."""
    output = choice.output
    if "\0" in (output or "") + (choice.name or "") or output == "":
        raise click.UsageError("an output's name is empty or has a null character.")
    if output == STREAM:
        if many:
            raise click.UsageError("-o - takes one input.")
        return Path(STREAM)
    inside = output is not None and (many or output.endswith(("/", os.sep)) or is_folder(output))
    if output is not None and not inside and choice.name is None:
        return Path(output)
    if output is not None and is_file(output):
        raise click.UsageError(
            f"{printable(output)} is a file; -o takes a folder for several inputs or --name."
        )
    template = choice.name or ("{stem}" if inside else "{stem}-{command}") + f".{choice.format}"
    fields = {"stem": source.stem, "name": source.name, "command": command, "kind": command}
    return Path(output or ".") / source.inside / _fill(template, {**fields, "index": _Index(index)})


def _fill(template: str, fields: Mapping[str, object]) -> str:
    """A name from a template.

    Raises:
        click.UsageError: it is no template, or has fields that there are not.
    """
    try:
        used = {field for _, field, _, _ in string.Formatter().parse(template) if field is not None}
        if used <= fields.keys():
            return template.format_map(fields)
    except ValueError:
        pass
    known = " ".join(f"{{{name}}}" for name in fields)
    raise click.UsageError(f"--name {printable(template)!r} is no template; use {known}.")


def _require_format(job: Job, choice: OutputChoice) -> None:
    """Refuse a name that tells no format that can be written."""
    suffix = job.output.suffix[1:].lower()
    if job.to_stream or suffix in FORMATS:
        return
    found = f"unknown suffix .{printable(suffix)}" if suffix else "no suffix"
    known = " ".join(f".{each}" for each in FORMATS)
    folder = f", or {printable(job.output)}/ for a folder" if choice.name is None and not suffix else ""
    raise click.UsageError(f"{job} has {found}; use one of {known}{folder}.")


def _files_of(job: Job, choice: OutputChoice) -> Iterator[Path]:
    """All files that a job writes; where an ending has a *, those that are there already."""
    if job.to_stream:
        return
    yield job.output
    endings = dict.fromkeys(choice.beside)
    if job.output.suffix[1:].lower() in EMBEDS_NO_RECIPE:
        endings[SIDECAR] = None
    for ending in endings:
        if "*" in ending:
            yield from map(Path, sorted(glob.glob(glob.escape(str(job.beside(""))) + ending)))  # noqa: PTH207
        else:
            yield job.beside(ending)


def _refuse_collisions(jobs: Sequence[Job], choice: OutputChoice) -> None:
    """Refuse two inputs for one output, and outputs that are inputs."""
    inputs = [job.source.path for job in jobs if not job.source.is_stream]
    read = {_identity(path) for path in (*inputs, *map(Path, choice.also_read))}
    taken: dict[object, Job] = {}
    for job in jobs:
        for path in _files_of(job, choice):
            identity = _identity(path)
            if identity in taken:
                raise click.UsageError(_both(taken[identity].source, job.source, path))
            if identity in read:
                raise click.UsageError(f"{printable(path)} would replace an input; choose another output.")
            taken[identity] = job


def _identity(path: Path) -> object:
    """Something that all names of one file share."""
    try:
        status = path.stat()
    except OSError:
        return os.path.join(os.path.realpath(path.parent), path.name)  # noqa: PTH118
    return (status.st_dev, status.st_ino)


def _both(first: Source, second: Source, output: Path) -> str:
    if first.path == second.path:
        return f"{first} is given twice."
    cure = "{name}.png" if first.path.name != second.path.name else "{index}-{name}.png"
    return f"{first} and {second} would both be written to {printable(output)}. Use --name '{cure}'."


def _require_free(job: Job, choice: OutputChoice) -> None:
    """Refuse stdout where no picture belongs, and files that are there already."""
    if job.to_stream:
        if sys.stdout.isatty():
            raise click.UsageError("a picture is not written to a terminal; use -o FILE or pipe it on.")
        if console.json or choice.beside:
            raise click.UsageError("-o - leaves no room for --json or for files beside it; use -o FILE.")
        return
    if choice.force or choice.skip_existing:  # an unfinished job's further files are its own
        return
    for path in _files_of(job, choice):
        if is_file(path):
            raise click.UsageError(
                f"{printable(path)} exists. Use --force to replace it, --skip-existing to keep it."
            )


# Does one job and returns the fields of its `--json` line. An "error" among them means that a result was
# saved but is not what was asked for; an "interrupted", that a signal cut the work short, to be raised again.
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
            counts["done"] += not fields.get("error") and not interrupted
            console.record({"input": str(job.source.path), "output": str(job.output), **fields})
            if interrupted:
                if job is not jobs[-1]:
                    console.say(
                        "The inputs after it were not begun: the same command with --skip-existing does them."
                    )
                raise interrupted
            if failures and fail_fast:
                break
    finally:
        if len(jobs) + skipped > 1 and prepared:
            console.say(", ".join(f"{count} {word}" for word, count in counts.items()))
        console.record({"summary": counts})
    # A reason of its own for all that were tried, such as memory, is told by its own code.
    return (
        failures[0] if failures and not counts["done"] and len(set(failures)) == 1 else min(1, len(failures))
    )


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
