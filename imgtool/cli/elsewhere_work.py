"""What is done of a batch in another process, on whatever machine: a part of its jobs, in a folder of its own."""

import contextlib
import importlib
import io
import os
import tempfile
import traceback
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from imgtool import __version__
from imgtool.cli.batch import Job, Work
from imgtool.cli.console import console
from imgtool.errors import ImgtoolError
from imgtool.files import TEMPORARY_PREFIX, first_line
from imgtool.runtime import processor

HERE = "here"  # the folder that stands for the one where the batch was started


@dataclass(frozen=True)
class Failure:
    """An error, to be sent."""

    message: str
    hint: str | None
    exit_code: int

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """What is told of an error; of one that nobody foresaw its kind too."""
        if isinstance(error, ImgtoolError):
            return cls(error.message, error.hint, error.exit_code)
        return cls(f"{type(error).__name__}: {first_line(error)}", "-vv", ImgtoolError.exit_code)


@dataclass(frozen=True)
class Part:
    """Some jobs of a batch, with names that hold where they are done.

    Attributes:
        work: what prepares the work, as "module:name", to be loaded there.
        arguments: of it.
        jobs: that are to be done.
        inputs: the bytes of each input, or why there are none.
        version: of the imgtool that sends it.
        quiet, verbosity, json: how it talks.
    """

    work: str
    arguments: tuple[Any, ...]
    jobs: tuple[Job, ...]
    inputs: tuple[bytes | Failure, ...]
    version: str
    quiet: bool
    verbosity: int
    json: bool


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Attributes:
        fields: of its `--json` line.
        failure: why there are none.
        prepared: whether the failure is of this job alone.
        files: that were made, each with its name from the folder of the part.
        said, data: on stderr and stdout.
        prelude: what was said on stderr before the first job of its part.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    failure: Failure | None = None
    prepared: bool = True
    files: tuple[tuple[str, bytes], ...] = ()
    said: str = ""
    data: str = ""
    prelude: str = ""


def do_part(part: Part, shared: Mapping[str, bytes]) -> list[Outcome]:
    """Do the jobs of a part; what came of each.

    Args:
        part: with its inputs.
        shared: contents of other files that are read, by name.
    """
    with _folder() as root, _talk(part) as (stdout, stderr):
        for name, contents in shared.items():
            _lay(Path(name), contents)
        try:
            _require_same(part.version)
            work = _prepared(part)
        except Exception as error:
            _trace()
            failed = Outcome(failure=Failure.of(error), prepared=False, prelude=stderr.getvalue())
            return [failed] * len(part.jobs)
        known, prelude = set(_files(root)), _taken(stderr)
        outcomes = []
        for job, data in zip(part.jobs, part.inputs, strict=True):
            fields, failure = _done(work, job, data)
            files = tuple(_brought(path) for path in sorted(set(_files(root)) - known))
            said = (_taken(stderr), _taken(stdout), prelude)
            outcomes.append(Outcome(fields, failure, True, files, *said))
        return outcomes


def _brought(path: Path) -> tuple[str, bytes]:
    """A file that was made, which goes from here."""
    data = path.read_bytes()
    path.unlink()
    return os.path.relpath(path), data


def _prepared(part: Part) -> Work:
    """The work, with all that it loads."""
    processor.wait_briefly()
    module, _, name = part.work.partition(":")
    work: Work = getattr(importlib.import_module(module), name)(*part.arguments)
    return work


def _done(work: Work, job: Job, data: bytes | Failure) -> tuple[dict[str, Any], Failure | None]:
    """The fields of a job, or why there are none."""
    if isinstance(data, Failure):
        return {}, data
    _lay(job.source.path, data)
    try:
        return work(job), None
    except Exception as error:
        _trace()
        return {}, Failure.of(error)
    finally:
        job.source.path.unlink()


def _trace() -> None:
    if console.verbosity >= 2:
        console.say(traceback.format_exc().rstrip())


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder in which all happens, with the current one in it."""
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX) as name:
        here = Path(name).resolve() / HERE
        here.mkdir()
        with contextlib.chdir(here):
            yield here.parent


@contextlib.contextmanager
def _talk(part: Part) -> Iterator[tuple[io.StringIO, io.StringIO]]:
    """Talk as the batch does, into two texts."""
    before = dict(vars(console))
    vars(console).update(quiet=part.quiet, verbosity=part.verbosity, json=part.json, json_progress=False)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()) as stdout,
            contextlib.redirect_stderr(io.StringIO()) as stderr,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # what libraries tell programmers
            yield stdout, stderr
    finally:
        vars(console).update(before)


def _require_same(version: str) -> None:
    if version != __version__:
        raise ImgtoolError(
            f"a machine of the cluster has imgtool {__version__}, and this one {version}",
            hint="the same version on all of them",
        )


def _lay(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _files(root: Path) -> Iterator[Path]:
    """All files of a folder and those in it, but for unfinished ones."""
    for parent, _, names in os.walk(root):
        yield from (Path(parent, name) for name in sorted(names) if not name.startswith(TEMPORARY_PREFIX))


def _taken(text: io.StringIO) -> str:
    """What was written since last asked."""
    found = text.getvalue()
    text.seek(0)
    text.truncate()
    return found
