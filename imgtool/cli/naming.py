"""Names of outputs: from templates such as `{stem}-{kind}.png`, and whether they are free."""

import string
from collections.abc import Mapping
from pathlib import Path

import click

from imgtool.cli.sources import is_file
from imgtool.files import check_writable, printable


class Index(int):
    """A position that is written with four digits unless the template says otherwise."""

    def __format__(self, spec: str) -> str:
        return format(int(self), spec or "04d")


def with_suffix(template: str, format: str) -> str:
    """A template whose names have a suffix, perhaps that of the input."""
    end = template.rpartition("/")[2].rpartition("}")[2]
    return template if "." in end or template.endswith("{name}") else f"{template}.{format}"


def filled(template: str, fields: Mapping[str, object]) -> str:
    """A name from a template.

    Raises:
        click.UsageError: it is no template, or has fields that there are not.
    """
    try:
        used = {field for _, field, _, _ in string.Formatter().parse(template) if field is not None}
        if used <= fields.keys():
            return template.format_map(fields)
    except ValueError:
        pass
    known = " ".join(f"{{{name}}}" for name in fields)
    raise click.UsageError(f"--name {printable(template)!r} is no template; use {known}.")


def require_new(path: str | Path, cure: str = "Use --force to replace it.") -> None:
    """Refuse a name that a file has already.

    Raises:
        click.UsageError: as it says.
    """
    if is_file(path):
        raise click.UsageError(f"{printable(path)} exists. {cure}")


def require_place(path: Path, *, force: bool) -> None:
    """Refuse, before any work, an output that could not be written, or that is there and not to be replaced.

    Raises:
        click.UsageError: it is there.
        OutputError: it cannot be written.
    """
    if not force:
        require_new(path)
    check_writable(path)
