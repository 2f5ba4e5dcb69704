"""Names of outputs from templates such as `{stem}-{kind}.png`."""

import string
from collections.abc import Mapping

import click

from imgtool.files import printable


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
