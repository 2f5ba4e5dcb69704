"""What a run will make: a task for each result, and whether it is there already."""

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click

from imgtool import __version__
from imgtool.cli import params
from imgtool.cli.rehearsal import Rehearsed, rehearse
from imgtool.cli.run_steps import GIVEN, Pipeline, Step
from imgtool.cli.sources import Source, contents_of, is_file
from imgtool.errors import ImgtoolError, OutputError
from imgtool.files import check_writable, printable, sha256_file

JOURNAL = "run.jsonl"
BEGUN = ""  # instead of a key, until a result is there whole
# Of a command's values, those that a result does not depend on, or that are told by SHA-256.
NO_MATTER = {*params.OUTPUT, "pictures", "threads", "max_pixels", "ray"} - {"format"}


@dataclass(frozen=True)
class Task:
    """One result.

    Attributes:
        step: that makes it.
        inputs: the pictures that it is made of.
        words: the options, with files in the places of references.
        output: where it goes.
        after: outputs of other tasks that it is made of.
        joins: whether it is made of all pictures at once.
    """

    step: Step
    inputs: tuple[Path, ...]
    words: tuple[str, ...]
    output: Path
    after: frozenset[Path]
    joins: bool


class Journal:
    """What was made in a folder, and of what: a line for each result, the last of which counts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / JOURNAL
        self.keys: dict[str, str] = {}
        if self.path.exists():
            try:
                text = self.path.read_text(encoding="utf-8", errors="replace")
            except OSError as error:
                reason = error.strerror or error
                raise OutputError(
                    f"{printable(self.path)} of an earlier run cannot be read: {reason}"
                ) from error
            for line in text.splitlines():
                self._take(line)

    def key(self, output: Path) -> str | None:
        """Of what a result that is there was made; None if it is not there, or nobody knows."""
        return self.keys.get(self._name(output)) if is_file(output) else None

    def note(self, output: Path, key: str) -> None:
        """Tell of what a result was made."""
        self.keys[self._name(output)] = key
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"output": self._name(output), "key": key}) + "\n")

    def _name(self, output: Path) -> str:
        return output.relative_to(self.folder).as_posix()

    def _take(self, line: str) -> None:
        try:
            found = json.loads(line)
            self.keys[str(found["output"])] = str(found["key"])
        except (ValueError, TypeError, KeyError):  # a run that was killed may have left half a line
            return


class Plan:
    """All tasks of a run, by step.

    Args:
        pipeline: the steps.
        sources: the run's pictures.
        folder: where results go.
        commands: by name.
        parent: context with the settings that hold.
    Raises:
        click.UsageError, OptionError: a command refuses its options, or results do not fit together.
        OutputError: a place that cannot be written.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        sources: Sequence[Source],
        folder: Path,
        commands: Mapping[str, click.Command],
        parent: click.Context,
    ) -> None:
        self.folder, self.commands, self.parent = folder, commands, parent
        self.results: dict[str, dict[str, Path]] = {GIVEN: _by_name(sources)}
        self.tasks: dict[Step, list[Task]] = {}
        self._made: set[Path] = set()  # by tasks
        self._asked = cache(self._rehearsed)
        for step in pipeline.steps:
            with _named(step):
                self._add(step)
        for task in self:
            check_writable(task.output)

    def __iter__(self) -> Iterator[Task]:
        for tasks in self.tasks.values():
            yield from tasks

    def key(self, task: Task) -> str:
        """What a result depends on: command, options, version, and the contents of all files, in one number.

        `BEGUN`, as if it was never finished, where a file cannot be read: the command will tell.
        """
        asked = self._asked(task.step.command, task.words)
        values = {name: value for name, value in asked.values.items() if name not in NO_MATTER}
        files = [*task.inputs, *(path for text in asked.also_read if (path := contents_of(Path(text))))]
        try:
            told = [__version__, task.step.command, values, [sha256_file(path) for path in files]]
        except OSError:
            return BEGUN
        return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()

    def _add(self, step: Step) -> None:
        """Settle what a step makes."""
        asked = self._asked_of(step)
        if len(asked.kinds) > 1:
            kinds = ", ".join(asked.kinds)
            raise click.UsageError(
                f"it makes {kinds} of each picture; give it one kind, and others further steps."
            )
        tasks = self._of_all(step, asked.format) if asked.joins else self._of_each(step, asked.format)
        self.tasks[step] = list(tasks.values())
        self.results[step.name] = {name: task.output for name, task in tasks.items()}
        self._made.update(self.results[step.name].values())

    def _asked_of(self, step: Step) -> Rehearsed:
        """What its command says, with files that stand for what is not there yet."""
        with tempfile.TemporaryDirectory() as name:
            stand_ins = {each: Path(name) / f"{each}.png" for each in (GIVEN, *step.needs)}
            for path in stand_ins.values():
                path.touch()
            return self._rehearsed(step.command, tuple(step.words(stand_ins)))

    def _of_all(self, step: Step, suffix: str) -> dict[str, Task]:
        """The result of all pictures together, those of one name beside each other."""
        found = [self.results[each] for each in step.pictures]
        names = dict.fromkeys(name for each in found for name in each)
        inputs = [each[name] for name in names for each in found if name in each]
        output = self.folder / f"{step.name}.{suffix}"
        return {step.name: self._task(step, step.name, inputs, output, joins=True)}

    def _of_each(self, step: Step, suffix: str) -> dict[str, Task]:
        """A result of each picture."""
        if len(step.pictures) != 1:
            raise click.UsageError(f"{step.command} works on each picture alone; pictures is one {{step}}.")
        folder, found = self.folder / step.name, self.results[step.pictures[0]]
        return {
            name: self._task(step, name, [path], folder / f"{name}.{suffix}", joins=False)
            for name, path in found.items()
        }

    def _task(self, step: Step, name: str, inputs: Sequence[Path], output: Path, *, joins: bool) -> Task:
        named = {each: self._result(each, name) for each in step.references}
        after = frozenset(path for path in (*inputs, *named.values()) if path in self._made)
        return Task(step, tuple(inputs), tuple(step.words(named)), output, after, joins)

    def _result(self, step: str, name: str) -> Path:
        """The result of a step for a picture, or its only one."""
        found = self.results[step]
        if name not in found and len(found) != 1:
            raise click.UsageError(f"{{{step}}} is {len(found)} pictures where one is needed.")
        return found.get(name) or next(iter(found.values()))

    def _rehearsed(self, command: str, words: tuple[str, ...]) -> Rehearsed:
        return rehearse(self.commands[command], [*words, "--", "picture.png"], self.parent)


