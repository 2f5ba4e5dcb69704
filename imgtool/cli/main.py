"""The `imgtool` command: its list of commands, its settings, and what errors and signals end with."""

import errno
import importlib
import io
import os
import signal
import sys
import warnings
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

import click

from imgtool import __version__
from imgtool.cli import settings
from imgtool.cli.console import console
from imgtool.cli.sources import is_file
from imgtool.errors import ImgtoolError
from imgtool.files import printable

# Where each command lives; a module is loaded when its command is asked for.
COMMANDS = {
    "stylize": "imgtool.cli.stylize:stylize_command",
    "save-style": "imgtool.cli.save_style:save_style_command",
    "train-style": "imgtool.cli.train_style:train_style_command",
    "edges": "imgtool.cli.edges:edges_command",
    "train-edges": "imgtool.cli.train_edges:train_edges_command",
    "segment": "imgtool.cli.segment:segment_command",
    "train-segment": "imgtool.cli.train_segment:train_segment_command",
    "captcha-gen": "imgtool.cli.captcha_gen:captcha_gen_command",
    "captcha-read": "imgtool.cli.captcha_read:captcha_read_command",
    "train-captcha": "imgtool.cli.train_captcha:train_captcha_command",
    "captcha-audit": "imgtool.cli.captcha_audit:captcha_audit_command",
    "train-gan": "imgtool.cli.train_gan:train_gan_command",
    "sample-gan": "imgtool.cli.sample_gan:sample_gan_command",
    "train-features": "imgtool.cli.train_features:train_features_command",
    "score": "imgtool.cli.score:score_group",
    "sheet": "imgtool.cli.sheet:sheet_command",
    "run": "imgtool.cli.run:run_command",
    "weights": "imgtool.cli.weights:weights_group",
    "inspect": "imgtool.cli.inspect:inspect_command",
    "rerun": "imgtool.cli.rerun:rerun_command",
    "serve": "imgtool.cli.serve:serve_command",
    "doctor": "imgtool.cli.doctor:doctor_command",
}
SAID = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "the terminal has gone"}


class LazyCommands(MutableMapping[str, click.Command]):
    """Commands by name, loaded on first use.

    A mapping rather than an override of `Group.get_command`, so that Click's own "Did you mean", completion
    and documentation tools see all the names.
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

    def __contains__(self, name: object) -> bool:
        return name in self.places

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


class Stopped(Exception):
    """A signal that ended the work, with its number: Click would forget which one it was."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Commands(click.Group):
    """A group whose commands are loaded when used, listed in the order of `COMMANDS`."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = LazyCommands(COMMANDS)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which a user meets them."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of the first word; a file there lacks the name of a command before it."""
        if args[0] not in self.commands and is_file(args[0]):
            name = printable(args[0])
            ctx.fail(f"{name} is a file, expected a command first: imgtool stylize {name} PAINTING -o OUT.")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """What the command returns.

        Raises:
            Stopped: a signal came, or the reader of our output has gone.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise Stopped(getattr(stop, "number", signal.SIGINT)) from stop
        except BrokenPipeError as gone:
            raise Stopped(getattr(signal, "SIGPIPE", 13)) from gone


@click.group(
    cls=Commands,
    context_settings={
        "auto_envvar_prefix": settings.PREFIX,
        "help_option_names": ["-h", "--help"],
        "max_content_width": 110,
    },
    epilog="Try: imgtool stylize photo.jpg painting.jpg -o out.png",
)
@click.version_option(__version__, message="imgtool %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Image generation and enhancement from the command line."""
    if ctx.invoked_subcommand != "doctor":  # which tells what is wrong with the settings
        ctx.default_map = settings.load(cli.commands)


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: stops the work as Ctrl-C does, and keeps its number for the exit code."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _stop(number: int, _: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Terminated(number)


def _listen() -> None:
    for name in SAID:
        number = getattr(signal, name, None)
        # What the parent chose to ignore (nohup) stays ignored.
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _stop)


def main() -> NoReturn:
    """Run the command line and exit: 0, 1, 2, 3, 4, or 128 and the signal's number."""
    _listen()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not every encoding has every letter
            stream.reconfigure(errors="backslashreplace")
    if not sys.warnoptions:  # what libraries tell programmers
        warnings.simplefilter("ignore")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code of a command line; errors are told on stderr in one line each."""
    try:
        code = cli.main(arguments, prog_name="imgtool", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        console.error(_one_line(error))
        return error.exit_code
    except ImgtoolError as error:
        console.error(error.message, hint=error.hint)
        return error.exit_code
    except (Stopped, KeyboardInterrupt, click.Abort) as stop:
        return _stopped(getattr(stop, "number", signal.SIGINT))
    except OSError as error:
        if error.errno == errno.EPIPE:
            return _stopped(getattr(signal, "SIGPIPE", 13))
        if error.errno != errno.ENOSPC:
            raise
        console.error(f"cannot write: {os.strerror(errno.ENOSPC).lower()}")
        _close_streams()
        return ImgtoolError.exit_code


def _stopped(number: int) -> int:
    """Tell of a signal, unless it says that nobody listens; its exit code."""
    name = signal.Signals(number).name
    if name in SAID:
        with suppress(OSError):
            console.error(SAID[name])
    else:
        _close_streams()
    return 128 + number


def _close_streams() -> None:
    """Nobody takes our output any more; Python would complain again while closing it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _one_line(error: click.ClickException) -> str:
    """A wrong usage, where it comes from if it was not typed, and where to read about the right one."""
    message = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    message += settings.origin(context, getattr(error, "param", None))
    return f"{message} Try '{context.command_path} --help'." if context else message
