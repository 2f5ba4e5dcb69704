"""Many inputs, many outputs: what goes where is settled before work starts; one failure does not stop the rest."""

import glob
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import click

from imgtool.cli.console import console
from imgtool.errors import ImgtoolError
from imgtool.files import check_writable, printable

STREAM = "-"
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm", ".avif", ".heic", ".heif")


@dataclass(frozen=True)
class Source:
    """One input.

    Attributes:
        path: of the file, or `-` for stdin.
        inside: where it lay in the folder that was given, without its name; `.` for a file given by itself.
    """

    path: Path
    inside: PurePath = PurePath()

    @property
    def is_stream(self) -> bool:
        """Whether it is stdin."""
        return str(self.path) == STREAM

    @property
    def stem(self) -> str:
        """The file's name without its suffix."""
        return "stdin" if self.is_stream else self.path.stem

    def __str__(self) -> str:
        return "stdin" if self.is_stream else printable(self.path)


@dataclass(frozen=True)
class Job:
    """One input and where its result goes; `output` is `-` for stdout, in the format `suffix`."""

    source: Source
    output: Path
    suffix: str = "png"

    @property
    def to_stream(self) -> bool:
        """Whether the result goes to stdout."""
        return str(self.output) == STREAM

    def beside(self, ending: str) -> Path:
        """A further file of this job: `out-sheet.png` for `out.jpg` and `-sheet.png`."""
        return self.output.with_name(self.output.stem + ending)

    def __str__(self) -> str:
        return "stdout" if self.to_stream else printable(self.output)


@dataclass(frozen=True)
class OutputChoice:
    """What the user said about outputs: `params.output`.

    Attributes:
        output: a file, a folder or `-`; None for a default name in the current folder.
        name: a template.
        suffix: the format where no name tells it.
        force, skip_existing: what to do about outputs that exist; by default they are refused.
        fail_fast: stop at the first input that fails.
        recursive: look into sub-folders.
        beside: endings (with wildcards) of further files that will lie beside each output: "-sheet.png".
    """

    output: str | None = None
    name: str | None = None
    suffix: str = "png"
    force: bool = False
    skip_existing: bool = False
    fail_fast: bool = False
    recursive: bool = False
    beside: tuple[str, ...] = ()


def find_sources(given: Iterable[str], *, recursive: bool = False) -> list[Source]:
    """The inputs from files, folders, globs and `-`.

    Raises:
        click.UsageError: something that is not there, or a folder or pattern without pictures.
    """
    sources: list[Source] = []
    for text in given:
        path = Path(text)
        if text == STREAM or path.is_file() or (path.exists() and not path.is_dir()):
            sources.append(Source(path))
        elif path.is_dir():
            sources += _in_folder(path, recursive)
        elif glob.has_magic(text):
            found = sorted(glob.glob(text, recursive=True))
            if not found:
                raise click.UsageError(f"{printable(text)} matches no file.")
            sources += [Source(Path(match)) for match in found if not Path(match).is_dir()]
        else:
            raise click.UsageError(f"{printable(text)} does not exist.")
    if sum(source.is_stream for source in sources) > 1:
        raise click.UsageError("stdin (-) can be read only once.")
    return sources