def _by_name(sources: Iterable[Source]) -> dict[str, Path]:
    """The run's pictures by their names without suffix, which those of their results will be."""
    found: dict[str, Path] = {}
    for source in sources:
        name = (source.inside / source.stem).as_posix()
        if source.is_stream:
            raise click.UsageError("a run takes files, not stdin.")
        if not is_file(source.path):  # a link in a folder that leads nowhere
            raise click.UsageError(f"{source} does not exist.")
        if name in found:
            both = f"{printable(found[name])} and {source}"
            raise click.UsageError(f"the results of {both} would have the same name {printable(name)!r}.")
        found[name] = source.path
    return found


@contextmanager
def _named(step: Step) -> Iterator[None]:
    """Tell in what step something was refused."""
    try:
        yield
    except click.UsageError as error:
        message = error.format_message()
        raise click.UsageError(f"step {step.name!r}: {message}") from error
    except ImgtoolError as error:
        error.message = f"step {step.name!r}: {error.message}"
        raise


def stale(plan: Plan, journal: Journal, tasks: Iterable[Task], *, anew: bool = False) -> dict[Task, str]:
    """Of the tasks, those whose results are not there or were made of something else, each with its key.

    Args:
        plan: that they are of.
        journal: of what is there.
        tasks: each after those that it needs; what is made of a stale result is stale too, and has no key yet.
        anew: take all for stale.
    """
    gone: set[Path] = set()
    found: dict[Task, str] = {}
    for task in tasks:
        key = BEGUN if task.after & gone else plan.key(task)
        if anew or not key or journal.key(task.output) != key:
            found[task] = key
            gone.add(task.output)
    return found
