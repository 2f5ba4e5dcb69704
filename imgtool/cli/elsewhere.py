"""A batch done elsewhere: files go there by value, are worked on by the same code, and come back the same way."""

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import click

from imgtool import __version__
from imgtool.cli.batch import Job, Work
from imgtool.cli.cluster import Cluster, Lost, connected
from imgtool.cli.console import console
from imgtool.cli.elsewhere_work import HERE, Failure, Outcome, Part, do_part
from imgtool.cli.sources import contents_of, opened
from imgtool.errors import ImgtoolError, OptionError
from imgtool.files import atomic_write, printable
from imgtool.runtime import processor

MOST_JOBS, MOST_BYTES = 16, 1 << 28  # of one part
PARTS = 4  # for each that can be worked on at once, so that all end at about the same time


def spread(
    make_work: "partial[Any]", jobs: Sequence[Job], values: Mapping[str, Any], also_read: Sequence[str] = ()
) -> Callable[[], Work]:
    """What prepares the work of a batch: `make_work` itself, or with --ray, one that has it done on a cluster.

    Args:
        make_work: with its arguments, which can be pickled; the last one is `values`.
        jobs: of the batch.
        values: of the command by parameter name.
        also_read: files that the work reads besides the inputs, as typed.
    Raises:
        OptionError: an input or output that only this process has.
    """
    if values["ray"] is None:
        return make_work
    if "-" in also_read or any(job.source.is_stream or (job.outputs and job.to_stream) for job in jobs):
        raise OptionError("ray", "stdin and stdout stay here", hint="name files")
    return lambda: Elsewhere(make_work, jobs, values, also_read)


class StandIns:
    """What paths are called where a part is done: in a folder that stands for the current one.

    What is named from the current folder keeps its name, and pictures that lie in it otherwise keep their place, so
    that recipes tell the same of both; all else lies in numbered folders beside it.
    """

    def __init__(self) -> None:
        self.here = Path.cwd()
        self.numbers: dict[Path, str] = {}
        self.folders: dict[str, Path] = {}  # by their numbers

    def of_input(self, path: Path) -> Path:
        """What a file that is read is called there."""
        folder = path.parent.resolve()
        if _is_plain(path) or not folder.is_relative_to(self.here):
            return self.of_output(path)
        return Path("..", HERE) / folder.relative_to(self.here) / path.name

    def of_output(self, path: Path) -> Path:
        """What a file that is made is called there."""
        if _is_plain(path):
            return path
        number = self.numbers.setdefault(path.parent, str(len(self.numbers)))
        self.folders[number] = path.parent
        return Path("..", number, path.name)

    def real(self, name: str) -> Path:
        """The path of a file that is made there.

        Raises:
            KeyError: nothing is made in such a place.
        """
        path = Path(name)
        return path if _is_plain(path) else self.folders[path.parent.name] / path.name

    def told(self, text: str, *, shown: bool = True) -> str:
        """What was said there, with the names that hold here."""

        def real(found: re.Match[str]) -> str:
            folder = self.here if found[1] == HERE else self.folders.get(found[1])
            name = os.path.join(folder, "") if folder else found[0]  # noqa: PTH118, with a slash at its end
            return printable(name) if shown else name

        return re.sub(rf"\.\./({HERE}|\d+)/", real, text)

    def all_told(self, value: Any) -> Any:
        """The same for all texts in lists and tables."""
        if isinstance(value, str):
            return self.told(value, shown=False)
        if isinstance(value, dict):
            return {key: self.all_told(each) for key, each in value.items()}
        return [self.all_told(each) for each in value] if isinstance(value, list) else value


def _is_plain(path: Path) -> bool:
    """Whether a path goes from the current folder further in."""
    return not path.is_absolute() and ".." not in path.parts


