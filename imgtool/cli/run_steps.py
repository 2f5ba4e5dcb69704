"""The file of `imgtool run`: named steps, checked as far as a file can be checked by itself."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import click

from imgtool.cli import params, settings, video
from imgtool.files import printable

GIVEN = "pictures"  # as a reference: those of the run
REFERENCE = re.compile(r"\{([\w-]+)\}")
NAME = re.compile(r"\w[\w-]*")
OWN = {"command", "pictures"}  # keys of a step that are no options
# Options that the run answers itself.
RUNS = {"output", "name", "force", "skip_existing", "fail_fast", "recursive", "ray", *params.TALK}


@dataclass(frozen=True)
class Step:
    """One command on the results of others.

    Attributes:
        name: of the step.
        command: its name.
        pictures: the steps whose results it works on, `GIVEN` among them.
        options: as typed; a `{step}` stands for that step's result.
    """

    name: str
    command: str
    pictures: tuple[str, ...]
    options: tuple[str, ...]

    @property
    def references(self) -> set[str]:
        """The steps whose results its options name."""
        return {name for word in self.options for name in REFERENCE.findall(word)}

    @property
    def needs(self) -> set[str]:
        """The steps that come before it."""
        return {*self.pictures, *self.references} - {GIVEN}

    def words(self, paths: Mapping[str, Path]) -> list[str]:
        """Its options with the results of other steps in their places."""
        return [REFERENCE.sub(lambda found: str(paths[found[1]]), word) for word in self.options]


@dataclass(frozen=True)
class Pipeline:
    """What a file says.

    Attributes:
        pictures: files, folders and patterns, as written.
        recursive: whether to look into sub-folders of folders.
        steps: in an order in which they can be done.
    """

    pictures: tuple[str, ...]
    recursive: bool
    steps: tuple[Step, ...]


def read_pipeline(path: Path, commands: Mapping[str, click.Command]) -> Pipeline:
    """A file's steps.

    Args:
        path: of the file.
        commands: by name; the steps take those that work on pictures and write them.
    Raises:
        click.UsageError: it is no TOML, or a step has an unknown command or option, or needs what there is not.
    """
    import tomllib

    shown = printable(path)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise click.UsageError(f"{shown} cannot be read: {error}.") from error
    pictures, recursive = tables.pop("pictures", []), tables.pop("recursive", False)
    if not isinstance(recursive, bool):
        raise click.UsageError(f"{shown}: recursive is true or false.")
    pictures = _texts(pictures, f"{shown}: pictures")
    steps = {name: _step(name, table, commands, shown) for name, table in tables.items()}
    if not steps:
        raise click.UsageError(f"{shown} has no step; write a table such as [lines] with command = 'edges'.")
    return Pipeline(pictures, recursive, _in_order(steps, shown))


def _step(name: str, table: Any, commands: Mapping[str, click.Command], shown: str) -> Step:
    """One table."""
    where = f"{shown}: step {printable(name)!r}"
    if not isinstance(table, dict):
        known = "pictures, recursive or a step's table"
        raise click.UsageError(f"{shown}: {printable(name)!r} is none of {known}.")
    if not NAME.fullmatch(name):
        raise click.UsageError(f"{where}: a name has letters, digits, - and _ alone.")
    possible = {each: commands[each] for each in commands if _makes_pictures(commands[each])}
    command = table.get("command")
    if command not in possible:
        given = printable(str(command))
        found = (
            f"{given!r} is no command that makes pictures of pictures." if command else "it has no command."
        )
        cure = settings.guess(given, possible) or f" Choose from {', '.join(possible)}."
        raise click.UsageError(f"{where}: {found}{cure}")
    pictures = _texts(table.get("pictures", f"{{{GIVEN}}}"), f"{where}: pictures")
    for text in pictures:
        if not REFERENCE.fullmatch(text):
            raise click.UsageError(f"{where}: pictures are {{{GIVEN}}} or {{step}}, not {printable(text)!r}.")
    return Step(
        name,
        str(command),
        tuple(text[1:-1] for text in pictures),
        tuple(
            _words({key: value for key, value in table.items() if key not in OWN}, possible[command], where)
        ),
    )


def _makes_pictures(command: click.Command) -> bool:
    """Whether a command makes pictures of pictures."""
    return {"pictures", "output", "max_pixels"} <= {param.name for param in command.params}


def _words(table: Mapping[str, Any], command: click.Command, where: str) -> Iterator[str]:
    """The options of a table, as typed."""
    options = settings.options_of(command)
    for key, value in table.items():
        name = key.replace("_", "-")
        if name not in options:
            raise click.UsageError(
                f"{where}: {command.name} has no option {key!r}.{settings.guess(name, options)}"
            )
        option = options[name]
        if option.name in RUNS:
            raise click.UsageError(f"{where}: {key!r} is the run's own business; leave it away.")
        if option.name in video.SOURCES:  # whose results depend on each other
            raise click.UsageError(
                f"{where}: a step works on each picture by itself, and {key!r} is of films; type the command."
            )
        given = settings.typed(value, option, f"{where}: {key}")
        for each in given if isinstance(given, list) else [given]:
            yield from params.typed(option, each)


def _texts(value: Any, where: str) -> tuple[str, ...]:
    """A text or several."""
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) and text for text in texts):
        raise click.UsageError(f"{where}: expected text, or a list of texts.")
    return tuple(texts)


def _in_order(steps: Mapping[str, Step], shown: str) -> tuple[Step, ...]:
    """The steps so that each comes after those that it needs."""
    for step in steps.values():
        for name in sorted(step.needs - steps.keys()):
            known = [GIVEN, *steps]
            raise click.UsageError(
                f"{shown}: step {step.name!r} needs {name!r}, which is no step.{settings.guess(name, known)}"
            )
    try:
        order = TopologicalSorter({name: step.needs for name, step in steps.items()}).static_order()
        return tuple(steps[name] for name in order)
    except CycleError as error:
        circle = " needs ".join(reversed(error.args[1]))
        raise click.UsageError(f"{shown}: steps need each other: {circle}.") from error
