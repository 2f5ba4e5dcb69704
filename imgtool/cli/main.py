"""The `imgtool` command: its list of commands, its settings, and what errors and signals end with."""

import importlib
import os
import signal
import sys
from collections.abc import Iterator, MutableMapping
from types import FrameType
from typing import Any, NoReturn

import click

from imgtool import __version__
from imgtool.cli import settings
from imgtool.cli.console import console
from imgtool.errors import ImgtoolError

# Where each command lives; a module is loaded when its command is asked for.
COMMANDS = {
    "stylize": "imgtool.cli.stylize:stylize_command",
    "weights": "imgtool.cli.weights:weights_group",
    "inspect": "imgtool.cli.recipes:inspect_command",
    "rerun": "imgtool.cli.recipes:rerun_command",
    "doctor": "imgtool.cli.doctor:doctor_command",
}


class LazyCommands(MutableMapping[str, click.Command]):
    """Commands by name, loaded on first use.

    A mapping rather than an override of `Group.get_command`, so that Click's own "Did you mean", completion and
    documentation tools see all the names.
    """

    def __init__(self, places: dict[str, str]) -> None:
        self.places = dict(places)
        self.loaded: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self.loaded:
            module, _, attribute = self.places[name].partition(":")
            self.loaded[name] = getattr(importlib.import_module(module), attribute)
        return self.loaded[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self.places[name] = ""
        self.loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self.places[name]
        self.loaded.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


class Commands(click.Group):
    """A group whose commands are loaded when used, listed in the order of `COMMANDS`."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = LazyCommands(COMMANDS)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which a user meets them."""
        return list(self.commands)


@click.group(
    cls=Commands,
    context_settings={
        "auto_envvar_prefix": "IMGTOOL",
        "help_option_names": ["-h", "--help"],
        "max_content_width": 110,
    },
    epilog="Try: imgtool stylize photo.jpg painting.jpg -o out.png",
)
@click.version_option(__version__, message="imgtool %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Image generation and enhancement from the command line."""
    ctx.default_map = settings.load(cli.commands)


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: stops the work as Ctrl-C does, and keeps its number for the exit code."""

    def __init__(self, number: int) -> None:
        self.number = number


def _stop(number: int, _: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Terminated(number)


def _listen() -> None:
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # What the parent chose to ignore (nohup) stays ignored.
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _stop)


def main() -> NoReturn:
    """Run the command line and exit: 0, 1, 2, 3, 4, or 128 and the signal's number."""
    _listen()
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code of a command line; errors are told on stderr in one line each."""
    try:
        code = cli.main(arguments, prog_name="imgtool", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        console.error(_one_line(error))
        return error.exit_code
    except ImgtoolError as error:
        console.error(error.message, hint=error.hint)
        if console.verbosity >= 2:
            raise
        return error.exit_code
    except (KeyboardInterrupt, click.Abort) as stop:
        number = getattr(stop, "number", signal.SIGINT)
        console.error("interrupted" if number == signal.SIGINT else "terminated")
        return 128 + number
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); Python would complain again while closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def _one_line(error: click.ClickException) -> str:
    """A wrong usage, and where to read about the right one."""
    message = error.format_message().replace("\n", " ")
    context = getattr(error, "ctx", None)
    return f"{message} Try '{context.command_path} --help'." if context else message
