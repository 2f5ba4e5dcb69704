"""Asking a command what it would make of pictures that are not there yet: all its checks, none of its work."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from imgtool.cli.console import console

_REHEARSAL = object()  # what a context carries while a command is only asked


@dataclass
class Rehearsed(Exception):
    """What a command would make; raised where it would begin to look for its pictures.

    Attributes:
        kinds: what it makes of each picture.
        format: suffix of its outputs.
        also_read: files that it reads besides the pictures.
        joins: whether it makes one output of all its pictures.
        values: its options as resolved, by parameter name.
    """

    kinds: Sequence[str]
    format: str
    also_read: Sequence[str] = ()
    joins: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)


def answer(kinds: Sequence[str], format: str, also_read: Sequence[str] = (), *, joins: bool = False) -> None:
    """End a command here if it is only asked.

    Raises:
        Rehearsed: it is.
    """
    context = click.get_current_context(silent=True)
    if context and context.obj is _REHEARSAL:
        raise Rehearsed(kinds, format, also_read, joins, dict(context.params))


def rehearse(command: click.Command, words: Sequence[str], parent: click.Context) -> Rehearsed:
    """What a command line would make.

    Args:
        command: that works on pictures.
        words: its options and pictures, which need not be there.
        parent: with the settings that hold.
    Raises:
        click.UsageError, OptionError: the command refuses it.
    """
    talk = dict(vars(console))
    try:
        with command.make_context(command.name, list(words), parent=parent, obj=_REHEARSAL) as context:
            command.invoke(context)
    except Rehearsed as found:
        return found
    finally:
        vars(console).update(talk)  # as this command was told, not that one
    raise click.UsageError("it makes no pictures")
