"""Write the manual page from the commands themselves: `make man PREFIX=~/.local`."""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from make_cli import metavar, walk

from imgtool import __version__
from imgtool.cli.main import cli

ENDS = """0 done
1 some input failed
2 wrong usage or option value
3 weights unavailable or corrupt
4 device missing or out of memory
130, 143 interrupted, terminated"""


def render() -> str:
    """The page in the language of man."""
    (_, group), *commands = walk(cli, "imgtool")
    lines = [f'.TH IMGTOOL 1 "" "imgtool {__version__}" "User Commands"']
    lines += [".SH NAME", text(f"imgtool - {(group.help or '').rstrip('.').lower()}")]
    lines += [".SH SYNOPSIS", r"\fBimgtool\fR \fICOMMAND\fR [\fIOPTIONS\fR] \fIPICTURE\fR...", ".SH COMMANDS"]
    for name, command in commands:
        lines += section(name, command)
    lines += [".SH EXIT STATUS"]
    for line in ENDS.splitlines():
        code, _, meaning = line.replace(", ", ",").partition(" ")
        lines += [".TP", rf"\fB{text(code)}\fR", text(meaning)]
    return "\n".join(lines) + "\n"


def section(name: str, command: click.Command) -> Iterator[str]:
    """One command: usage, what it does, examples, options."""
    takes = [metavar(param) for param in command.params if isinstance(param, click.Argument)]
    yield f'.SS "{text(name)}"'
    yield rf"\fB{text(name)}\fR [\fIOPTIONS\fR] {text(' '.join(takes))}".rstrip()
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        yield ".PP"
        if paragraph.startswith("\b"):
            title, *examples = paragraph.removeprefix("\b").strip().splitlines()
            yield from (text(title), ".nf", *(text(f"  {line.strip()}") for line in examples), ".fi")
        else:
            yield text(" ".join(paragraph.split()))
    for param in command.params:
        if isinstance(param, click.Option):
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
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