class Elsewhere:
    """Work of a batch on a cluster; called with each of its jobs in their order, it hands on what came of it.

    Args: see `spread`.
    Raises:
        OptionError: there is no such cluster.
        ImgtoolError: nothing can be done there for any job.
    """

    def __init__(
        self,
        make_work: "partial[Any]",
        jobs: Sequence[Job],
        values: Mapping[str, Any],
        also_read: Sequence[str],
    ) -> None:
        self.values, self.stand_ins = values, StandIns()
        context = click.get_current_context()
        self.on_progress = context.with_resource(console.progress("Cluster"))
        cluster = context.with_resource(connected(values["ray"]))
        self.threads = values["threads"] or processor.cores()  # the bytes depend on it
        self.processors = min(self.threads, cluster.widest)
        self.accelerated = values["device"] != "cpu" and cluster.accelerators > 0
        self.done, self.total = 0, len(jobs)
        outcomes = self._outcomes(cluster, make_work, jobs, also_read)
        first = next(outcomes)
        self._tell(first.prelude)  # once, not for each part
        if first.failure and not first.prepared:
            raise self._error(first.failure)
        self.outcomes = chain([first], outcomes)

    def __call__(self, job: Job) -> dict[str, Any]:
        """Write what one job made; the fields of its `--json` line."""
        outcome = next(self.outcomes)
        self.done += 1
        self.on_progress(self.done, self.total, "")
        self._write(job, outcome.files)
        self._tell(outcome.said)
        for line in self.stand_ins.told(outcome.data).splitlines():
            console.data(line)
        if outcome.failure:
            raise self._error(outcome.failure)
        told: dict[str, Any] = self.stand_ins.all_told(outcome.fields)
        return told

    def _tell(self, said: str) -> None:
        """Say here what was said there."""
        for line in self.stand_ins.told(said).splitlines():
            kind, _, text = line.partition(": ")
            if kind == "error":
                console.error(text)
            elif kind == "note":
                console.warn(text)
            else:
                console.say(line)

    def _outcomes(
        self, cluster: Cluster, make_work: "partial[Any]", jobs: Sequence[Job], also_read: Sequence[str]
    ) -> Iterator[Outcome]:
        """What came of each job, in their order."""
        at_once = cluster.at_once(self.processors, accelerated=self.accelerated)
        parts = list(_parts(jobs, min(MOST_JOBS, math.ceil(len(jobs) / (PARTS * at_once)))))
        shared, names = self._shared(also_read)
        values = {**_moved(self.values, names), "threads": self.threads, "ray": None}
        arguments = _moved(make_work.args[:-1], names)
        work = f"{make_work.func.__module__}:{make_work.func.__qualname__}"
        reference = cluster.share(shared)
        results = cluster.each(
            do_part,
            ((self._part(work, (*arguments, values), part), reference) for part in parts),
            processors=self.processors,
            accelerated=self.accelerated,
            alone=True,
        )
        for part, result in zip(parts, results, strict=True):
            try:
                yield from result()
            except Lost as lost:
                yield from [Outcome(failure=Failure.of(lost))] * len(part)

    def _shared(self, also_read: Sequence[str]) -> tuple[dict[str, bytes], dict[str, str]]:
        """Files that every part reads, by their names there, and these names by what was typed here."""
        shared, names = dict[str, bytes](), dict[str, str]()
        for text in also_read:
            path = Path(text).expanduser()
            file = contents_of(path)
            if file is None:  # a name of weights, or not there: the work will tell
                continue
            there = self.stand_ins.of_input(path)
            shared[str(there / file.relative_to(path))] = file.read_bytes()
            if there != path:
                names[text] = str(there)
        return shared, names

    def _part(self, work: str, arguments: tuple[Any, ...], jobs: Sequence[Job]) -> Part:
        """Jobs as they are sent."""
        return Part(
            work=work,
            arguments=arguments,
            jobs=tuple(self._sent(job) for job in jobs),
            inputs=tuple(_read(job) for job in jobs),
            version=__version__,
            quiet=console.quiet,
            verbosity=console.verbosity,
            json=console.json,
        )

    def _sent(self, job: Job) -> Job:
        source = replace(job.source, path=self.stand_ins.of_input(job.source.path))
        outputs = {kind: self.stand_ins.of_output(path) for kind, path in job.outputs.items()}
        return replace(job, source=source, outputs=outputs)

    def _write(self, job: Job, files: Sequence[tuple[str, bytes]]) -> None:
        """Put files where they belong, the results after what stands beside them."""
        force, again = self.values.get("force"), self.values.get("skip_existing")
        results = set(job.outputs.values())
        found = [(self.stand_ins.real(name), data) for name, data in files]
        for path, data in sorted(found, key=lambda each: each[0] in results):
            own = bool(force or (job.unfinished if path in results else again))
            with atomic_write(path, overwrite=own) as file:
                file.write(data)

    def _error(self, failure: Failure) -> ImgtoolError:
        """A failure there as one of here."""
        hint = failure.hint and self.stand_ins.told(failure.hint)
        error = ImgtoolError(self.stand_ins.told(failure.message), hint=hint)
        error.exit_code = failure.exit_code
        return error


def _parts(jobs: Sequence[Job], most: int) -> Iterator[list[Job]]:
    """Jobs in parts of so many, fewer of large files."""
    part: list[Job] = []
    size = 0
    for job in jobs:
        part.append(job)
        size += _size(job.source.path)
        if len(part) == most or size >= MOST_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # told when it is read
        return 0


def _read(job: Job) -> bytes | Failure:
    """The bytes of an input, or why there are none."""
    try:
        with opened(job.source) as file:
            return file.read()
    except ImgtoolError as error:
        return Failure.of(error)


def _moved(value: Any, names: Mapping[str, str]) -> Any:
    """The same, with other names of files."""
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, Mapping):
        return {key: _moved(each, names) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_moved(each, names) for each in value)
    if is_dataclass(value) and not isinstance(value, type):
        found = {each.name: getattr(value, each.name) for each in fields(value)}
        return replace(
            value, **{name: moved for name, each in found.items() if (moved := _moved(each, names)) != each}
        )
    return value
