"""Write docs/cli.md, and the tables of options in the other pages, from the commands themselves: `make docs`."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click

from imgtool.cli.main import cli

DOCS = Path(__file__).parent
# Where a page wants the options of a command: what stands between these lines is written here.
TABLE = re.compile(r"(<!-- options of ([a-z -]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def render() -> str:
    """The page."""
    parts = ["# Command line", "`make docs` writes this page from the commands; `--help` shows the same."]
    parts += ["Every command takes `-h, --help`."]
    for name, command in walk(cli, "imgtool"):
        parts += section(name, command)
    return "\n\n".join(parts) + "\n"


def walk(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """A command and its sub-commands in the order of the help, each with its full name."""
    yield name, command
    if isinstance(command, click.Group):
        for part in command.list_commands(click.Context(command)):
            yield from walk(command.commands[part], f"{name} {part}")


def section(name: str, command: click.Command) -> Iterator[str]:
    """Heading, usage, what it does, examples and options of one command."""
    yield f"{'#' * (len(name.split()) + 1)} {name}"
    takes = [metavar(param) for param in command.params if isinstance(param, click.Argument)]
    takes += ["COMMAND"] if isinstance(command, click.Group) else []
    yield f"```text\n{' '.join([name, '[OPTIONS]', *takes])}\n```"
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        yield verbatim(paragraph) if paragraph.startswith("\b") else " ".join(paragraph.split())
    if command.epilog:
        yield f"```sh\n{command.epilog.removeprefix('Try: ')}\n```"
    if rows := options(command):
        yield rows


def options(command: click.Command) -> str:
    """The options of a command as a table; nothing if it has none."""
    rows = [option_row(param) for param in command.params if isinstance(param, click.Option)]
    return "\n".join(["| option | what it does |", "|---|---|", *rows]) if rows else ""


def filled(page: str) -> str:
    """A page with the tables that it asks for.

    Raises:
        KeyError: it asks for a command that there is not.
    """
    commands = dict(walk(cli, "imgtool"))
    return TABLE.sub(lambda found: f"{found[1]}{options(commands[found[2]])}\n{found[3]}", page)


def verbatim(paragraph: str) -> str:
    """A paragraph whose lines Click keeps: a title, and lines to type."""
    title, *lines = paragraph.removeprefix("\b").strip().splitlines()
    return f"{title}\n\n```sh\n{inspect.cleandoc(chr(10).join(lines))}\n```"


def option_row(option: click.Option) -> str:
    """`--names METAVAR` and the help, with the default."""
    names = ", ".join(option.opts)
    if option.secondary_opts:
        names += f" / {', '.join(option.secondary_opts)}"
    if not option.is_flag and not option.count:
        names += f" {metavar(option)}"
    text = option.help or ""
    if isinstance(option.show_default, str):
        text += f" Default: {option.show_default}."
    elif option.show_default:
        text += f" Default: {option.default}."
    text = re.sub(r"\s*\[default: (.*)\]$", r" Default: \1.", text)
    names, text = (part.replace("|", "\\|") for part in (names, text))
    return f"| `{names}` | {text} |"


def metavar(param: click.Parameter) -> str:
    """How the help names a value."""
    if param.metavar:
        return param.metavar
    if isinstance(param.type, click.Choice):
        return "|".join(param.type.choices)
    name = param.name if isinstance(param, click.Argument) else param.type.name
    return (name or "").removesuffix(" range").upper()


if __name__ == "__main__":
    (DOCS / "cli.md").write_text(render(), encoding="utf-8")
    for path in DOCS.glob("*.md"):
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
