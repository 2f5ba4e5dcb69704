"""Write the manual pages, one a command, from the commands themselves: `make man PREFIX=~/.local`."""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from make_cli import metavar, walk

from imgtool import __version__
from imgtool.cli.main import cli

ENDS = """0  done
1  some input failed
2  wrong usage or option value
3  weights unavailable or corrupt
4  device missing or out of memory
130, 143  interrupted, terminated"""


def pages() -> Iterator[tuple[str, str]]:
    """The name of each page, as `man` takes it, and its text in the language of man."""
    for name, command in walk(cli, "imgtool"):
        page = name.replace(" ", "-")
        lines = [f'.TH {text(page.upper())} 1 "" "imgtool {__version__}" "User Commands"']
        short = command.get_short_help_str(200).rstrip(".")
        lines += [".SH NAME", text(f"{page} - {short[0].lower()}{short[1:]}"), *section(name, command)]
        lines += [".SH EXIT STATUS"]
        for line in ENDS.splitlines():
            codes, _, meaning = line.partition("  ")
            lines += [".TP", rf"\fB{text(codes)}\fR", text(meaning)]
        yield page, "\n".join([*lines, *also(name, command)]) + "\n"


def also(name: str, command: click.Command) -> Iterator[str]:
    """Where the manual goes on: below a group, and above a command."""
    yield ".SH SEE ALSO"
    below = command.list_commands(click.Context(command)) if isinstance(command, click.Group) else []
    others = [f"{name} {each}" for each in below] or [name.rpartition(" ")[0]]
    yield text(", ".join(f"{each.replace(' ', '-')}(1)" for each in others))


def section(name: str, command: click.Command) -> Iterator[str]:
    """One command: usage, what it does, examples, options."""
    takes = [metavar(param) for param in command.params if isinstance(param, click.Argument)]
    takes += ["COMMAND"] if isinstance(command, click.Group) else []
    yield ".SH SYNOPSIS"
    yield rf"\fB{text(name)}\fR [\fIOPTIONS\fR] {text(' '.join(takes))}".rstrip()
    yield ".SH DESCRIPTION"
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        yield ".PP"
        if paragraph.startswith("\b"):
            title, *examples = paragraph.removeprefix("\b").strip().splitlines()
            yield from (text(title), ".nf", *(text(f"  {line.strip()}") for line in examples), ".fi")
        else:
            yield text(" ".join(paragraph.split()))
    if isinstance(command, click.Group):
        yield ".SH COMMANDS"
        for part in command.list_commands(click.Context(command)):
            short = command.commands[part].get_short_help_str(200)
            yield from (".TP", rf"\fB{text(part)}\fR", text(short))
    known = [param for param in command.params if isinstance(param, click.Option)]
    if known:
        yield ".SH OPTIONS"
    for param in known:
        yield from option(param)


def option(param: click.Option) -> Iterator[str]:
    """One option with its help."""
    names = ", ".join(rf"\fB{text(name)}\fR" for name in (*param.opts, *param.secondary_opts))
    value = "" if param.is_flag or param.count else rf" \fI{text(metavar(param))}\fR"
    help = param.help or ""
    if isinstance(param.show_default, str) or param.show_default:
        default = param.show_default if isinstance(param.show_default, str) else param.default
        help += f"  [default: {default}]"
    yield from (".TP", f"{names}{value}", text(help))


def text(words: str) -> str:
    """Words as they are: no backslash, hyphen or dot at a line's beginning means more."""
    words = words.replace("\\", r"\e").replace("-", r"\-").replace('"', r"\(dq")
    return re.sub(r"^(?=[.'])", r"\&", words)


if __name__ == "__main__":
    for name, page in pages():
        (Path(sys.argv[1]) / f"{name}.1").write_text(page, encoding="utf-8")
