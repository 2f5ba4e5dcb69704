"""Settings from `./imgtool.toml`, then the user's own file; flags and the environment go before both."""

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from imgtool.cli.sources import is_file
from imgtool.errors import OptionError
from imgtool.files import printable

PREFIX = "IMGTOOL"
PROJECT_FILE = Path("imgtool.toml")


class Setting(NamedTuple):
    """A value that nobody typed, and where it came from; of a sub-command, "score edges"."""

    command: str
    option: str
    value: str
    origin: str


def user_file() -> Path:
    """The user's settings: `imgtool.toml` in `IMGTOOL_CONFIG_DIR` or where this platform keeps settings."""
    if folder := os.environ.get("IMGTOOL_CONFIG_DIR"):
        return Path(folder) / "imgtool.toml"
    import platformdirs

    return platformdirs.user_config_path("imgtool", appauthor=False) / "imgtool.toml"


def files() -> list[Path]:
    """The settings files that exist, the strongest last."""
    return [path for path in (user_file(), PROJECT_FILE) if is_file(path)]


def load(commands: Mapping[str, click.Command]) -> dict[str, Any]:
    """Defaults by command and parameter, for Click's `default_map`; by sub-command between, where there are any.

    Raises:
        click.UsageError: a file that is not TOML, or names a command or option that does not exist.
    """
    merged: dict[str, Any] = {}
    for path in files():
        for command, values in read(path, commands).items():
            inner = merged
            *groups, last = command.split()
            for group in groups:
                inner = inner.setdefault(group, {})
            inner.setdefault(last, {}).update(values)
    return merged


def read(path: Path, commands: Mapping[str, click.Command]) -> dict[str, dict[str, Any]]:
    """The settings of one file, by command and parameter name, each as it would have been typed.

    A sub-command goes by its full name: `[score.edges]` is "score edges".
    """
    import tomllib

    shown = printable(path)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise click.UsageError(f"{shown} cannot be read: {error}.") from error
    return dict(_tables(tables, commands, shown, ""))


def _tables(
    tables: Mapping[str, Any], commands: Mapping[str, click.Command], shown: str, before: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Commands by their full names, with their settings.

    Args:
        tables: of the file, or of a group in it.
        commands: that may have one.
        shown: the file.
        before: of the name of a sub-command: "score.".
    """
    for name, table in tables.items():
        if name not in commands or not isinstance(table, dict):
            raise click.UsageError(f"{shown}: [{before}{name}] is no command.{guess(name, commands)}")
        command = commands[name]
        if isinstance(command, click.Group):
            yield from _tables(table, command.commands, shown, f"{before}{name}.")
            continue
        options, settings = options_of(command), {}
        for key, value in table.items():
            where = f"[{before}{name}]"
            if key.replace("_", "-") not in options:
                raise click.UsageError(f"{shown}: {where} has no option {key!r}.{guess(key, options)}")
            option = options[key.replace("_", "-")]
            settings[str(option.name)] = typed(value, option, f"{shown}: {key} of {where}")
        yield f"{before}{name}".replace(".", " "), settings


def by_full_name(commands: Mapping[str, click.Command], before: str = "") -> dict[str, click.Command]:
    """Commands that take options; a sub-command goes by "score edges"."""
    found: dict[str, click.Command] = {}
    for name, command in commands.items():
        if isinstance(command, click.Group):
            found |= by_full_name(command.commands, f"{before}{name} ")
        else:
            found[before + name] = command
    return found


def options_of(command: click.Command) -> dict[str, click.Option]:
    """Options by their long names, without the dashes."""
    return {
        str(param.name).replace("_", "-"): param
        for param in command.params
        if isinstance(param, click.Option)
    }


def typed(value: Any, option: click.Option, where: str) -> Any:
    """A value of a file as the words of a command line: the types have to know nothing else.

    Args:
        value: from TOML.
        option: that it is for.
        where: it stands.
    Raises:
        click.UsageError: it could not be typed.
    """
    if isinstance(value, bool) and option.is_flag:
        return value
    if isinstance(value, dict) and not option.multiple:
        value = [f"{name}:{weight}" for name, weight in value.items()]
    words = value if isinstance(value, list) else [value]
    if any(isinstance(word, bool) or not isinstance(word, str | int | float) for word in words):
        raise click.UsageError(
            f"{where} is {value!r}, which is not what could be typed after --{option.name}."
        )
    if option.count:
        return value
    return [str(word) for word in words] if option.multiple else ",".join(map(str, words))


def in_effect(commands: Mapping[str, click.Command]) -> Iterator[Setting]:
    """Every setting that a command would take from the environment or a file.

    Raises:
        click.UsageError: a file that is not TOML, or names a command or option that does not exist.
    """
    found = {path: read(path, commands) for path in files()}
    for name, command in by_full_name(commands).items():
        for long, option in options_of(command).items():
            variable = variable_of(name, option)
            if value := os.environ.get(variable):
                yield Setting(name, long, value, variable)
                continue
            for path, tables in reversed(found.items()):
                if option.name in tables.get(name, {}):
                    yield Setting(name, long, str(tables[name][option.name]), printable(path))
                    break


def unknown_variables(commands: Mapping[str, click.Command], others: Iterable[str]) -> dict[str, str]:
    """Environment variables that look like settings but are none, with what may have been meant.

    Args:
        commands: whose options can be set.
        others: variables that are read for other ends.
    """
    known = {
        variable_of(name, option)
        for name, command in by_full_name(commands).items()
        for option in options_of(command).values()
    }
    return {
        name: guess(name, known)
        for name in os.environ
        if name.startswith(f"{PREFIX}_") and name not in {*known, *others}
    }


def variable_of(command: str, option: click.Option) -> str:
    """The environment variable of an option of a command by its full name, as Click itself makes it."""
    return f"{PREFIX}_{command}_{option.name}".upper().replace("-", "_").replace(" ", "_")


def origin(ctx: click.Context | None, param: click.Parameter | None) -> str:
    """Where a value came from, in brackets, unless it was typed: that is where a fault is to be mended."""
    if ctx is None or param is None or param.name is None:
        return ""
    source = ctx.get_parameter_source(param.name)
    if source is ParameterSource.ENVIRONMENT and isinstance(param, click.Option):
        return f" (from {variable_of(ctx.command_path.partition(' ')[2], param)})"
    if source is ParameterSource.DEFAULT_MAP:
        return f" (from {' or '.join(printable(path) for path in files())})"
    return ""


@contextmanager
def origins_told(ctx: click.Context) -> Iterator[None]:
    """Add to a refused option where its value came from, if it was not typed."""
    try:
        yield
    except OptionError as error:
        params = {param.name: param for param in ctx.command.params}
        error.message += origin(ctx, params.get(error.option))
        raise


def guess(word: str, known: Iterable[str]) -> str:
    """What may have been meant, as a sentence; nothing if nothing is close."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