def _in_folder(folder: Path, recursive: bool) -> list[Source]:
    files = sorted(folder.rglob("*") if recursive else folder.iterdir())
    pictures = [path for path in files if path.suffix.lower() in SUFFIXES and path.is_file()]
    if not pictures:
        deeper = "" if recursive else " Use -r to look into its sub-folders too."
        raise click.UsageError(f"{printable(folder)} holds no picture.{deeper}")
    return [Source(path, path.parent.relative_to(folder)) for path in pictures]


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
            exists, stdout on a terminal.
        OutputError: a place that cannot be written.
    """
    sources = find_sources(given, recursive=choice.recursive)
    many = len(sources) > 1 or len(given) > 1 or Path(given[0]).is_dir()
    jobs = [
        Job(source, _target(source, choice, command, many, index), choice.suffix)
        for index, source in enumerate(sources, start=1)
    ]
    _refuse_collisions(jobs)
    if choice.skip_existing:
        jobs = [job for job in jobs if job.to_stream or not job.output.exists()]
    for job in jobs:
        _require_free(job, choice)
    for output in {job.output.parent: job.output for job in jobs if not job.to_stream}.values():
        check_writable(output)
    return jobs, len(sources) - len(jobs)


def _require_free(job: Job, choice: OutputChoice) -> None:
    """Refuse stdout where no picture belongs, and files that are there already."""
    if job.to_stream:
        if sys.stdout.isatty():
            raise click.UsageError("a picture is not written to a terminal; use -o FILE or pipe it on.")
        if console.json or choice.beside:
            raise click.UsageError("-o - leaves no room for --json or for files beside it; use -o FILE.")
        return
    if choice.force:
        return
    for ending in ("", *choice.beside):
        pattern = glob.escape(str(job.beside("") if ending else job.output)) + ending
        for taken in glob.glob(pattern):
            if Path(taken).is_file():
                raise click.UsageError(
                    f"{printable(taken)} exists. Use --force to replace it, --skip-existing to keep it."
                )


def _target(source: Source, choice: OutputChoice, command: str, many: bool, index: int) -> Path:
    """The output of one input."""
    if choice.output == STREAM:
        if many:
            raise click.UsageError("-o - takes one input.")
        return Path(STREAM)
    is_folder = choice.output is not None and (
        many or choice.output.endswith(("/", "\\")) or Path(choice.output).is_dir()
    )
    if choice.output is not None and not is_folder and choice.name is None:
        return Path(choice.output)
    if choice.output is not None and Path(choice.output).is_file():
        raise click.UsageError(f"{printable(choice.output)} is a file; several inputs need a folder for -o.")
    template = choice.name or ("{stem}" if is_folder else "{stem}-{command}") + f".{choice.suffix}"
    try:
        name = template.format(
            stem=source.stem, name=source.path.name if not source.is_stream else "stdin",
            command=command, kind=command, index=f"{index:04d}",
        )
    except (LookupError, ValueError) as error:
        raise click.UsageError(
            f"--name {template!r} is no template; use {{stem}} {{name}} {{command}} {{kind}} {{index}}."
        ) from error
    return Path(choice.output or ".") / source.inside / name


def _refuse_collisions(jobs: Sequence[Job]) -> None:
    inputs = {job.source.path.resolve() for job in jobs if not job.source.is_stream}
    taken: dict[Path, Source] = {}
    for job in jobs:
        if job.to_stream:
            continue
        output = job.output.resolve()
        if output in taken:
            raise click.UsageError(
                f"{taken[output]} and {job.source} would both be written to {printable(job.output)}. "
                "Use --name '{name}.png'."
            )
        if output in inputs:
            raise click.UsageError(f"{printable(job.output)} is an input too; choose another output.")
        taken[output] = job.source


def run(
    jobs: Sequence[Job],
    make_work: Callable[[], Callable[[Job], dict[str, Any]]],
    *,
    skipped: int = 0,
    fail_fast: bool = False,
) -> int:
    """Do the jobs one after the other and count; the exit code.

    Args:
        jobs: from `plan`.
        make_work: prepares what all jobs share, if there are any, and returns what does one of them: the fields of
            its `--json` line. An `ImgtoolError` fails that job alone; an "error" among the fields means that a
            result was saved but is not what was asked for.
        skipped: jobs that were done before.
        fail_fast: stop at the first failure.
    """
    failures: list[int] = []
    done = 0
    work = make_work() if jobs else None
    for job in jobs:
        assert work is not None
        try:
            fields = work(job)
        except ImgtoolError as error:
            failures.append(error.exit_code)
            console.error(_naming(job, error), hint=error.hint)
            fields = {"error": error.message, "output": None}
        else:
            failures += [1] if fields.get("error") else []
            done += not fields.get("error")
        console.record({"input": str(job.source), "output": str(job.output), **fields})
        if failures and fail_fast:
            break
    counts = {"done": done, "skipped": skipped, "failed": len(failures)}
    console.record({"summary": counts})
    if len(jobs) + skipped > 1:
        console.say(", ".join(f"{count} {word}" for word, count in counts.items()))
    if not failures:
        return 0
    return failures[0] if len(jobs) == 1 else 1


def _naming(job: Job, error: ImgtoolError) -> str:
    """The error's message, with the input's name if it does not say it already."""
    name = str(job.source)
    return error.message if name in error.message else f"{name}: {error.message}"
